// Elementwise work on the sums of products, next to the same ops one after the other.

#include <cstring>

#include "compiler/conversion/cpu/level_test.h"
#include "compiler/conversion/cpu/matrix_tiles.h"
#include "compiler/conversion/cpu/test_util.h"
#include "gtest/gtest.h"

namespace weir {
namespace {

class EpilogueTest : public LevelTest {};
INSTANTIATE_TEST_SUITE_P(Levels, EpilogueTest,
                         testing::Values(IsaLevel::Avx2, IsaLevel::Avx512, IsaLevel::Amx));

/// A layer with what epilogues meet: bias and rounding of all columns (which are returned), an
/// activation whose two parts go different ways, inputs by element, row and column, indices, a step
/// that depends on the inputs only and one beside it, a sum over a row, and a second product with a
/// residual. `narrow` is the type of the products' operands, `wide` the type of everything else.
std::string layer(int rowRank, const std::string& narrow, const std::string& wide) {
  std::string text = R"(
#id = affine_map<(m, n) -> (m, n)>
#column = affine_map<(m, n) -> (n)>
#row = affine_map<(m, n) -> (m)>
#left = affine_map<(m, n, k) -> (m, k)>
#right = affine_map<(m, n, k) -> (n, k)>
#sum = affine_map<(m, n, k) -> (m, n)>
func.func @k(%x: tensor<$Mx$Kx!N>, %w: tensor<$Nx$Kx!N>, %bias: tensor<$Nx!W>,
    %gate: tensor<$Mx$Px!W>, %scale: tensor<$Mx!W>, %w2: tensor<$Qx$Rx!N>,
    %residual: tensor<$Mx$Qx!W>)
    -> (tensor<$Mx$Nx!N>, tensor<$Mx$Px!W>, tensor<$Mx$Rx!N>, tensor<$Mx!W>, tensor<$Mx$Qx!W>,
        tensor<$Mx$Px!W>)
    attributes {weir.kernel, weir.row_rank = !R : i64} {
  %zero = arith.constant 0.0 : !W
  %one = arith.constant 1.0 : !W
  %small = arith.constant 0.01 : !W
  %en = tensor.empty() : tensor<$Mx$Nx!W>
  %en16 = tensor.empty() : tensor<$Mx$Nx!N>
  %ep = tensor.empty() : tensor<$Mx$Px!W>
  %er = tensor.empty() : tensor<$Mx$Rx!N>
  %em = tensor.empty() : tensor<$Mx!W>
  %eq = tensor.empty() : tensor<$Mx$Qx!W>
  %fn = linalg.fill ins(%zero : !W) outs(%en : tensor<$Mx$Nx!W>) -> tensor<$Mx$Nx!W>
  %fm = linalg.fill ins(%zero : !W) outs(%em : tensor<$Mx!W>) -> tensor<$Mx!W>
  %fq = linalg.fill ins(%zero : !W) outs(%eq : tensor<$Mx$Qx!W>) -> tensor<$Mx$Qx!W>
  %c = linalg.generic {indexing_maps = [#left, #right, #sum], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%x, %w : tensor<$Mx$Kx!N>, tensor<$Nx$Kx!N>) outs(%fn : tensor<$Mx$Nx!W>) {
  ^bb0(%a: !N, %b: !N, %o: !W):
    EXTEND
    %p = arith.mulf %aw, %bw : !W
    %s = arith.addf %o, %p : !W
    linalg.yield %s : !W
  } -> tensor<$Mx$Nx!W>
  %z = linalg.generic {indexing_maps = [#id, #column, #id], iterator_types = ["parallel", "parallel"]}
      ins(%c, %bias : tensor<$Mx$Nx!W>, tensor<$Nx!W>) outs(%en16 : tensor<$Mx$Nx!N>) {
  ^bb0(%a: !W, %b: !W, %o: !N):
    %s = arith.addf %a, %b : !W
    ROUND
    linalg.yield %sn : !N
  } -> tensor<$Mx$Nx!N>
  %act = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%z : tensor<$Mx$Nx!N>) outs(%en : tensor<$Mx$Nx!W>) {
  ^bb0(%b: !N, %o: !W):
    WIDEN
    %n = arith.negf %bw : !W
    %e = math.exp %n : !W
    %d = arith.addf %e, %one : !W
    %q = arith.divf %bw, %d : !W
    linalg.yield %q : !W
  } -> tensor<$Mx$Nx!W>
  %first = tensor.extract_slice %act[0, 0] [$M, $P] [1, 1] : tensor<$Mx$Nx!W> to tensor<$Mx$Px!W>
  %second = tensor.extract_slice %act[0, $P] [$M, $R] [1, 1] : tensor<$Mx$Nx!W> to tensor<$Mx$Rx!W>
  %squares = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%gate : tensor<$Mx$Px!W>) outs(%ep : tensor<$Mx$Px!W>) {
  ^bb0(%a: !W, %o: !W):
    %s = arith.mulf %a, %a : !W
    linalg.yield %s : !W
  } -> tensor<$Mx$Px!W>
  %u = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%first, %squares : tensor<$Mx$Px!W>, tensor<$Mx$Px!W>) outs(%ep : tensor<$Mx$Px!W>) {
  ^bb0(%a: !W, %b: !W, %o: !W):
    %p = arith.mulf %a, %b : !W
    %i = linalg.index 0 : index
    %j = linalg.index 1 : index
    %ij = arith.addi %i, %j : index
    %i32 = arith.index_cast %ij : index to i32
    %f = arith.sitofp %i32 : i32 to !W
    %g = arith.mulf %f, %small : !W
    %s = arith.addf %p, %g : !W
    linalg.yield %s : !W
  } -> tensor<$Mx$Px!W>
  %v = linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel"]}
      ins(%second, %scale : tensor<$Mx$Rx!W>, tensor<$Mx!W>) outs(%er : tensor<$Mx$Rx!N>) {
  ^bb0(%a: !W, %b: !W, %o: !N):
    %j = linalg.index 1 : index
    %i32 = arith.index_cast %j : index to i32
    %f = arith.sitofp %i32 : i32 to !W
    %g = arith.mulf %f, %small : !W
    %t = arith.addf %b, %g : !W
    %s = arith.mulf %a, %t : !W
    ROUND
    linalg.yield %sn : !N
  } -> tensor<$Mx$Rx!N>
  %total = linalg.generic {indexing_maps = [#id, #row], iterator_types = ["parallel", "reduction"]}
      ins(%u : tensor<$Mx$Px!W>) outs(%fm : tensor<$Mx!W>) {
  ^bb0(%a: !W, %o: !W):
    %s = arith.addf %o, %a : !W
    linalg.yield %s : !W
  } -> tensor<$Mx!W>
  %d = linalg.generic {indexing_maps = [#left, #right, #sum], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%v, %w2 : tensor<$Mx$Rx!N>, tensor<$Qx$Rx!N>) outs(%fq : tensor<$Mx$Qx!W>) {
  ^bb0(%a: !N, %b: !N, %o: !W):
    EXTEND
    %p = arith.mulf %aw, %bw : !W
    %s = arith.addf %o, %p : !W
    linalg.yield %s : !W
  } -> tensor<$Mx$Qx!W>
  %y = linalg.generic {indexing_maps = [#id, #id, #row, #id], iterator_types = ["parallel", "parallel"]}
      ins(%residual, %d, %total : tensor<$Mx$Qx!W>, tensor<$Mx$Qx!W>, tensor<$Mx!W>) outs(%eq : tensor<$Mx$Qx!W>) {
  ^bb0(%a: !W, %b: !W, %t: !W, %o: !W):
    %s = arith.addf %a, %b : !W
    %r = arith.addf %s, %t : !W
    linalg.yield %r : !W
  } -> tensor<$Mx$Qx!W>
  %beside = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%gate, %squares : tensor<$Mx$Px!W>, tensor<$Mx$Px!W>) outs(%ep : tensor<$Mx$Px!W>) {
  ^bb0(%a: !W, %b: !W, %o: !W):
    %s = arith.subf %a, %b : !W
    linalg.yield %s : !W
  } -> tensor<$Mx$Px!W>
  return %z, %u, %v, %total, %y, %beside
      : tensor<$Mx$Nx!N>, tensor<$Mx$Px!W>, tensor<$Mx$Rx!N>, tensor<$Mx!W>, tensor<$Mx$Qx!W>,
        tensor<$Mx$Px!W>
})";
  bool same = narrow == wide;
  text = replaced(text, "EXTEND",
                  same ? "%zz = arith.constant 0.0 : !W\n%aw = arith.addf %a, %zz : "
                         "!W\n%bw = arith.addf %b, %zz : !W"
                       : "%aw = arith.extf %a : !N to !W\n%bw = arith.extf %b : !N "
                         "to !W");
  text = replaced(text, "WIDEN",
                  same ? "%bw = arith.addf %b, %zero : !W" : "%bw = arith.extf %b : !N to !W");
  text = replaced(text, "ROUND",
                  same ? "%sn = arith.addf %s, %zero : !W" : "%sn = arith.truncf %s : !W to !N");
  if (same) {  // A product is recognized without further arithmetic.
    text = replaced(text,
                    "%zz = arith.constant 0.0 : !W\n%aw = arith.addf %a, %zz : !W\n%bw = "
                    "arith.addf %b, %zz : !W",
                    "");
    text = replaced(text, "arith.mulf %aw, %bw", "arith.mulf %a, %b");
  }
  text = replaced(text, "!R", std::to_string(rowRank));
  return replaced(replaced(text, "!N", narrow), "!W", wide);
}

struct Sizes {
  int64_t m, n, part, k, q;
};

using bf16 = uint16_t;
std::vector<double> values(const std::vector<bf16>& bits) {
  std::vector<double> result;
  for (bf16 b : bits) {
    uint32_t word = uint32_t(b) << 16;
    float value;
    std::memcpy(&value, &word, 4);
    result.push_back(value);
  }
  return result;
}
template <typename T>
std::vector<double> values(const std::vector<T>& numbers) {
  return std::vector<double>(numbers.begin(), numbers.end());
}
template <typename T>
std::vector<T> narrowed(const std::vector<float>& from) {
  return std::vector<T>(from.begin(), from.end());
}
template <>
std::vector<bf16> narrowed(const std::vector<float>& from) {
  std::vector<bf16> result;
  for (float value : from) {
    uint32_t word;
    std::memcpy(&word, &value, 4);
    result.push_back(word >> 16);
  }
  return result;
}

template <typename N, typename W>
void check(const Sizes& s, const std::string& narrow, const std::string& wide, IsaLevel level,
           double tolerance) {
  int64_t rest = s.n - s.part;
  auto sized = [&](const std::string& text) {
    return fill(text, {{'M', s.m}, {'N', s.n}, {'P', s.part}, {'K', s.k}, {'Q', s.q}, {'R', rest}});
  };
  auto fused = LoadedKernel::create(sized(layer(1, narrow, wide)), level);
  auto separate = LoadedKernel::create(sized(layer(0, narrow, wide)), level);
  ASSERT_TRUE(fused && separate);
  auto x = narrowed<N>(randomValues<float>(s.m * s.k, 1));
  auto w = narrowed<N>(randomValues<float>(s.n * s.k, 2, 0.2));
  auto bias = randomValues<W>(s.n, 3), gate = randomValues<W>(s.m * s.part, 4);
  auto scale = randomValues<W>(s.m, 5), residual = randomValues<W>(s.m * s.q, 6);
  auto w2 = narrowed<N>(randomValues<float>(s.q * rest, 7, 0.2));
  struct Results {
    std::vector<N> z, v;
    std::vector<W> u, total, y, beside;
  };
  auto run = [&](LoadedKernel& kernel, int threads) {
    Results r;
    r.z.assign(s.m * s.n, N(-1));
    r.v.assign(s.m * rest, N(-1));
    r.u = poisoned<W>(s.m * s.part), r.total = poisoned<W>(s.m), r.y = poisoned<W>(s.m * s.q);
    r.beside = poisoned<W>(s.m * s.part);
    kernel.run(
        {x.data(), w.data(), bias.data(), gate.data(), scale.data(), w2.data(), residual.data(),
         r.z.data(), r.u.data(), r.v.data(), r.total.data(), r.y.data(), r.beside.data()},
        threads);
    return r;
  };
  Results expected = run(*separate, 2), actual = run(*fused, 2);
  std::string name = std::to_string(s.m) + " " + std::to_string(s.n) + " " +
                     std::to_string(s.part) + " " + std::to_string(s.k) + " " + std::to_string(s.q);
  EXPECT_LT(relativeError(values(actual.z), values(expected.z)), tolerance) << name;
  EXPECT_LT(relativeError(values(actual.u), values(expected.u)), tolerance) << name;
  EXPECT_LT(relativeError(values(actual.v), values(expected.v)), tolerance) << name;
  EXPECT_LT(relativeError(values(actual.total), values(expected.total)), tolerance) << name;
  EXPECT_LT(relativeError(values(actual.y), values(expected.y)), tolerance) << name;
  EXPECT_LT(relativeError(values(actual.beside), values(expected.beside)), tolerance) << name;
  for (int threads : {1, 3}) {
    Results again = run(*fused, threads);
    EXPECT_EQ(again.z, actual.z);
    EXPECT_EQ(again.u, actual.u);
    EXPECT_EQ(again.v, actual.v);
    EXPECT_EQ(again.y, actual.y);
  }
}

// Parts that are whole blocks of columns, and parts that are not; rows and columns that fill
// blocks, and such that don't; short and long sums.
const Sizes kSizes[] = {{64, 128, 64, 64, 32},   {301, 100, 64, 65, 33},   {37, 97, 32, 300, 40},
                        {33, 90, 40, 31, 17},    {1, 70, 32, 16, 8},       {230, 160, 128, 32, 100},
                        {65, 192, 128, 512, 64}, {301, 256, 96, 1000, 64}, {67, 533, 256, 512, 31},
                        {40, 1365, 32, 600, 16}, {70, 1081, 1056, 320, 8}};

TEST_P(EpilogueTest, F32) {
  for (const Sizes& sizes : kSizes) check<float, float>(sizes, "f32", "f32", GetParam(), 3e-6);
}
TEST_P(EpilogueTest, F64) {
  for (const Sizes& sizes : kSizes) check<double, double>(sizes, "f64", "f64", GetParam(), 1e-13);
}
TEST_P(EpilogueTest, Bf16) {
  for (const Sizes& sizes : kSizes) check<bf16, float>(sizes, "bf16", "f32", GetParam(), 1e-2);
}

/// Strips cover all columns, in order and once, and are wide however many columns there are: a
/// narrow one has no room for an epilogue beside its multiplications.
TEST(StripsTest, AreWide) {
  for (int64_t columns = 8; columns < 3000; ++columns) {
    ProductEpilogue epilogue;
    for (int64_t end : {int64_t(kTilePair), int64_t(1024), columns})
      if (end <= columns) epilogue.ends.push_back(end);
    int64_t at = 0;
    for (const Strips& part : stripsOf(epilogue)) {
      EXPECT_EQ(part.first, at);
      EXPECT_GT(part.end, at);
      EXPECT_LE(part.end, epilogue.ends[part.segment]);
      at = part.end;
      int64_t whole = part.panels * kTilePair, rest = (part.end - part.first) % whole;
      EXPECT_TRUE(rest == 0 || part.end - part.first < whole) << columns;
      EXPECT_LE(part.panels, kStripPanels);
      int64_t from = part.segment ? epilogue.ends[part.segment - 1] : 0;
      int64_t total = (epilogue.ends[part.segment] - from + kTilePair - 1) / kTilePair;
      EXPECT_GE(part.panels, std::min(total, kStripPanels / 2)) << columns;
    }
    EXPECT_EQ(at, columns);
  }
}

/// The fused kernel takes less scratch memory: values of the first product don't lie there.
TEST_P(EpilogueTest, NeedsNoMemoryForSums) {
  if (GetParam() != IsaLevel::Amx) GTEST_SKIP() << "sums of register tiles go through memory";
  auto scratch = [&](int64_t n, int64_t part) {
    auto kernel = LoadedKernel::create(
        fill(layer(1, "bf16", "f32"),
             {{'M', 64}, {'N', n}, {'P', part}, {'K', 32}, {'Q', 32}, {'R', n - part}}),
        GetParam());
    return kernel ? kernel->kernel.threadScratchBytes : -1;
  };
  // Sums in f32 for each of 32 rows.
  int64_t fused = scratch(1024, 512), separate = scratch(1032, 516);
  EXPECT_GT(fused, 0);
  EXPECT_LT(fused + 32 * 1024 * 4, separate);
}

}  // namespace
}  // namespace weir
