// Products of all layouts against plain loops.

#include "compiler/conversion/cpu/level_test.h"
#include "compiler/conversion/cpu/test_util.h"
#include "gtest/gtest.h"

namespace weir {
namespace {

class ProductTest : public LevelTest {};
INSTANTIATE_TEST_SUITE_P(Levels, ProductTest,
                         testing::Values(IsaLevel::Avx2, IsaLevel::Avx512, IsaLevel::Amx));

/// C[m, n] = sum_k A B with A stored as (m, k) or (k, m) and B as (k, n) or (n, k), of `type`;
/// accumulates into %c.
std::string product(bool transposedA, bool transposedB, const std::string& type, int rowRank,
                    const std::string& sum = "f32") {
  std::string a = transposedA ? "tensor<$Kx$Mx" + type + ">" : "tensor<$Mx$Kx" + type + ">";
  std::string b = transposedB ? "tensor<$Nx$Kx" + type + ">" : "tensor<$Kx$Nx" + type + ">";
  std::string c = "tensor<$Mx$Nx" + sum + ">";
  bool widen = type != sum;
  std::string body = widen ? "%xe = arith.extf %x : " + type + " to " + sum +
                                 "\n%ye = arith.extf %y : " + type + " to " + sum +
                                 "\n%p = arith.mulf %xe, %ye : " + sum
                           : "%p = arith.mulf %x, %y : " + sum;
  return "func.func @k(%a: " + a + ", %b: " + b + ", %c: " + c + ") -> " + c +
         " attributes {weir.kernel, weir.row_rank = " + std::to_string(rowRank) + R"( : i64} {
  %r = linalg.generic {indexing_maps = [affine_map<(m, n, k) -> )" +
         (transposedA ? "(k, m)" : "(m, k)") + ">, affine_map<(m, n, k) -> " +
         (transposedB ? "(n, k)" : "(k, n)") +
         R"(>, affine_map<(m, n, k) -> (m, n)>],
      iterator_types = ["parallel", "parallel", "reduction"]} ins(%a, %b : )" +
         a + ", " + b + ") outs(%c : " + c + ") {\n  ^bb0(%x: " + type + ", %y: " + type +
         ", %o: " + sum + "):\n" + body + "\n%s = arith.addf %o, %p : " + sum +
         "\nlinalg.yield %s : " + sum + "\n} -> " + c + "\n  return %r : " + c + "\n}";
}

template <typename T>
void check(const std::string& text, int64_t m, int64_t n, int64_t k, bool ta, bool tb,
           IsaLevel level, double tolerance) {
  auto kernel = LoadedKernel::create(fill(text, {{'M', m}, {'N', n}, {'K', k}}), level);
  ASSERT_TRUE(kernel);
  auto a = randomValues<T>(m * k, 1), b = randomValues<T>(k * n, 2), c = randomValues<T>(m * n, 3);
  std::vector<double> expected(m * n);
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; ++j) expected[i * n + j] = c[i * n + j];
  for (int64_t i = 0; i < m; ++i)
    for (int64_t q = 0; q < k; ++q) {
      double x = ta ? a[q * m + i] : a[i * k + q];
      for (int64_t j = 0; j < n; ++j)
        expected[i * n + j] += x * double(tb ? b[j * k + q] : b[q * n + j]);
    }
  auto y = poisoned<T>(m * n), again = y;
  kernel->run({a.data(), b.data(), c.data(), y.data()});
  EXPECT_LT(relativeError(y, expected), tolerance) << m << "x" << n << "x" << k << " " << ta << tb;
  for (int threads : {1, 3}) {
    kernel->run({a.data(), b.data(), c.data(), again.data()}, threads);
    EXPECT_EQ(y, again);
  }
}

TEST_P(ProductTest, AllLayoutsAndRemainders) {
  for (auto [m, n, k] : {std::array<int64_t, 3>{1, 1, 1},
                         {6, 8, 4},
                         {14, 32, 256},
                         {15, 33, 257},
                         {13, 31, 5},
                         {97, 65, 129},
                         {300, 17, 300},
                         {64, 100, 64}})
    for (bool ta : {false, true})
      for (bool tb : {false, true})
        check<float>(product(ta, tb, "f32", 0), m, n, k, ta, tb, GetParam(), 3e-6);
}

TEST_P(ProductTest, LongSumsAreSplit) {
  for (auto [m, n, k] : {std::array<int64_t, 3>{64, 64, 16384}, {100, 37, 5000}, {7, 300, 2049}})
    check<float>(product(true, false, "f32", 0), m, n, k, true, false, GetParam(), 1e-5);
}

TEST_P(ProductTest, FewRowsManyColumns) {
  for (auto [m, n, k] : {std::array<int64_t, 3>{16, 5003, 64}, {3, 1000, 100}})
    for (bool tb : {false, true})
      check<float>(product(false, tb, "f32", 1), m, n, k, false, tb, GetParam(), 3e-6);
}

TEST_P(ProductTest, LargeAndConflictingStrides) {
  check<float>(product(false, false, "f32", 1), 500, 512, 1024, false, false, GetParam(), 5e-6);
  check<float>(product(true, false, "f32", 0), 1024, 96, 700, true, false, GetParam(), 5e-6);
}

TEST_P(ProductTest, Doubles) {
  if (GetParam() == IsaLevel::Amx) GTEST_SKIP() << "the code is that of AVX-512";
  for (auto [m, n, k] : {std::array<int64_t, 3>{15, 33, 257}, {64, 64, 3000}, {5, 3, 2}})
    check<double>(product(false, true, "f64", 0, "f64"), m, n, k, false, true, GetParam(), 1e-14);
}

// f32 by matrix tiles of bf16 is no less accurate than f32 by registers, whatever the scales of its
// operands are.
TEST_P(ProductTest, PartsKeepTheAccuracyOfF32) {
  if (GetParam() != IsaLevel::Amx) GTEST_SKIP() << "only AMX takes f32 in parts";
  int64_t m = 150, n = 131, k = 2049;
  for (bool ta : {false, true})
    for (bool tb : {false, true})
      for (float scale : {1.0f, 1e-20f, 1e18f}) {
        auto a = randomValues(m * k, 1), b = randomValues(k * n, 2), c = randomValues(m * n, 3);
        for (float& v : a) v *= scale * std::exp(v);
        for (float& v : b) v *= std::exp(3 * v);
        for (float& v : c) v *= scale;
        std::vector<double> expected(c.begin(), c.end());
        for (int64_t i = 0; i < m; ++i)
          for (int64_t q = 0; q < k; ++q)
            for (int64_t j = 0; j < n; ++j)
              expected[i * n + j] +=
                  double(ta ? a[q * m + i] : a[i * k + q]) * (tb ? b[j * k + q] : b[q * n + j]);
        std::string text = fill(product(ta, tb, "f32", 0), {{'M', m}, {'N', n}, {'K', k}});
        double errors[2];
        for (IsaLevel level : {IsaLevel::Avx512, IsaLevel::Amx}) {
          auto kernel = LoadedKernel::create(text, level);
          ASSERT_TRUE(kernel);
          auto y = poisoned(m * n);
          kernel->run({a.data(), b.data(), c.data(), y.data()});
          errors[level == IsaLevel::Amx] = relativeError(y, expected);
        }
        EXPECT_LE(errors[1], errors[0]) << ta << tb << " " << scale;
        EXPECT_GT(errors[0], 0);
      }
}

// Zeros, and values whose parts are zero, stay exact; no number and infinities are not swallowed.
TEST_P(ProductTest, PartsOfSpecialValues) {
  if (GetParam() != IsaLevel::Amx) GTEST_SKIP() << "only AMX takes f32 in parts";
  int64_t size = 128;
  auto kernel = LoadedKernel::create(
      fill(product(false, false, "f32", 0), {{'M', size}, {'N', size}, {'K', size}}), GetParam());
  ASSERT_TRUE(kernel);
  std::vector<float> a(size * size), b(size * size), c(size * size), y(size * size);
  auto random = randomValues(size, 1);
  for (int64_t i = 0; i < size; ++i) {
    a[i * size + i] = 1;
    for (int64_t j = 0; j < size; ++j) b[i * size + j] = random[(3 * i + j) % size];
  }
  kernel->run({a.data(), b.data(), c.data(), y.data()});
  EXPECT_EQ(y, b);  // by the identity
  a[0] = std::numeric_limits<float>::infinity();
  a[size + 1] = std::numeric_limits<float>::quiet_NaN();
  kernel->run({a.data(), b.data(), c.data(), y.data()});
  for (int64_t j = 0; j < size; ++j) {
    EXPECT_FALSE(std::isfinite(y[j]));
    EXPECT_TRUE(std::isnan(y[size + j]));
    EXPECT_EQ(y[2 * size + j], b[2 * size + j]);
  }
}

uint16_t toBf16(float value) {
  uint32_t bits;
  memcpy(&bits, &value, 4);
  return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}

float fromBf16(uint16_t value) {
  uint32_t bits = uint32_t(value) << 16;
  float result;
  memcpy(&result, &bits, 4);
  return result;
}

TEST_P(ProductTest, Bf16) {
  for (auto [m, n, k] : {std::array<int64_t, 3>{1, 1, 1},
                         {16, 32, 32},
                         {64, 64, 64},
                         {33, 65, 127},
                         {100, 37, 5000},
                         {257, 96, 160}})
    for (bool ta : {false, true})
      for (bool tb : {false, true}) {
        auto kernel = LoadedKernel::create(
            fill(product(ta, tb, "bf16", 0), {{'M', m}, {'N', n}, {'K', k}}), GetParam());
        ASSERT_TRUE(kernel);
        auto af = randomValues(m * k, 1), bf = randomValues(k * n, 2), c = randomValues(m * n, 3);
        std::vector<uint16_t> a, b;
        for (float v : af) a.push_back(toBf16(v));
        for (float v : bf) b.push_back(toBf16(v));
        std::vector<double> expected(c.begin(), c.end());
        for (int64_t i = 0; i < m; ++i)
          for (int64_t q = 0; q < k; ++q)
            for (int64_t j = 0; j < n; ++j)
              expected[i * n + j] += double(fromBf16(ta ? a[q * m + i] : a[i * k + q])) *
                                     fromBf16(tb ? b[j * k + q] : b[q * n + j]);
        auto y = poisoned(m * n), again = y;
        kernel->run({a.data(), b.data(), c.data(), y.data()});
        EXPECT_LT(relativeError(y, expected), 1e-5) << m << "x" << n << "x" << k << " " << ta << tb;
        kernel->run({a.data(), b.data(), c.data(), again.data()}, 3);
        EXPECT_EQ(y, again);
      }
}

// Attention without softmax, as one group of rows (batch, head): scores, square of relu, product
// with values.
TEST_P(ProductTest, BatchedProductsThroughTiles) {
  const char* text = R"(
func.func @k(%q: tensor<$Bx$Tx$Dxf32>, %k: tensor<$Bx$Tx$Dxf32>, %v: tensor<$Bx$Tx$Dxf32>) -> tensor<$Bx$Tx$Dxf32> attributes {weir.kernel, weir.row_rank = $R : i64} {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<$Bx$Tx$Txf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<$Bx$Tx$Txf32>) -> tensor<$Bx$Tx$Txf32>
  %s = linalg.generic {indexing_maps = [affine_map<(b, i, j, d) -> (b, i, d)>, affine_map<(b, i, j, d) -> (b, j, d)>, affine_map<(b, i, j, d) -> (b, i, j)>],
      iterator_types = ["parallel", "parallel", "parallel", "reduction"]} ins(%q, %k : tensor<$Bx$Tx$Dxf32>, tensor<$Bx$Tx$Dxf32>) outs(%f : tensor<$Bx$Tx$Txf32>) {
  ^bb0(%x: f32, %y: f32, %o: f32):
    %p = arith.mulf %x, %y : f32
    %a = arith.addf %o, %p : f32
    linalg.yield %a : f32
  } -> tensor<$Bx$Tx$Txf32>
  %w = linalg.generic {indexing_maps = [affine_map<(b, i, j) -> (b, i, j)>, affine_map<(b, i, j) -> (b, i, j)>],
      iterator_types = ["parallel", "parallel", "parallel"]} ins(%s : tensor<$Bx$Tx$Txf32>) outs(%e : tensor<$Bx$Tx$Txf32>) {
  ^bb0(%x: f32, %o: f32):
    %i = linalg.index 1 : index
    %j = linalg.index 2 : index
    %c = arith.cmpi sle, %j, %i : index
    %r = arith.maximumf %x, %zero : f32
    %sq = arith.mulf %r, %r : f32
    %m = arith.select %c, %sq, %zero : f32
    linalg.yield %m : f32
  } -> tensor<$Bx$Tx$Txf32>
  %e2 = tensor.empty() : tensor<$Bx$Tx$Dxf32>
  %f2 = linalg.fill ins(%zero : f32) outs(%e2 : tensor<$Bx$Tx$Dxf32>) -> tensor<$Bx$Tx$Dxf32>
  %y = linalg.generic {indexing_maps = [affine_map<(b, i, d, j) -> (b, i, j)>, affine_map<(b, i, d, j) -> (b, j, d)>, affine_map<(b, i, d, j) -> (b, i, d)>],
      iterator_types = ["parallel", "parallel", "parallel", "reduction"]} ins(%w, %v : tensor<$Bx$Tx$Txf32>, tensor<$Bx$Tx$Dxf32>) outs(%f2 : tensor<$Bx$Tx$Dxf32>) {
  ^bb0(%x: f32, %z: f32, %o: f32):
    %p = arith.mulf %x, %z : f32
    %a = arith.addf %o, %p : f32
    linalg.yield %a : f32
  } -> tensor<$Bx$Tx$Dxf32>
  return %y : tensor<$Bx$Tx$Dxf32>
})";
  for (auto [batch, t, d] :
       {std::array<int64_t, 3>{1, 1, 1}, {3, 17, 9}, {5, 64, 32}, {2, 131, 67}})
    for (int rank : {1, 2}) {
      auto kernel = LoadedKernel::create(
          fill(text, {{'B', batch}, {'T', t}, {'D', d}, {'R', rank}}), GetParam());
      ASSERT_TRUE(kernel);
      auto q = randomValues(batch * t * d, 1), k = randomValues(batch * t * d, 2),
           v = randomValues(batch * t * d, 3);
      std::vector<double> expected(batch * t * d);
      for (int64_t n = 0; n < batch; ++n)
        for (int64_t i = 0; i < t; ++i)
          for (int64_t j = 0; j <= i; ++j) {
            double s = 0;
            for (int64_t e = 0; e < d; ++e)
              s += double(q[(n * t + i) * d + e]) * k[(n * t + j) * d + e];
            s = std::max(s, 0.0) * std::max(s, 0.0);
            for (int64_t e = 0; e < d; ++e)
              expected[(n * t + i) * d + e] += s * v[(n * t + j) * d + e];
          }
      auto y = poisoned(batch * t * d), again = y;
      kernel->run({q.data(), k.data(), v.data(), y.data()});
      EXPECT_LT(relativeError(y, expected), 1e-5)
          << batch << "x" << t << "x" << d << " rank " << rank;
      for (int threads : {1, 3}) {
        kernel->run({q.data(), k.data(), v.data(), again.data()}, threads);
        EXPECT_EQ(y, again);
      }
    }
}

// softmax(x W + bias) with x [B, T, D] on rows (B, T); the position bias [T, N] keeps the two row
// dimensions apart.
TEST_P(ProductTest, SoftmaxOfProductWithPositionBias) {
  const char* text = R"(
func.func @k(%x: tensor<$Bx$Tx$Dxf32>, %w: tensor<$Nx$Dxf32>, %bias: tensor<$Tx$Nxf32>) -> (tensor<$Bx$Tx$Nxf32>, tensor<$Bx$Txf32>) attributes {weir.kernel, weir.row_rank = 2 : i64} {
  %zero = arith.constant 0.0 : f32
  %low = arith.constant 0xFF800000 : f32
  %e = tensor.empty() : tensor<$Bx$Tx$Nxf32>
  %er = tensor.empty() : tensor<$Bx$Txf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<$Bx$Tx$Nxf32>) -> tensor<$Bx$Tx$Nxf32>
  %s = linalg.generic {indexing_maps = [affine_map<(b, t, n, d) -> (b, t, d)>, affine_map<(b, t, n, d) -> (n, d)>, affine_map<(b, t, n, d) -> (b, t, n)>],
      iterator_types = ["parallel", "parallel", "parallel", "reduction"]} ins(%x, %w : tensor<$Bx$Tx$Dxf32>, tensor<$Nx$Dxf32>) outs(%f : tensor<$Bx$Tx$Nxf32>) {
  ^bb0(%a: f32, %c: f32, %o: f32):
    %p = arith.mulf %a, %c : f32
    %q = arith.addf %o, %p : f32
    linalg.yield %q : f32
  } -> tensor<$Bx$Tx$Nxf32>
  %z = linalg.generic {indexing_maps = [affine_map<(b, t, n) -> (b, t, n)>, affine_map<(b, t, n) -> (t, n)>, affine_map<(b, t, n) -> (b, t, n)>],
      iterator_types = ["parallel", "parallel", "parallel"]} ins(%s, %bias : tensor<$Bx$Tx$Nxf32>, tensor<$Tx$Nxf32>) outs(%e : tensor<$Bx$Tx$Nxf32>) {
  ^bb0(%a: f32, %c: f32, %o: f32):
    %q = arith.addf %a, %c : f32
    linalg.yield %q : f32
  } -> tensor<$Bx$Tx$Nxf32>
  %fm = linalg.fill ins(%low : f32) outs(%er : tensor<$Bx$Txf32>) -> tensor<$Bx$Txf32>
  %m = linalg.generic {indexing_maps = [affine_map<(b, t, n) -> (b, t, n)>, affine_map<(b, t, n) -> (b, t)>],
      iterator_types = ["parallel", "parallel", "reduction"]} ins(%z : tensor<$Bx$Tx$Nxf32>) outs(%fm : tensor<$Bx$Txf32>) {
  ^bb0(%a: f32, %o: f32):
    %q = arith.maximumf %o, %a : f32
    linalg.yield %q : f32
  } -> tensor<$Bx$Txf32>
  %fs = linalg.fill ins(%zero : f32) outs(%er : tensor<$Bx$Txf32>) -> tensor<$Bx$Txf32>
  %sum = linalg.generic {indexing_maps = [affine_map<(b, t, n) -> (b, t, n)>, affine_map<(b, t, n) -> (b, t)>, affine_map<(b, t, n) -> (b, t)>],
      iterator_types = ["parallel", "parallel", "reduction"]} ins(%z, %m : tensor<$Bx$Tx$Nxf32>, tensor<$Bx$Txf32>) outs(%fs : tensor<$Bx$Txf32>) {
  ^bb0(%a: f32, %c: f32, %o: f32):
    %d = arith.subf %a, %c : f32
    %x1 = math.exp %d : f32
    %q = arith.addf %o, %x1 : f32
    linalg.yield %q : f32
  } -> tensor<$Bx$Txf32>
  %y = linalg.generic {indexing_maps = [affine_map<(b, t, n) -> (b, t, n)>, affine_map<(b, t, n) -> (b, t)>, affine_map<(b, t, n) -> (b, t)>, affine_map<(b, t, n) -> (b, t, n)>],
      iterator_types = ["parallel", "parallel", "parallel"]} ins(%z, %m, %sum : tensor<$Bx$Tx$Nxf32>, tensor<$Bx$Txf32>, tensor<$Bx$Txf32>) outs(%e : tensor<$Bx$Tx$Nxf32>) {
  ^bb0(%a: f32, %c: f32, %g: f32, %o: f32):
    %d = arith.subf %a, %c : f32
    %x1 = math.exp %d : f32
    %q = arith.divf %x1, %g : f32
    linalg.yield %q : f32
  } -> tensor<$Bx$Tx$Nxf32>
  return %y, %m : tensor<$Bx$Tx$Nxf32>, tensor<$Bx$Txf32>
})";
  for (auto [batch, t, d, n] :
       {std::array<int64_t, 4>{1, 1, 1, 1}, {3, 17, 9, 33}, {4, 80, 64, 65}, {33, 2, 31, 40}}) {
    auto kernel =
        LoadedKernel::create(fill(text, {{'B', batch}, {'T', t}, {'D', d}, {'N', n}}), GetParam());
    ASSERT_TRUE(kernel);
    auto x = randomValues(batch * t * d, 1), w = randomValues(n * d, 2),
         bias = randomValues(t * n, 3);
    std::vector<double> expected(batch * t * n), largest(batch * t, -1e30);
    for (int64_t r = 0; r < batch * t; ++r) {
      double total = 0;
      for (int64_t j = 0; j < n; ++j) {
        double s = bias[r % t * n + j];
        for (int64_t e = 0; e < d; ++e) s += double(x[r * d + e]) * w[j * d + e];
        expected[r * n + j] = s;
        largest[r] = std::max(largest[r], s);
      }
      for (int64_t j = 0; j < n; ++j)
        total += expected[r * n + j] = std::exp(expected[r * n + j] - largest[r]);
      for (int64_t j = 0; j < n; ++j) expected[r * n + j] /= total;
    }
    auto y = poisoned(batch * t * n), m = poisoned(batch * t), again = y;
    kernel->run({x.data(), w.data(), bias.data(), y.data(), m.data()});
    EXPECT_LT(relativeError(y, expected), 1e-5) << batch << "x" << t << "x" << d << "x" << n;
    EXPECT_LT(relativeError(m, largest), 1e-5);
    for (int threads : {1, 3}) {
      kernel->run({x.data(), w.data(), bias.data(), again.data(), m.data()}, threads);
      EXPECT_EQ(y, again);
    }
  }
}

}  // namespace
}  // namespace weir
