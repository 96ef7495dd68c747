// Statistics of logits and their gradient against plain loops.

#include <algorithm>
#include <cmath>
#include <cstring>

#include "compiler/conversion/cpu/level_test.h"
#include "compiler/conversion/cpu/test_util.h"
#include "gtest/gtest.h"

namespace weir {
namespace {

using Values = std::vector<double>;

struct Shape {
  int64_t batch, time, features, classes;
  int64_t tokens() const { return batch * time; }
};

/// Inputs and results in f64.
struct Example {
  explicit Example(const Shape& s)
      : s(s),
        x(randomValues<double>(s.tokens() * s.features, 1)),
        weight(randomValues<double>(s.classes * s.features, 2)),
        ofSum(randomValues<double>(s.tokens(), 3)),
        ofPicked(randomValues<double>(s.tokens(), 4)) {
    for (int64_t t = 0; t < s.tokens(); ++t)
      targets.push_back(t % 5 == 3 ? -1 : static_cast<int32_t>(t * 7919 % s.classes));
  }

  void compute() {
    dx.assign(x.size(), 0);
    dweight.assign(weight.size(), 0);
    for (int64_t t = 0; t < s.tokens(); ++t) computeToken(t);
  }

  const Shape s;
  Values x, weight, ofSum, ofPicked;
  std::vector<int32_t> targets;
  Values logSum, peak, picked, dx, dweight;

 private:
  void computeToken(int64_t t) {
    Values logits(s.classes);
    for (int64_t c = 0; c < s.classes; ++c)
      for (int64_t f = 0; f < s.features; ++f)
        logits[c] += x[t * s.features + f] * weight[c * s.features + f];
    double top = *std::max_element(logits.begin(), logits.end()), sum = 0;
    for (double logit : logits) sum += std::exp(logit - top);
    peak.push_back(top);
    logSum.push_back(top + std::log(sum));
    picked.push_back(targets[t] < 0 ? 0 : logits[targets[t]]);
    for (int64_t c = 0; c < s.classes; ++c) {
      double cotangent = std::exp(logits[c] - logSum.back()) * ofSum[t];
      if (c == targets[t]) cotangent += ofPicked[t];
      for (int64_t f = 0; f < s.features; ++f) {
        dx[t * s.features + f] += cotangent * weight[c * s.features + f];
        dweight[c * s.features + f] += cotangent * x[t * s.features + f];
      }
    }
  }
};

enum class Element { Bf16, F32, F64 };

int64_t bytesOf(Element type) { return type == Element::Bf16 ? 2 : type == Element::F32 ? 4 : 8; }
const char* nameOf(Element type) {
  return type == Element::Bf16 ? "bf16" : type == Element::F32 ? "f32" : "f64";
}

std::vector<char> encode(const Values& values, Element type) {
  std::vector<char> bytes(values.size() * bytesOf(type));
  for (size_t i = 0; i < values.size(); ++i) {
    char* to = &bytes[i * bytesOf(type)];
    if (type == Element::F64) {
      std::memcpy(to, &values[i], 8);
      continue;
    }
    auto value = static_cast<float>(values[i]);
    uint32_t bits;
    std::memcpy(&bits, &value, 4);
    uint16_t upper = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    if (type == Element::Bf16)
      std::memcpy(to, &upper, 2);
    else
      std::memcpy(to, &value, 4);
  }
  return bytes;
}

Values decode(const std::vector<char>& bytes, Element type) {
  Values values(bytes.size() / bytesOf(type));
  for (size_t i = 0; i < values.size(); ++i) {
    const char* from = &bytes[i * bytesOf(type)];
    if (type == Element::F64) {
      std::memcpy(&values[i], from, 8);
      continue;
    }
    uint32_t bits = 0;
    std::memcpy(reinterpret_cast<char*>(&bits) + 4 - bytesOf(type), from, bytesOf(type));
    float value;
    std::memcpy(&value, &bits, 4);
    values[i] = value;
  }
  return values;
}

class LogitStatisticsTest : public LevelTest {
 protected:
  void check(const Shape& s, Element type);
};
INSTANTIATE_TEST_SUITE_P(Levels, LogitStatisticsTest,
                         testing::Values(IsaLevel::Avx2, IsaLevel::Avx512, IsaLevel::Amx));

std::string replaced(std::string text, char mark, const std::string& by) {
  for (size_t at; (at = text.find(mark)) != std::string::npos;) text.replace(at, 1, by);
  return text;
}

std::string kernelText(const Shape& s, Element type, const char* text) {
  Element wide = type == Element::F64 ? Element::F64 : Element::F32;
  std::string aliases =
      "!x = tensor<$Bx$Tx$Fx@>\n!w = tensor<$Cx$Fx@>\n!v = tensor<$Cx$Fx#>\n"
      "!r = tensor<$Bx$Tx#>\n!t = tensor<$Bx$Txi32>\n";
  aliases = fill(aliases, {{'B', s.batch}, {'T', s.time}, {'F', s.features}, {'C', s.classes}});
  return replaced(replaced(aliases, '@', nameOf(type)), '#', nameOf(wide)) + text;
}

constexpr const char* kForward = R"(
func.func @k(%x: !x, %w: !w, %t: !t) -> (!r, !r, !r) attributes {weir.kernel, weir.row_rank = 0 : i64} {
  %s, %p, %o = weir.logit_statistics %x, %w, %t : !x, !w, !t -> !r
  return %s, %p, %o : !r, !r, !r
})";
constexpr const char* kBackward = R"(
func.func @k(%x: !x, %w: !w, %t: !t, %s: !r, %o: !r, %ds: !r, %dp: !r) -> (!x, !v) attributes {weir.kernel, weir.row_rank = 0 : i64} {
  %dx, %dw = weir.logit_statistics_vjp %x, %w, %t, %s, %o, %ds, %dp : (!x, !w, !t, !r, !r, !r, !r) -> (!x, !v)
  return %dx, %dw : !x, !v
})";

void LogitStatisticsTest::check(const Shape& s, Element type) {
  Element wide = type == Element::F64 ? Element::F64 : Element::F32;
  auto forward = LoadedKernel::create(kernelText(s, type, kForward), GetParam());
  auto backward = LoadedKernel::create(kernelText(s, type, kBackward), GetParam());
  ASSERT_TRUE(forward && backward);
  Example example(s);
  auto x = encode(example.x, type), weight = encode(example.weight, type),
       ofSum = encode(example.ofSum, wide), ofPicked = encode(example.ofPicked, wide);
  example.x = decode(x, type);
  example.weight = decode(weight, type);
  example.compute();
  double tolerance = type == Element::Bf16 ? 1e-2 : type == Element::F32 ? 1e-5 : 1e-12;
  double toleranceOfSums = type == Element::F64 ? 1e-12 : 1e-5;
  auto nan = [&](size_t count, Element element) {
    return encode(poisoned<double>(static_cast<int64_t>(count)), element);
  };
  std::vector<std::vector<char>> first;
  for (int threads : {1, 2}) {
    std::vector<std::vector<char>> results;
    for (int i = 0; i < 3; ++i) results.push_back(nan(s.tokens(), wide));
    forward->run({x.data(), weight.data(), example.targets.data(), results[0].data(),
                  results[1].data(), results[2].data()},
                 threads);
    const Values* expected[] = {&example.logSum, &example.peak, &example.picked};
    for (int i = 0; i < 3; ++i)
      EXPECT_LT(relativeError(decode(results[i], wide), *expected[i]), toleranceOfSums) << i;
    auto dx = nan(example.x.size(), type), dweight = nan(example.weight.size(), wide);
    backward->run({x.data(), weight.data(), example.targets.data(), results[0].data(),
                   results[2].data(), ofSum.data(), ofPicked.data(), dx.data(), dweight.data()},
                  threads);
    EXPECT_LT(relativeError(decode(dx, type), example.dx), tolerance);
    EXPECT_LT(relativeError(decode(dweight, wide), example.dweight), tolerance);
    results.push_back(dx);
    results.push_back(dweight);
    if (threads == 1)
      first = results;
    else
      EXPECT_EQ(first, results) << "bits on " << threads << " threads";
  }
}

TEST_P(LogitStatisticsTest, AgreesWithLoops) {
  for (const Shape& s : {Shape{1, 1, 1, 2},
                         {1, 7, 16, 257},
                         {2, 13, 33, 101},
                         {3, 257, 40, 523},
                         {2, 96, 64, 640},
                         {2, 5, 600, 97},
                         {9, 300, 24, 71}})
    for (Element type : {Element::Bf16, Element::F32, Element::F64}) {
      if (type == Element::Bf16 && GetParam() == IsaLevel::Avx2) continue;
      // As on AVX-512.
      if (type == Element::F64 && GetParam() == IsaLevel::Amx) continue;
      SCOPED_TRACE(testing::Message()
                   << s.batch << " x " << s.time << " tokens, " << s.features << " features, "
                   << s.classes << " classes, " << nameOf(type));
      check(s, type);
    }
}

constexpr const char* kSliced = R"(
func.func @k(%a: tensor<2x20x8xf32>, %w: !w, %t: !t) -> (!r, !r, !r) attributes {weir.kernel, weir.row_rank = 0 : i64} {
  %x = tensor.extract_slice %a[0, 5, 0] [2, 13, 8] [1, 1, 1] : tensor<2x20x8xf32> to !x
  %s, %p, %o = weir.logit_statistics %x, %w, %t : !x, !w, !t -> !r
  return %s, %p, %o : !r, !r, !r
})";

TEST_P(LogitStatisticsTest, ReadsRowsOfALargerTensor) {
  Shape s{2, 13, 8, 90};
  auto sliced = LoadedKernel::create(kernelText(s, Element::F32, kSliced), GetParam());
  auto whole = LoadedKernel::create(kernelText(s, Element::F32, kForward), GetParam());
  ASSERT_TRUE(sliced && whole);
  Example example(s);
  std::vector<float> large = randomValues<float>(2 * 20 * 8, 5), x, results[2][3];
  for (int64_t row = 0; row < 2; ++row)
    x.insert(x.end(), &large[(row * 20 + 5) * 8], &large[(row * 20 + 18) * 8]);
  auto weight = encode(example.weight, Element::F32);
  for (int i = 0; i < 2; ++i) {
    for (auto& result : results[i]) result = poisoned<float>(s.tokens());
    (i ? whole : sliced)
        ->run({i ? x.data() : large.data(), weight.data(), example.targets.data(),
               results[i][0].data(), results[i][1].data(), results[i][2].data()},
              2);
  }
  for (int i = 0; i < 3; ++i)
    EXPECT_LT(relativeError(results[0][i], results[1][i]), 1e-6) << "result " << i;
}

}  // namespace
}  // namespace weir
