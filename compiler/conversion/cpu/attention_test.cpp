// Attention and its gradient against plain loops over all pairs, in f64.

#include <algorithm>
#include <cstring>

#include "compiler/conversion/cpu/attention_case.h"
#include "compiler/conversion/cpu/level_test.h"
#include "compiler/conversion/cpu/test_util.h"
#include "gtest/gtest.h"

namespace weir {
namespace {

using Numbers = std::vector<double>;

/// Numbers as they are in memory.
struct Buffer {
  std::string type;
  std::vector<char> bytes;

  Buffer(const std::string& type, int64_t count) : type(type) {
    bytes.assign(count * size(), 0);
    set(Numbers(count, std::numeric_limits<double>::quiet_NaN()));
  }
  Buffer(const std::string& type, const Numbers& numbers) : type(type) {
    bytes.resize(numbers.size() * size());
    set(numbers);
  }
  int64_t size() const { return type == "f64" ? 8 : type == "f32" ? 4 : 2; }
  void set(const Numbers& numbers) {
    for (size_t i = 0; i < numbers.size(); ++i) {
      float narrow = static_cast<float>(numbers[i]);
      char* at = &bytes[i * size()];
      if (type == "f64")
        std::memcpy(at, &numbers[i], 8);
      else if (type == "f32")
        std::memcpy(at, &narrow, 4);
      else
        std::memcpy(at, reinterpret_cast<char*>(&narrow) + 2, 2);
    }
  }
  Numbers numbers() const {
    Numbers result(bytes.size() / size());
    for (size_t i = 0; i < result.size(); ++i) {
      float narrow = 0;
      const char* at = &bytes[i * size()];
      if (type == "f64") {
        std::memcpy(&result[i], at, 8);
        continue;
      }
      std::memcpy(reinterpret_cast<char*>(&narrow) + (type == "f32" ? 0 : 2), at, size());
      result[i] = narrow;
    }
    return result;
  }
};

struct Arguments {
  Numbers q, k, v, bias, gate, cotangent;
  std::vector<int32_t> segments;
  std::vector<int64_t> position;
};

struct Expected {
  Numbers out, ungated, logSum, dq, dk, dv, dbias;
};

Arguments draw(const AttentionCase& c) {
  auto random = [&](int64_t count, uint64_t seed) {
    // What bf16 holds exactly.
    Numbers numbers = randomValues<double>(count, seed);
    for (double& x : numbers) x = std::round(x * 64) / 64;
    return numbers;
  };
  Arguments a;
  a.q = random(c.batch * c.queries * c.heads * c.features, 1);
  a.k = random(c.batch * c.keys * c.heads * c.features, 2);
  a.v = random(c.batch * c.keys * c.heads * c.valueFeatures, 3);
  a.bias = random(c.diagonals(), 4);
  a.gate = random(c.batch * c.queries * c.heads * c.valueFeatures, 5);
  a.cotangent = random(c.batch * c.queries * c.heads * c.valueFeatures, 6);
  for (int64_t b = 0; b < c.batch; ++b) {
    for (int64_t t = 0; t < c.queries; ++t)
      a.segments.push_back(static_cast<int32_t>(5 - (t + 3 * b) / 11));
    a.position.push_back(b == 0 ? 2 : 1000);
  }
  return a;
}

double slope(const std::string& kernel, double x) {
  if (kernel == "relu_squared") return x > 0 ? 2 * x : 0;
  double s = 1 / (1 + std::exp(-x));  // silu
  return s + x * s * (1 - s);
}

double activation(const std::string& kernel, double x) {
  if (kernel == "relu_squared") return x > 0 ? x * x : 0;
  return x / (1 + std::exp(-x));
}

bool sees(const AttentionCase& c, const Arguments& a, int64_t b, int64_t t, int64_t s) {
  int64_t older = c.keys - c.queries, place = t + older;
  if (c.window != "full" && s > place) return false;
  if (c.windowSize && s <= place - c.windowSize) return false;
  if (c.cached() && s < older - a.position[b]) return false;
  int64_t token = std::max<int64_t>(s - older, 0);
  return !c.segments || a.segments[b * c.queries + t] == a.segments[b * c.queries + token];
}

Expected expect(const AttentionCase& c, const Arguments& a) {
  Expected e;
  int64_t width = c.heads * c.features, valueWidth = c.heads * c.valueFeatures,
          older = c.keys - c.queries;
  e.out.resize(a.gate.size()), e.logSum.resize(c.batch * c.heads * c.queries);
  e.dq.resize(a.q.size()), e.dk.resize(a.k.size()), e.dv.resize(a.v.size());
  e.dbias.resize(a.bias.size());
  double scale = c.softmax() ? 1 / std::sqrt(static_cast<double>(c.features)) : 1.0 / c.queries;
  for (int64_t b = 0; b < c.batch; ++b)
    for (int64_t h = 0; h < c.heads; ++h)
      for (int64_t t = 0; t < c.queries; ++t) {
        const double* q = &a.q[(b * c.queries + t) * width + h * c.features];
        auto keyAt = [&](int64_t s) { return (b * c.keys + s) * width + h * c.features; };
        auto valueAt = [&](int64_t s) {
          return (b * c.keys + s) * valueWidth + h * c.valueFeatures;
        };
        int64_t outAt = (b * c.queries + t) * valueWidth + h * c.valueFeatures;
        Numbers x(c.keys), w(c.keys), dw(c.keys);
        double largest = -1e300, sum = 0, delta = 0;
        for (int64_t s = 0; s < c.keys; ++s) {
          if (!sees(c, a, b, t, s)) continue;
          for (int64_t i = 0; i < c.features; ++i) x[s] += q[i] * a.k[keyAt(s) + i];
          x[s] *= scale;
          if (c.bias) x[s] += a.bias[t + older - s + c.keys - 1];
          largest = std::max(largest, x[s]);
        }
        for (int64_t s = 0; s < c.keys; ++s) {
          if (!sees(c, a, b, t, s)) continue;
          w[s] = c.softmax() ? std::exp(x[s] - largest) : activation(c.kernel, x[s]);
          sum += w[s];
        }
        for (int64_t s = 0; s < c.keys; ++s) {
          if (c.softmax()) w[s] /= sum;
          for (int64_t i = 0; i < c.valueFeatures; ++i) {
            double d = a.cotangent[outAt + i];
            e.out[outAt + i] += w[s] * a.v[valueAt(s) + i];
            dw[s] += d * a.v[valueAt(s) + i];
            e.dv[valueAt(s) + i] += w[s] * d;
          }
          delta += w[s] * dw[s];
        }
        e.logSum[(b * c.heads + h) * c.queries + t] = largest + std::log(sum);
        for (int64_t s = 0; s < c.keys; ++s) {
          if (!sees(c, a, b, t, s)) continue;
          double dx = c.softmax() ? w[s] * (dw[s] - delta) : slope(c.kernel, x[s]) * dw[s];
          if (c.bias) e.dbias[t + older - s + c.keys - 1] += dx;
          for (int64_t i = 0; i < c.features; ++i) {
            e.dq[(b * c.queries + t) * width + h * c.features + i] +=
                dx * scale * a.k[keyAt(s) + i];
            e.dk[keyAt(s) + i] += dx * scale * q[i];
          }
        }
      }
  e.ungated = e.out;
  if (c.gate)
    for (size_t i = 0; i < e.out.size(); ++i) e.out[i] *= a.gate[i];
  return e;
}

class AttentionTest : public LevelTest {
 protected:
  /// Compiles and runs, on one thread and on three, which give the same bits.
  std::vector<Buffer> run(const AttentionCase& c, bool backward, std::vector<Buffer>& inputs,
                          Arguments& a, std::vector<Buffer> results) {
    auto kernel = LoadedKernel::create(c.text(backward), GetParam());
    EXPECT_TRUE(kernel) << c.text(backward);
    if (!kernel) return results;
    std::vector<Buffer> again = results;
    for (auto* into : {&results, &again}) {
      std::vector<void*> buffers;
      size_t next = 0;
      auto take = [&] { buffers.push_back(inputs[next++].bytes.data()); };
      for (int i = 0; i < 3 + c.bias + (c.gate && !backward); ++i) take();
      if (c.segments) buffers.push_back(a.segments.data());
      if (c.cached()) buffers.push_back(a.position.data());
      while (next < inputs.size()) take();
      for (Buffer& result : *into) buffers.push_back(result.bytes.data());
      kernel->run(buffers, into == &results ? 1 : 3);
    }
    for (size_t i = 0; i < results.size(); ++i) EXPECT_EQ(results[i].bytes, again[i].bytes) << i;
    return results;
  }

  void check(const AttentionCase& c) {
    SCOPED_TRACE(c.text(false));
    Arguments a = draw(c);
    Expected e = expect(c, a);
    std::string wide = c.wide();
    double tolerance = c.element == "f64" ? 1e-12 : c.element == "f32" ? 2e-6 : 1.5e-2;
    std::vector<Buffer> inputs = {{c.element, a.q}, {c.element, a.k}, {c.element, a.v}};
    if (c.bias) inputs.push_back({wide, a.bias});
    std::vector<Buffer> gated = inputs;
    if (c.gate) gated.push_back({wide, a.gate});
    std::vector<Buffer> results = {{wide, static_cast<int64_t>(e.out.size())}};
    if (c.softmax()) results.push_back({wide, static_cast<int64_t>(e.logSum.size())});
    results = run(c, false, gated, a, results);
    EXPECT_LT(relativeError(results[0].numbers(), e.out), tolerance);
    if (c.softmax()) EXPECT_LT(relativeError(results[1].numbers(), e.logSum), tolerance);

    if (c.softmax()) {
      inputs.push_back({wide, e.ungated});
      inputs.push_back({wide, e.logSum});
    }
    inputs.push_back({wide, a.cotangent});
    std::vector<Buffer> gradients;
    for (const Numbers* like : {&e.dq, &e.dk, &e.dv})
      gradients.push_back({c.element, static_cast<int64_t>(like->size())});
    if (c.bias) gradients.push_back({wide, static_cast<int64_t>(e.dbias.size())});
    gradients = run(c, true, inputs, a, gradients);
    EXPECT_LT(relativeError(gradients[0].numbers(), e.dq), tolerance) << "dq";
    EXPECT_LT(relativeError(gradients[1].numbers(), e.dk), tolerance) << "dk";
    EXPECT_LT(relativeError(gradients[2].numbers(), e.dv), tolerance) << "dv";
    if (c.bias) EXPECT_LT(relativeError(gradients[3].numbers(), e.dbias), tolerance) << "dbias";
  }
};
INSTANTIATE_TEST_SUITE_P(Levels, AttentionTest,
                         testing::Values(IsaLevel::Avx2, IsaLevel::Avx512, IsaLevel::Amx));

TEST_P(AttentionTest, Lengths) {
  for (const char* element : {"f32", "bf16", "f64"})
    for (int64_t length : {1, 63, 64, 65, 257}) {
      AttentionCase c;
      c.element = element;
      c.queries = c.keys = length;
      c.batch = 2, c.heads = 3, c.features = 20, c.valueFeatures = 9;
      check(c);
    }
}

TEST_P(AttentionTest, WindowsOfSoftmax) {
  for (const char* element : {"f32", "bf16"})
    for (const char* window : {"full", "causal", "local"})
      for (bool segments : {false, true}) {
        AttentionCase c;
        c.element = element;
        c.window = window;
        c.windowSize = c.window == "local" ? 70 : 0;
        c.segments = segments;
        c.queries = c.keys = 200;
        c.batch = 2, c.features = 33, c.valueFeatures = 40;
        c.bias = !segments, c.gate = segments;
        check(c);
      }
}

TEST_P(AttentionTest, ActivationsInsteadOfASoftmax) {
  for (const char* kernel : {"relu_squared", "silu"})
    for (const char* window : {"full", "causal"}) {
      AttentionCase c;
      c.element = GetParam() == IsaLevel::Amx ? "bf16" : "f64";
      c.kernel = kernel;
      c.window = window;
      c.bias = c.gate = true;
      c.queries = c.keys = 131;
      c.features = 16, c.valueFeatures = 48;
      check(c);
    }
}

TEST_P(AttentionTest, KeysBeforeTheFirstQuery) {
  for (const char* element : {"f32", "bf16", "f64"})
    for (bool segments : {false, true}) {
      AttentionCase c;
      c.element = element;
      c.queries = 29, c.keys = 29 + 150;
      c.window = "local", c.windowSize = 151;
      c.segments = segments, c.bias = true;
      c.batch = 2, c.heads = 2;
      check(c);
    }
}

// Scratch memory grows with the length, not with its square.
TEST_P(AttentionTest, ScratchMemoryIsLinear) {
  for (bool backward : {false, true}) {
    std::vector<int64_t> bytes;
    for (int64_t length : {2048, 8192}) {
      AttentionCase c;
      c.element = "bf16";
      c.queries = c.keys = length;
      c.features = c.valueFeatures = 64;
      auto kernel = LoadedKernel::create(c.text(backward), GetParam());
      ASSERT_TRUE(kernel);
      bytes.push_back(kernel->kernel.threadScratchBytes + kernel->kernel.sharedScratchBytes);
    }
    EXPECT_LE(bytes[1], 4.1 * bytes[0]);
    EXPECT_LT(bytes[1], int64_t(32) << 20);
  }
}

}  // namespace
}  // namespace weir
