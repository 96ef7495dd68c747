// Sums over the rows of a kernel, beside the steps that make what they add up.

#include "compiler/conversion/cpu/level_test.h"
#include "compiler/conversion/cpu/test_util.h"
#include "gtest/gtest.h"

namespace weir {
namespace {

class RowSumsTest : public LevelTest {};
INSTANTIATE_TEST_SUITE_P(Levels, RowSumsTest,
                         testing::Values(IsaLevel::Avx2, IsaLevel::Avx512, IsaLevel::Amx));

/// Runs the kernel on `threads` threads for its results, of these sizes.
template <typename T>
std::vector<std::vector<T>> run(LoadedKernel& kernel, std::vector<std::vector<T>> arguments,
                                const std::vector<int64_t>& sizes, int threads) {
  std::vector<std::vector<T>> results;
  for (int64_t size : sizes) results.push_back(poisoned<T>(size));
  std::vector<void*> pointers;
  for (std::vector<T>& argument : arguments) pointers.push_back(argument.data());
  for (std::vector<T>& result : results) pointers.push_back(result.data());
  kernel.run(pointers, threads);
  return results;
}

/// y = x s + v, its sum (from v on) and its sum weighted by x, over both row dimensions; and the
/// sum of x over them and over what is no row.
const char kElements[] = R"(
#id = affine_map<(b, t, d) -> (b, t, d)>
#row = affine_map<(b, t, d) -> (b, t)>
#column = affine_map<(b, t, d) -> (d)>
#id4 = affine_map<(b, t, e, d) -> (b, t, e, d)>
#column4 = affine_map<(b, t, e, d) -> (d)>
func.func @k(%x: tensor<$Bx$Tx$Dx!F>, %s: tensor<$Bx$Tx!F>, %v: tensor<$Dx!F>, %z: tensor<$Bx$Tx$Ex$Dx!F>)
    -> (tensor<$Bx$Tx$Dx!F>, tensor<$Dx!F>, tensor<$Dx!F>, tensor<$Dx!F>)
    attributes {weir.kernel, weir.row_rank = 2 : i64} {
  %zero = arith.constant 0.0 : !F
  %e = tensor.empty() : tensor<$Bx$Tx$Dx!F>
  %ed = tensor.empty() : tensor<$Dx!F>
  %fd = linalg.fill ins(%zero : !F) outs(%ed : tensor<$Dx!F>) -> tensor<$Dx!F>
  %y = linalg.generic {indexing_maps = [#id, #row, #column, #id], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%x, %s, %v : tensor<$Bx$Tx$Dx!F>, tensor<$Bx$Tx!F>, tensor<$Dx!F>) outs(%e : tensor<$Bx$Tx$Dx!F>) {
  ^bb0(%a: !F, %b: !F, %c: !F, %o: !F):
    %p = arith.mulf %a, %b : !F
    %q = arith.addf %p, %c : !F
    linalg.yield %q : !F
  } -> tensor<$Bx$Tx$Dx!F>
  %t:2 = linalg.generic {indexing_maps = [#id, #id, #column, #column], iterator_types = ["reduction", "reduction", "parallel"]}
      ins(%y, %x : tensor<$Bx$Tx$Dx!F>, tensor<$Bx$Tx$Dx!F>) outs(%v, %fd : tensor<$Dx!F>, tensor<$Dx!F>) {
  ^bb0(%a: !F, %b: !F, %o: !F, %u: !F):
    %p = arith.mulf %a, %b : !F
    %q = arith.addf %o, %a : !F
    %r = arith.addf %p, %u : !F
    linalg.yield %q, %r : !F, !F
  } -> (tensor<$Dx!F>, tensor<$Dx!F>)
  %w = linalg.generic {indexing_maps = [#id4, #column4], iterator_types = ["reduction", "reduction", "reduction", "parallel"]}
      ins(%z : tensor<$Bx$Tx$Ex$Dx!F>) outs(%fd : tensor<$Dx!F>) {
  ^bb0(%a: !F, %o: !F):
    %q = arith.addf %o, %a : !F
    linalg.yield %q : !F
  } -> tensor<$Dx!F>
  return %y, %t#0, %t#1, %w : tensor<$Bx$Tx$Dx!F>, tensor<$Dx!F>, tensor<$Dx!F>, tensor<$Dx!F>
}
)";

template <typename T>
void checkElements(const char* type, IsaLevel level, double tolerance) {
  struct Sizes {
    int64_t b, t, d, e;
  };
  for (Sizes s : {Sizes{1, 1, 1, 1},
                  {3, 37, 65, 2},
                  {2, 701, 16, 3},
                  {1, 4099, 130, 1},
                  {5, 8, 3, 7},
                  {64, 257, 9, 1}}) {
    std::string text =
        fill(replaced(kElements, "!F", type), {{'B', s.b}, {'T', s.t}, {'D', s.d}, {'E', s.e}});
    auto kernel = LoadedKernel::create(text, level);
    ASSERT_TRUE(kernel) << text;
    int64_t rows = s.b * s.t;
    auto x = randomValues<T>(rows * s.d, 1), scale = randomValues<T>(rows, 2),
         v = randomValues<T>(s.d, 3), z = randomValues<T>(rows * s.e * s.d, 4);
    std::vector<double> y(rows * s.d), sum(v.begin(), v.end()), weighted(s.d), plain(s.d);
    for (int64_t row = 0; row < rows; ++row)
      for (int64_t d = 0; d < s.d; ++d) {
        int64_t at = row * s.d + d;
        y[at] = double(x[at]) * scale[row] + v[d];
        sum[d] += y[at];
        weighted[d] += y[at] * x[at];
        for (int64_t e = 0; e < s.e; ++e) plain[d] += z[(row * s.e + e) * s.d + d];
      }
    auto once = [&](int threads) {
      return run<T>(*kernel, {x, scale, v, z}, {rows * s.d, s.d, s.d, s.d}, threads);
    };
    auto actual = once(2);
    std::string name = std::to_string(s.b) + " " + std::to_string(s.t) + " " + std::to_string(s.d);
    EXPECT_LT(relativeError(actual[0], y), tolerance) << name;
    EXPECT_LT(relativeError(actual[1], sum), 10 * tolerance) << name;
    EXPECT_LT(relativeError(actual[2], weighted), 10 * tolerance) << name;
    EXPECT_LT(relativeError(actual[3], plain), 10 * tolerance) << name;
    for (int threads : {1, 3}) EXPECT_EQ(once(threads), actual) << name;
  }
}

TEST_P(RowSumsTest, OfElementsF32) { checkElements<float>("f32", GetParam(), 1e-6); }
TEST_P(RowSumsTest, OfElementsF64) { checkElements<double>("f64", GetParam(), 1e-14); }

/// A product, a gradient made of it, which is returned or not, and its sums: one of the gradient,
/// one weighted by a second tensor and by a number for each row.
const char kProduct[] = R"(
#id = affine_map<(m, n) -> (m, n)>
#row = affine_map<(m, n) -> (m)>
#column = affine_map<(m, n) -> (n)>
#left = affine_map<(m, n, k) -> (m, k)>
#right = affine_map<(m, n, k) -> (n, k)>
#sum = affine_map<(m, n, k) -> (m, n)>
func.func @k(%x: tensor<$Mx$Kxf32>, %w: tensor<$Nx$Kxf32>, %g: tensor<$Mx$Nxf32>, %s: tensor<$Mxf32>)
    -> (tensor<$Nxf32>, tensor<$Nxf32> GRADIENT_TYPE)
    attributes {weir.kernel, weir.row_rank = 1 : i64} {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<$Mx$Nxf32>
  %en = tensor.empty() : tensor<$Nxf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<$Mx$Nxf32>) -> tensor<$Mx$Nxf32>
  %fn = linalg.fill ins(%zero : f32) outs(%en : tensor<$Nxf32>) -> tensor<$Nxf32>
  %c = linalg.generic {indexing_maps = [#left, #right, #sum], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%x, %w : tensor<$Mx$Kxf32>, tensor<$Nx$Kxf32>) outs(%f : tensor<$Mx$Nxf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %p = arith.mulf %a, %b : f32
    %q = arith.addf %o, %p : f32
    linalg.yield %q : f32
  } -> tensor<$Mx$Nxf32>
  %y = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%c, %g : tensor<$Mx$Nxf32>, tensor<$Mx$Nxf32>) outs(%e : tensor<$Mx$Nxf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %p = arith.mulf %a, %b : f32
    linalg.yield %p : f32
  } -> tensor<$Mx$Nxf32>
  %bias = linalg.generic {indexing_maps = [#id, #column], iterator_types = ["reduction", "parallel"]}
      ins(%y : tensor<$Mx$Nxf32>) outs(%fn : tensor<$Nxf32>) {
  ^bb0(%a: f32, %o: f32):
    %q = arith.addf %o, %a : f32
    linalg.yield %q : f32
  } -> tensor<$Nxf32>
  %norm = linalg.generic {indexing_maps = [#id, #id, #row, #column], iterator_types = ["reduction", "parallel"]}
      ins(%c, %g, %s : tensor<$Mx$Nxf32>, tensor<$Mx$Nxf32>, tensor<$Mxf32>) outs(%fn : tensor<$Nxf32>) {
  ^bb0(%a: f32, %b: f32, %r: f32, %o: f32):
    %d = arith.subf %b, %r : f32
    %p = arith.mulf %a, %d : f32
    %q = arith.addf %o, %p : f32
    linalg.yield %q : f32
  } -> tensor<$Nxf32>
  return %bias, %norm GRADIENT : tensor<$Nxf32>, tensor<$Nxf32> GRADIENT_TYPE
}
)";

TEST_P(RowSumsTest, OfAProduct) {
  struct Sizes {
    int64_t m, n, k;
  };
  for (bool returned : {false, true})
    for (Sizes s : {Sizes{1, 8, 4},
                    {37, 32, 31},
                    {301, 96, 64},
                    {1031, 100, 40},
                    {640, 256, 130},
                    {2053, 64, 600}}) {
      std::string text = replaced(kProduct, "GRADIENT_TYPE", returned ? ", tensor<$Mx$Nxf32>" : "");
      text = fill(replaced(text, "GRADIENT", returned ? ", %y" : ""),
                  {{'M', s.m}, {'N', s.n}, {'K', s.k}});
      auto kernel = LoadedKernel::create(text, GetParam());
      ASSERT_TRUE(kernel) << text;
      auto x = randomValues(s.m * s.k, 1), w = randomValues(s.n * s.k, 2),
           g = randomValues(s.m * s.n, 3), scale = randomValues(s.m, 4);
      std::vector<double> y(s.m * s.n), bias(s.n), norm(s.n);
      for (int64_t m = 0; m < s.m; ++m)
        for (int64_t n = 0; n < s.n; ++n) {
          double c = 0;
          for (int64_t k = 0; k < s.k; ++k) c += double(x[m * s.k + k]) * w[n * s.k + k];
          int64_t at = m * s.n + n;
          y[at] = c * g[at];
          bias[n] += y[at];
          norm[n] += c * (double(g[at]) - scale[m]);
        }
      auto once = [&](int threads) {
        std::vector<int64_t> sizes{s.n, s.n};
        if (returned) sizes.push_back(s.m * s.n);
        return run<float>(*kernel, {x, w, g, scale}, sizes, threads);
      };
      auto actual = once(2);
      std::string name = std::to_string(s.m) + " " + std::to_string(s.n) + " " +
                         std::to_string(s.k) + (returned ? " returned" : "");
      EXPECT_LT(relativeError(actual[0], bias), 1e-5) << name;
      EXPECT_LT(relativeError(actual[1], norm), 1e-5) << name;
      if (returned) EXPECT_LT(relativeError(actual[2], y), 1e-5) << name;
      for (int threads : {1, 3}) EXPECT_EQ(once(threads), actual) << name;
    }
}

/// A kernel that reads such a sum could do so only after its last row.
TEST_P(RowSumsTest, RefusesToReadThem) {
  std::string text = replaced(replaced(kProduct, "GRADIENT_TYPE", ""), "GRADIENT", "");
  text = replaced(text, "ins(%c, %g, %s : tensor<$Mx$Nxf32>, tensor<$Mx$Nxf32>, tensor<$Mxf32>)",
                  "ins(%c, %bias, %s : tensor<$Mx$Nxf32>, tensor<$Nxf32>, tensor<$Mxf32>)");
  text = replaced(text, "[#id, #id, #row, #column], iterator_types = [\"reduction\"",
                  "[#id, #column, #row, #column], iterator_types = [\"reduction\"");
  EXPECT_FALSE(LoadedKernel::create(fill(text, {{'M', 300}, {'N', 64}, {'K', 32}}), GetParam()));
}

}  // namespace
}  // namespace weir
