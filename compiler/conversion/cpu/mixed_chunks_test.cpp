// Mixed chunk attention and its gradient against plain loops.

#include <algorithm>
#include <cstring>

#include "compiler/conversion/cpu/level_test.h"
#include "compiler/conversion/cpu/test_util.h"
#include "gtest/gtest.h"

namespace weir {
namespace {

struct Shape {
  int64_t batch, time, chunk, quad, lin, features;
  /// Diagonals of the bias; none if 0.
  int64_t diagonals;
  int64_t chunks() const { return (time + chunk - 1) / chunk; }
};

using Values = std::vector<double>;

/// The op's inputs, what it gives, and the cotangents, in f64.
struct Example {
  explicit Example(const Shape& s) : s(s) {
    int64_t tokens = s.batch * s.time;
    for (int i = 0; i < 4; ++i)
      inputs.push_back(randomValues<double>(tokens * (i < 2 ? s.quad : s.lin), i + 1));
    inputs.push_back(randomValues<double>(tokens * s.features, 5));
    if (s.diagonals) inputs.push_back(randomValues<double>(s.diagonals, 6, 0.3));
    cotangent = randomValues<double>(tokens * s.features, 7);
  }
  void compute();

  const Shape s;
  std::vector<Values> inputs, gradients;
  Values cotangent, result, means;

 private:
  void computeRow(int64_t row);
  void quadratic(int64_t row, int64_t from, int64_t to);
};

void Example::compute() {
  for (const Values& input : inputs) gradients.emplace_back(input.size());
  result.assign(cotangent.size(), 0);
  means.assign(s.batch * s.chunks() * s.lin * s.features, 0);
  for (int64_t row = 0; row < s.batch; ++row) computeRow(row);
}

void Example::quadratic(int64_t row, int64_t from, int64_t to) {
  for (int64_t i = from; i < to; ++i)
    for (int64_t j = from; j <= i; ++j) {
      int64_t query = row * s.time + i, key = row * s.time + j;
      double x = 0, weightCotangent = 0;
      for (int64_t f = 0; f < s.quad; ++f)
        x += inputs[0][query * s.quad + f] * inputs[1][key * s.quad + f] / s.chunk;
      int64_t diagonal = i - j + (s.diagonals - 1) / 2;
      if (s.diagonals) x += inputs[5][diagonal];
      double positive = std::max(x, 0.0), weight = positive * positive;
      for (int64_t f = 0; f < s.features; ++f) {
        result[query * s.features + f] += weight * inputs[4][key * s.features + f];
        weightCotangent += cotangent[query * s.features + f] * inputs[4][key * s.features + f];
        gradients[4][key * s.features + f] += weight * cotangent[query * s.features + f];
      }
      double dx = weightCotangent * 2 * positive;
      if (s.diagonals) gradients[5][diagonal] += dx;
      for (int64_t f = 0; f < s.quad; ++f) {
        gradients[0][query * s.quad + f] += dx / s.chunk * inputs[1][key * s.quad + f];
        gradients[1][key * s.quad + f] += dx / s.chunk * inputs[0][query * s.quad + f];
      }
    }
}

void Example::computeRow(int64_t row) {
  int64_t size = s.lin * s.features;
  Values sum(size);
  auto forTokens = [&](int64_t g, auto body) {
    for (int64_t t = g * s.chunk; t < std::min((g + 1) * s.chunk, s.time); ++t)
      for (int64_t k = 0; k < s.lin; ++k)
        for (int64_t f = 0; f < s.features; ++f)
          body((row * s.time + t) * s.lin + k, (row * s.time + t) * s.features + f,
               k * s.features + f);
  };
  for (int64_t g = 0; g < s.chunks(); ++g) {
    quadratic(row, g * s.chunk, std::min((g + 1) * s.chunk, s.time));
    double* mean = &means[(row * s.chunks() + g) * size];
    for (int64_t i = 0; i < size; ++i) mean[i] = sum[i] / s.chunk / std::max<int64_t>(g, 1);
    forTokens(g, [&](int64_t k, int64_t v, int64_t i) {
      result[v] += inputs[2][k] * mean[i];
      gradients[2][k] += cotangent[v] * mean[i];
      sum[i] += inputs[3][k] * inputs[4][v];
    });
  }
  Values sumCotangent(size);
  for (int64_t g = s.chunks(); g-- > 0;) {
    forTokens(g, [&](int64_t k, int64_t v, int64_t i) {
      gradients[3][k] += sumCotangent[i] * inputs[4][v];
      gradients[4][v] += sumCotangent[i] * inputs[3][k];
    });
    if (g == 0) break;
    forTokens(g, [&](int64_t k, int64_t v, int64_t i) {
      sumCotangent[i] += inputs[2][k] * cotangent[v] / (s.chunk * g);
    });
  }
}

/// A buffer of bf16 or f32.
std::vector<char> encode(const Values& values, bool narrow) {
  std::vector<char> bytes(values.size() * (narrow ? 2 : 4));
  for (size_t i = 0; i < values.size(); ++i) {
    auto value = static_cast<float>(values[i]);
    uint32_t bits;
    std::memcpy(&bits, &value, 4);
    uint16_t upper = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    std::memcpy(&bytes[i * (narrow ? 2 : 4)], narrow ? static_cast<void*>(&upper) : &value,
                narrow ? 2 : 4);
  }
  return bytes;
}

Values decode(const std::vector<char>& bytes, bool narrow) {
  Values values(bytes.size() / (narrow ? 2 : 4));
  for (size_t i = 0; i < values.size(); ++i) {
    uint32_t bits = 0;
    std::memcpy(reinterpret_cast<char*>(&bits) + (narrow ? 2 : 0), &bytes[i * (narrow ? 2 : 4)],
                narrow ? 2 : 4);
    float value;
    std::memcpy(&value, &bits, 4);
    values[i] = value;
  }
  return values;
}

class MixedChunksTest : public LevelTest {
 protected:
  void check(const Shape& s, bool narrow);
};
INSTANTIATE_TEST_SUITE_P(Levels, MixedChunksTest,
                         testing::Values(IsaLevel::Avx2, IsaLevel::Avx512, IsaLevel::Amx));

/// Types and operands of both ops; `bias` stands for an operand's name or its type.
std::string operands(const Shape& s, const std::string& bias) { return s.diagonals ? bias : ""; }

std::string aliases(const Shape& s, bool narrow) {
  std::string text = fill(
      "!q = tensor<$Bx$Tx$Qx@>\n!l = tensor<$Bx$Tx$Lx@>\n!v = tensor<$Bx$Tx$Ex@>\n"
      "!m = tensor<$Bx$Gx$Lx$Ex@>\n!b = tensor<$Dxf32>\n",
      {{'B', s.batch},
       {'T', s.time},
       {'Q', s.quad},
       {'L', s.lin},
       {'E', s.features},
       {'G', s.chunks()},
       {'D', std::max<int64_t>(s.diagonals, 1)}});
  for (size_t at; (at = text.find('@')) != std::string::npos;)
    text.replace(at, 1, narrow ? "bf16" : "f32");
  return text;
}

void MixedChunksTest::check(const Shape& s, bool narrow) {
  std::string chunk = std::to_string(s.chunk), bias = operands(s, "bias(%b) "),
              type = operands(s, ", !b"), argument = operands(s, ", %b: !b");
  std::string kernel = "kernel(\"relu_squared\") : (!q, !q, !l, !l, !v" + type;
  std::string forwardText =
      aliases(s, narrow) + "func.func @k(%q: !q, %k: !q, %ql: !l, %kl: !l, %v: !v" + argument +
      ") -> (!v, !m) attributes {weir.kernel, weir.row_rank = 0 : i64} {\n"
      "%o, %m = weir.mixed_chunks quad(%q, %k) lin(%ql, %kl) value(%v) " +
      bias + "chunk(" + chunk + ") " + kernel + ") -> (!v, !m)\nreturn %o, %m : !v, !m\n}";
  std::string results = "!q, !q, !l, !l, !v" + type, names = "%g#0, %g#1, %g#2, %g#3, %g#4";
  if (s.diagonals) names += ", %g#5";
  std::string backwardText =
      aliases(s, narrow) + "func.func @k(%q: !q, %k: !q, %ql: !l, %kl: !l, %v: !v" + argument +
      ", %m: !m, %d: !v) -> (" + results +
      ") attributes {weir.kernel, weir.row_rank = 0 : i64} {\n%g:" +
      std::to_string(s.diagonals ? 6 : 5) +
      " = weir.mixed_chunks_vjp quad(%q, %k) lin(%ql, %kl) value(%v) " + bias +
      "means(%m) cotangent(%d) chunk(" + chunk + ") " + kernel + ", !m, !v) -> (" + results +
      ")\nreturn " + names + " : " + results + "\n}";
  auto forward = LoadedKernel::create(forwardText, GetParam());
  auto backward = LoadedKernel::create(backwardText, GetParam());
  ASSERT_TRUE(forward && backward);

  Example example(s);
  std::vector<std::vector<char>> inputs;
  for (size_t i = 0; i < example.inputs.size(); ++i) {
    inputs.push_back(encode(example.inputs[i], narrow && i < 5));
    example.inputs[i] = decode(inputs[i], narrow && i < 5);
  }
  auto cotangent = encode(example.cotangent, narrow);
  example.cotangent = decode(cotangent, narrow);
  example.compute();
  double tolerance = narrow ? 1e-2 : 1e-5;
  auto nan = [&](size_t count, bool narrow) {
    return encode(poisoned<double>(static_cast<int64_t>(count)), narrow);
  };
  std::vector<char> first[7];
  for (int threads : {1, 2}) {
    auto result = nan(example.result.size(), narrow), means = nan(example.means.size(), narrow);
    std::vector<void*> buffers;
    for (auto& input : inputs) buffers.push_back(input.data());
    std::vector<void*> forwardBuffers = buffers;
    forwardBuffers.insert(forwardBuffers.end(), {result.data(), means.data()});
    forward->run(forwardBuffers, threads);
    EXPECT_LT(relativeError(decode(result, narrow), example.result), tolerance);
    EXPECT_LT(relativeError(decode(means, narrow), example.means), tolerance);

    std::vector<std::vector<char>> gradients;
    for (size_t i = 0; i < inputs.size(); ++i)
      gradients.push_back(nan(example.inputs[i].size(), narrow && i < 5));
    buffers.insert(buffers.end(), {means.data(), cotangent.data()});
    for (auto& gradient : gradients) buffers.push_back(gradient.data());
    backward->run(buffers, threads);
    for (size_t i = 0; i < inputs.size(); ++i)
      EXPECT_LT(relativeError(decode(gradients[i], narrow && i < 5), example.gradients[i]),
                tolerance)
          << "gradient of input " << i;
    gradients.push_back(result);
    for (size_t i = 0; i < gradients.size(); ++i) {
      if (threads == 1)
        first[i] = gradients[i];
      else
        EXPECT_EQ(first[i], gradients[i]) << "bits of " << i << " on " << threads << " threads";
    }
  }
}

TEST_P(MixedChunksTest, AgreesWithLoops) {
  for (const Shape& s : {Shape{1, 1, 4, 1, 1, 1, 7},
                         {2, 7, 8, 3, 5, 9, 0},
                         {3, 8, 8, 16, 16, 17, 15},
                         {2, 41, 8, 6, 6, 10, 21},
                         {2, 64, 32, 32, 32, 64, 63},
                         {1, 227, 73, 33, 31, 65, 145},
                         {2, 300, 150, 40, 20, 391, 299},
                         {8, 41, 8, 6, 6, 10, 21},
                         {9, 160, 64, 32, 32, 64, 127},
                         {8, 149, 73, 33, 31, 345, 145},
                         {2, 150, 75, 64, 66, 70, 149},
                         {8, 259, 130, 65, 64, 345, 0},
                         {8, 96, 64, 32, 64, 1056, 127}})
    for (bool narrow : {false, true}) {
      if (narrow && GetParam() == IsaLevel::Avx2) continue;
      SCOPED_TRACE(testing::Message() << "time " << s.time << " chunk " << s.chunk << " features "
                                      << s.features << (narrow ? " bf16" : " f32"));
      check(s, narrow);
    }
}

}  // namespace
}  // namespace weir
