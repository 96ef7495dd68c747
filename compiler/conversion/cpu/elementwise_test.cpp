// Elementwise kernels and reductions against plain loops.

#include "compiler/conversion/cpu/level_test.h"
#include "compiler/conversion/cpu/test_util.h"
#include "gtest/gtest.h"

namespace weir {
namespace {

class ElementwiseTest : public LevelTest {};
INSTANTIATE_TEST_SUITE_P(Levels, ElementwiseTest,
                         testing::Values(IsaLevel::Avx2, IsaLevel::Avx512, IsaLevel::Amx));

TEST_P(ElementwiseTest, GateWithBroadcastParameter) {
  const char* text = R"(
func.func @k(%x: tensor<$Mx$Nxf32>, %g: tensor<$Nxf32>, %s: f32) -> tensor<$Mx$Nxf32> attributes {weir.kernel, weir.row_rank = 1 : i64} {
  %e = tensor.empty() : tensor<$Mx$Nxf32>
  %r = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (j)>, affine_map<(i, j) -> (i, j)>],
      iterator_types = ["parallel", "parallel"]} ins(%x, %g : tensor<$Mx$Nxf32>, tensor<$Nxf32>) outs(%e : tensor<$Mx$Nxf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %one = arith.constant 1.0 : f32
    %n = arith.negf %a : f32
    %x1 = math.exp %n : f32
    %d = arith.addf %x1, %one : f32
    %q = arith.divf %one, %d : f32
    %t = math.tanh %b : f32
    %p = arith.mulf %q, %t : f32
    %z = arith.addf %p, %s : f32
    linalg.yield %z : f32
  } -> tensor<$Mx$Nxf32>
  return %r : tensor<$Mx$Nxf32>
})";
  for (auto [m, n] : {std::pair<int64_t, int64_t>{1, 1},
                      {3, 5},
                      {7, 16},
                      {33, 17},
                      {100, 64},
                      {257, 131},
                      {1031, 97}}) {
    auto kernel = LoadedKernel::create(fill(text, {{'M', m}, {'N', n}}), GetParam());
    ASSERT_TRUE(kernel);
    auto x = randomValues(m * n, 1, 4), g = randomValues(n, 2, 3);
    float s = 0.25;
    std::vector<double> expected(m * n);
    for (int64_t i = 0; i < m * n; ++i)
      expected[i] = std::tanh(double(g[i % n])) / (1 + std::exp(-double(x[i]))) + s;
    auto y = poisoned(m * n);
    kernel->run({x.data(), g.data(), &s, y.data()});
    EXPECT_LT(relativeError(y, expected), 1e-6) << m << "x" << n;
    auto again = poisoned(m * n);
    for (int threads : {1, 3}) {
      kernel->run({x.data(), g.data(), &s, again.data()}, threads);
      EXPECT_EQ(y, again);
    }
  }
}

std::string reduction(const char* outMap, const char* outType, const char* kinds, const char* fill0,
                      const char* op) {
  return std::string(R"(
func.func @k(%x: tensor<$Mx$Nxf32>) -> )") +
         outType + R"( attributes {weir.kernel, weir.row_rank = 0 : i64} {
  %z = arith.constant )" +
         fill0 + R"( : f32
  %e = tensor.empty() : )" +
         outType + R"(
  %f = linalg.fill ins(%z : f32) outs(%e : )" +
         outType + ") -> " + outType + R"(
  %r = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> )" +
         outMap + R"(>],
      iterator_types = )" +
         kinds + R"(} ins(%x : tensor<$Mx$Nxf32>) outs(%f : )" + outType + R"() {
  ^bb0(%a: f32, %o: f32):
    %q = )" +
         op + R"( : f32
    linalg.yield %q : f32
  } -> )" +
         outType + R"(
  return %r : )" +
         outType + "\n}";
}

TEST_P(ElementwiseTest, SumsOverRowsColumnsAndAll) {
  for (auto [m, n] : {std::pair<int64_t, int64_t>{1, 1},
                      {5, 3},
                      {17, 117},
                      {64, 64},
                      {1280, 65},
                      {4099, 37},
                      {3, 100003},
                      {16, 4096}}) {
    auto x = randomValues(m * n, 3);
    std::vector<double> rows(m), columns(n), all(1);
    for (int64_t i = 0; i < m * n; ++i) rows[i / n] += x[i], columns[i % n] += x[i], all[0] += x[i];
    struct Case {
      const char *map, *type, *kinds;
      std::vector<double>& expected;
    } cases[] = {{"(i)", "tensor<$Mxf32>", R"(["parallel", "reduction"])", rows},
                 {"(j)", "tensor<$Nxf32>", R"(["reduction", "parallel"])", columns},
                 {"()", "tensor<f32>", R"(["reduction", "reduction"])", all}};
    for (const Case& c : cases) {
      auto text =
          fill(reduction(c.map, c.type, c.kinds, "0.0", "arith.addf %o, %a"), {{'M', m}, {'N', n}});
      auto kernel = LoadedKernel::create(text, GetParam());
      ASSERT_TRUE(kernel);
      auto y = poisoned(c.expected.size()), again = y;
      kernel->run({x.data(), y.data()}, 2);
      double scale = std::sqrt(double(m * n) / c.expected.size()), error = 0;
      for (size_t i = 0; i < y.size(); ++i)
        error = std::max(error, std::abs(y[i] - c.expected[i]) / scale);
      EXPECT_LT(error, 2e-6) << c.type << " " << m << "x" << n;
      for (int threads : {1, 3}) {
        kernel->run({x.data(), again.data()}, threads);
        EXPECT_EQ(y, again);
      }
    }
  }
}

TEST_P(ElementwiseTest, MaximumOfRows) {
  for (auto [m, n] : {std::pair<int64_t, int64_t>{1, 1}, {5, 3}, {64, 67}, {2049, 19}}) {
    auto x = randomValues(m * n, 3);
    for (float& v : x) v -= 2;
    auto kernel =
        LoadedKernel::create(fill(reduction("(i)", "tensor<$Mxf32>", R"(["parallel", "reduction"])",
                                            "0xFF800000", "arith.maximumf %o, %a"),
                                  {{'M', m}, {'N', n}}),
                             GetParam());
    ASSERT_TRUE(kernel);
    auto y = poisoned(m), expected = std::vector<float>(m, -INFINITY);
    for (int64_t i = 0; i < m * n; ++i) expected[i / n] = std::max(expected[i / n], x[i]);
    kernel->run({x.data(), y.data()});
    EXPECT_EQ(y, expected);
  }
}

TEST_P(ElementwiseTest, TransposedReadWindowAndStrides) {
  // y[t, d] = sum_k x[t + k, d] * w[k, d] + u[d, t], with x a view of wider rows.
  const char* text = R"(
func.func @k(%x: tensor<$Ux$Nxf32> {weir.strides = array<i64: $S, 1>}, %w: tensor<4x$Nxf32>, %u: tensor<$Nx$Mxf32>) -> tensor<$Mx$Nxf32> attributes {weir.kernel, weir.row_rank = 0 : i64} {
  %e = tensor.empty() : tensor<$Mx$Nxf32>
  %c = linalg.generic {indexing_maps = [affine_map<(i, j) -> (j, i)>, affine_map<(i, j) -> (i, j)>],
      iterator_types = ["parallel", "parallel"]} ins(%u : tensor<$Nx$Mxf32>) outs(%e : tensor<$Mx$Nxf32>) {
  ^bb0(%a: f32, %o: f32):
    linalg.yield %a : f32
  } -> tensor<$Mx$Nxf32>
  %r = linalg.generic {indexing_maps = [affine_map<(i, j, k) -> (i + k, j)>, affine_map<(i, j, k) -> (k, j)>, affine_map<(i, j, k) -> (i, j)>],
      iterator_types = ["parallel", "parallel", "reduction"]} ins(%x, %w : tensor<$Ux$Nxf32>, tensor<4x$Nxf32>) outs(%c : tensor<$Mx$Nxf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %p = arith.mulf %a, %b : f32
    %s = arith.addf %o, %p : f32
    linalg.yield %s : f32
  } -> tensor<$Mx$Nxf32>
  return %r : tensor<$Mx$Nxf32>
})";
  for (auto [m, n] : {std::pair<int64_t, int64_t>{1, 1}, {9, 31}, {130, 64}, {701, 67}}) {
    int64_t stride = n + 5;
    auto kernel = LoadedKernel::create(
        fill(text, {{'M', m}, {'N', n}, {'U', m + 3}, {'S', stride}}), GetParam());
    ASSERT_TRUE(kernel);
    auto x = randomValues((m + 2) * stride + n, 1), w = randomValues(4 * n, 2),
         u = randomValues(m * n, 3);
    std::vector<double> expected(m * n);
    for (int64_t i = 0; i < m; ++i)
      for (int64_t j = 0; j < n; ++j) {
        expected[i * n + j] = u[j * m + i];
        for (int64_t k = 0; k < 4; ++k)
          expected[i * n + j] += double(x[(i + k) * stride + j]) * w[k * n + j];
      }
    auto y = poisoned(m * n);
    kernel->run({x.data(), w.data(), u.data(), y.data()});
    EXPECT_LT(relativeError(y, expected), 1e-6) << m << "x" << n;
  }
}

TEST_P(ElementwiseTest, IndexMaskAndIntegers) {
  const char* text = R"(
func.func @k(%x: tensor<$Bx$Nxf32>, %keep: tensor<$Nxi1>, %seed: i64) -> (tensor<$Bx$Nxf32>, tensor<$Bx$Nxi1>, tensor<$Bx$Nxi32>) attributes {weir.kernel, weir.row_rank = 2 : i64} {
  %e = tensor.empty() : tensor<$Bx$Nxf32>
  %e1 = tensor.empty() : tensor<$Bx$Nxi1>
  %e2 = tensor.empty() : tensor<$Bx$Nxi32>
  %r:3 = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (j)>, affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>],
      iterator_types = ["parallel", "parallel"]} ins(%x, %keep : tensor<$Bx$Nxf32>, tensor<$Nxi1>) outs(%e, %e1, %e2 : tensor<$Bx$Nxf32>, tensor<$Bx$Nxi1>, tensor<$Bx$Nxi32>) {
  ^bb0(%a: f32, %m: i1, %o: f32, %o1: i1, %o2: i32):
    %i = linalg.index 0 : index
    %j = linalg.index 1 : index
    %late = arith.cmpi sgt, %j, %i : index
    %both = arith.andi %late, %m : i1
    %zero = arith.constant 0.0 : f32
    %v = arith.select %both, %a, %zero : f32
    %ji = arith.index_cast %j : index to i64
    %sum = arith.addi %ji, %seed : i64
    %t = arith.trunci %sum : i64 to i32
    %c = arith.constant -766435501 : i32
    %lo, %hi = arith.mului_extended %t, %c : i32
    %mix = arith.xori %lo, %hi : i32
    linalg.yield %v, %both, %mix : f32, i1, i32
  } -> (tensor<$Bx$Nxf32>, tensor<$Bx$Nxi1>, tensor<$Bx$Nxi32>)
  return %r#0, %r#1, %r#2 : tensor<$Bx$Nxf32>, tensor<$Bx$Nxi1>, tensor<$Bx$Nxi32>
})";
  for (auto [m, n] : {std::pair<int64_t, int64_t>{1, 1}, {9, 31}, {300, 333}}) {
    auto kernel = LoadedKernel::create(fill(text, {{'B', m}, {'N', n}}), GetParam());
    ASSERT_TRUE(kernel);
    auto x = randomValues(m * n, 1);
    std::vector<uint8_t> keep(n), both(m * n, 9);
    for (int64_t j = 0; j < n; ++j) keep[j] = j % 3 != 0;
    int64_t seed = 0x123456789;
    auto y = poisoned(m * n);
    std::vector<uint32_t> mix(m * n);
    kernel->run({x.data(), keep.data(), &seed, y.data(), both.data(), mix.data()});
    for (int64_t i = 0; i < m; ++i)
      for (int64_t j = 0; j < n; ++j) {
        bool expected = j > i && keep[j];
        ASSERT_EQ(both[i * n + j], expected);
        ASSERT_EQ(y[i * n + j], expected ? x[i * n + j] : 0.0f);
        uint64_t product = uint64_t(uint32_t(j + seed)) * uint32_t(-766435501);
        ASSERT_EQ(mix[i * n + j], uint32_t(product) ^ uint32_t(product >> 32));
      }
  }
}

TEST_P(ElementwiseTest, DoublesUseLibm) {
  const char* text = R"(
func.func @k(%x: tensor<$Nxf64>) -> tensor<$Nxf64> attributes {weir.kernel, weir.row_rank = 0 : i64} {
  %e = tensor.empty() : tensor<$Nxf64>
  %r = linalg.generic {indexing_maps = [affine_map<(j) -> (j)>, affine_map<(j) -> (j)>],
      iterator_types = ["parallel"]} ins(%x : tensor<$Nxf64>) outs(%e : tensor<$Nxf64>) {
  ^bb0(%a: f64, %o: f64):
    %1 = math.exp %a : f64
    %2 = math.log1p %1 : f64
    %3 = math.tanh %2 : f64
    linalg.yield %3 : f64
  } -> tensor<$Nxf64>
  return %r : tensor<$Nxf64>
})";
  for (int64_t n : {1, 7, 8, 100}) {
    auto kernel = LoadedKernel::create(fill(text, {{'N', n}}), GetParam());
    ASSERT_TRUE(kernel);
    auto x = randomValues<double>(n, 1, 30), y = poisoned<double>(n);
    std::vector<double> expected(n);
    for (int64_t i = 0; i < n; ++i) expected[i] = std::tanh(std::log1p(std::exp(x[i])));
    kernel->run({x.data(), y.data()});
    for (int64_t i = 0; i < n; ++i) EXPECT_LT(std::abs(y[i] - expected[i]), 1e-14 * expected[i]);
  }
}

TEST_P(ElementwiseTest, FunctionsOfF32) {
  struct Function {
    const char* op;
    double (*reference)(double);
    double low, high, tolerance;
    /// Below this the error is not relative.
    double least = 0.1;
  } functions[] = {
      {"math.exp", std::exp, -87, 88, 4e-7},
      {"math.tanh", std::tanh, -10, 10, 1e-6},
      {"math.log", std::log, 1e-3, 100, 1e-6},
      {"math.log1p", std::log1p, -0.9, 50, 1e-6},
      {"math.erf", std::erf, -6, 6, 3e-7},
      {"math.erf", std::erf, -1, 1, 3e-7, 1e-30},
      {"weir.sigmoid", [](double x) { return 1 / (1 + std::exp(-x)); }, -75, 100, 1e-6, 1e-30},
      {"math.sin", std::sin, -20, 70000, 2e-6},
      {"math.cos", std::cos, -20, 70000, 2e-6},
      {"math.sqrt", std::sqrt, 0, 100, 1e-6},
      {"math.expm1", std::expm1, -3, 3, 1e-6},
      {"math.rsqrt", [](double x) { return 1 / std::sqrt(x); }, 1e-3, 100, 1e-6},
  };
  for (const Function& function : functions) {
    std::string text = std::string(R"(
func.func @k(%x: tensor<1001xf32>) -> tensor<1001xf32> attributes {weir.kernel, weir.row_rank = 0 : i64} {
  %e = tensor.empty() : tensor<1001xf32>
  %r = linalg.generic {indexing_maps = [affine_map<(j) -> (j)>, affine_map<(j) -> (j)>],
      iterator_types = ["parallel"]} ins(%x : tensor<1001xf32>) outs(%e : tensor<1001xf32>) {
  ^bb0(%a: f32, %o: f32):
    %1 = )") + function.op +
                       R"( %a : f32
    linalg.yield %1 : f32
  } -> tensor<1001xf32>
  return %r : tensor<1001xf32>
})";
    auto kernel = LoadedKernel::create(text, GetParam());
    ASSERT_TRUE(kernel);
    std::vector<float> x(1001), y = poisoned(1001);
    for (int i = 0; i <= 1000; ++i) x[i] = function.low + (function.high - function.low) * i / 1000;
    kernel->run({x.data(), y.data()});
    for (int i = 0; i <= 1000; ++i) {
      double expected = function.reference(x[i]);
      EXPECT_LT(std::abs(y[i] - expected),
                function.tolerance * std::max(std::abs(expected), function.least))
          << function.op << " " << x[i] << ": " << y[i];
    }
  }
}

}  // namespace

size_t countOf(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

TEST_P(ElementwiseTest, GeluGradientIsOneFunction) {
  auto kernelOf = [](const std::string& weighted) {
    return R"(
func.func @k(%x: tensor<1001xf32>) -> tensor<1001xf32> attributes {weir.kernel, weir.row_rank = 0 : i64} {
  %e = tensor.empty() : tensor<1001xf32>
  %r = linalg.generic {indexing_maps = [affine_map<(j) -> (j)>, affine_map<(j) -> (j)>],
      iterator_types = ["parallel"]} ins(%x : tensor<1001xf32>) outs(%e : tensor<1001xf32>) {
  ^bb0(%a: f32, %o: f32):
    %half = arith.constant 5.0e-01 : f32
    %one = arith.constant 1.0 : f32
    %c = arith.constant 0.707106769 : f32
    %d = arith.constant 0.398942292 : f32
    %1 = arith.mulf %a, %c : f32
    %2 = math.erf %1 : f32
    %3 = arith.addf %2, %one : f32
    %4 = arith.mulf %3, %half : f32
    %5 = arith.mulf %a, %a : f32
    %6 = arith.mulf %5, %half : f32
    %7 = arith.negf %6 : f32
    %8 = math.exp %7 : f32
    %9 = arith.mulf %8, %d : f32
    %10 = arith.mulf )" +
           weighted + R"(, %9 : f32
    %11 = arith.addf %4, %10 : f32
    linalg.yield %11 : f32
  } -> tensor<1001xf32>
  return %r : tensor<1001xf32>
})";
  };
  for (bool isGradient : {true, false}) {
    std::string text = kernelOf(isGradient ? "%a" : "%1");
    auto kernel = LoadedKernel::create(text, GetParam());
    ASSERT_TRUE(kernel);
    std::vector<float> x(1001), y = poisoned(1001);
    for (int i = 0; i <= 1000; ++i) x[i] = 0.014F * static_cast<float>(i - 500);
    x[0] = -1e30F, x[1] = 1e30F, x[2] = std::nanf("");
    kernel->run({x.data(), y.data()});
    for (int i = 0; i <= 1000; ++i) {
      double a = x[i], density = std::exp(-a * a / 2) / std::sqrt(2 * M_PI);
      double weight = isGradient ? a : a * std::sqrt(0.5);
      double expected = (1 + std::erf(a * std::sqrt(0.5))) / 2 + weight * density;
      if (std::isnan(a))
        EXPECT_TRUE(std::isnan(y[i]));
      else
        EXPECT_NEAR(y[i], expected, 2.5e-7) << a;
    }
    // Six coefficients for whole vectors, six for the masked rest, and no exponential.
    if (GetParam() != IsaLevel::Avx2 && isGradient)
      EXPECT_EQ(countOf(assemblyOf(text, GetParam()), "vpslld"), 0u);
  }
}

TEST_P(ElementwiseTest, SmallTablesAreNotGathered) {
  const char* text = R"(
func.func @k(%x: tensor<$Mx$Nxf32>, %w: tensor<$Nx3xf32>) -> tensor<$Mx$Nxf32> attributes {weir.kernel, weir.row_rank = 1 : i64} {
  %e = tensor.empty() : tensor<$Mx$Nxf32>
  %r = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (j, 0)>, affine_map<(i, j) -> (j, 2)>, affine_map<(i, j) -> (i, j)>],
      iterator_types = ["parallel", "parallel"]} ins(%x, %w, %w : tensor<$Mx$Nxf32>, tensor<$Nx3xf32>, tensor<$Nx3xf32>) outs(%e : tensor<$Mx$Nxf32>) {
  ^bb0(%a: f32, %b: f32, %c: f32, %o: f32):
    %1 = arith.mulf %a, %b : f32
    %2 = arith.addf %1, %c : f32
    linalg.yield %2 : f32
  } -> tensor<$Mx$Nxf32>
  return %r : tensor<$Mx$Nxf32>
})";
  for (auto [m, n] : {std::pair<int64_t, int64_t>{1, 1}, {40, 1}, {3, 17}, {1000, 16}, {70, 301}}) {
    auto kernel = LoadedKernel::create(fill(text, {{'M', m}, {'N', n}}), GetParam());
    ASSERT_TRUE(kernel);
    auto x = randomValues(m * n, 1), w = randomValues(n * 3, 2), y = poisoned(m * n);
    kernel->run({x.data(), w.data(), y.data()});
    for (int64_t i = 0; i < m * n; ++i) {
      double expected = double{x[i]} * w[i % n * 3] + w[i % n * 3 + 2];
      EXPECT_NEAR(y[i], expected, 3e-7);
    }
  }
  // A row repays no copy in scratch memory, many do.
  for (auto [m, bytes] : {std::pair<int64_t, int64_t>{1, 0}, {1000, 64 * 3 * 4}}) {
    auto kernel = LoadedKernel::create(fill(text, {{'M', m}, {'N', 64}}), GetParam());
    ASSERT_TRUE(kernel);
    EXPECT_EQ(kernel->kernel.sharedScratchBytes, bytes);
  }
}

}  // namespace weir
