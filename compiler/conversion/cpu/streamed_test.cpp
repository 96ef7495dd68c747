// Results with `weir.streamed`: the same bits as without, by stores past the caches.

#include <array>
#include <tuple>

#include "compiler/conversion/cpu/level_test.h"
#include "compiler/conversion/cpu/test_util.h"
#include "gtest/gtest.h"

namespace weir {
namespace {

class StreamedTest : public LevelTest {};
INSTANTIATE_TEST_SUITE_P(Levels, StreamedTest,
                         testing::Values(IsaLevel::Avx2, IsaLevel::Avx512, IsaLevel::Amx));

/// `$S` stands where the attributes of a result are.
std::string withStreamed(std::string text, bool streamed) {
  for (size_t at; (at = text.find("$S")) != std::string::npos;)
    text.replace(at, 2, streamed ? "{weir.streamed}" : "");
  return text;
}

/// Bytes that begin at a multiple of 64, with 64 more behind them that nothing may write to.
struct Aligned {
  explicit Aligned(int64_t size) : size(size), bytes(size + 128, char(0x7b)) {}
  char* data() {
    return reinterpret_cast<char*>((reinterpret_cast<uintptr_t>(bytes.data()) + 63) / 64 * 64);
  }
  std::string written() { return std::string(data(), size + 64); }
  int64_t size;
  std::vector<char> bytes;
};

/// Runs both forms of `text` on `inputs`; results have `sizes` bytes.
void expectSameBits(const std::string& text, IsaLevel level,
                    const std::vector<std::vector<float>>& inputs,
                    const std::vector<int64_t>& sizes, const std::string& what) {
  std::vector<std::string> expected;
  for (bool streamed : {false, true}) {
    auto kernel = LoadedKernel::create(withStreamed(text, streamed), level);
    ASSERT_TRUE(kernel);
    for (int threads : {1, 3}) {
      std::vector<Aligned> results;
      std::vector<void*> buffers;
      for (const std::vector<float>& input : inputs)
        buffers.push_back(const_cast<float*>(input.data()));
      for (int64_t size : sizes) results.emplace_back(size);
      for (Aligned& result : results) buffers.push_back(result.data());
      kernel->run(buffers, threads);
      for (size_t i = 0; i < results.size(); ++i) {
        if (expected.size() <= i) expected.push_back(results[i].written());
        EXPECT_EQ(results[i].written(), expected[i]) << what << ", result " << i;
        EXPECT_EQ(expected[i].substr(sizes[i]), std::string(64, char(0x7b))) << what;
      }
    }
  }
}

/// The instructions that store past the caches, and that no such store is of a scalar.
int64_t streamedStores(const std::string& text, IsaLevel level) {
  std::string assembly = assemblyOf(withStreamed(text, true), level);
  EXPECT_FALSE(assembly.empty());
  EXPECT_EQ(assembly.find("\tmovnti"), std::string::npos);
  int64_t count = 0;
  for (size_t at = 0; (at = assembly.find("\tvmovnt", at)) != std::string::npos; ++at) ++count;
  EXPECT_EQ(count > 0, assembly.find("\tsfence") != std::string::npos);
  EXPECT_EQ(assemblyOf(withStreamed(text, false), level).find("vmovnt"), std::string::npos);
  return count;
}

std::string elementwise(const char* type, const char* body) {
  std::string text = R"(
func.func @k(%x: tensor<$Mx$Nxf32>, %y: tensor<$Mx$Nxf32>) -> (tensor<$Mx$Nx$T> $S) attributes {weir.kernel, weir.row_rank = 2 : i64} {
  %e = tensor.empty() : tensor<$Mx$Nx$T>
  %r = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, 0)>, affine_map<(i, j) -> (i, j)>],
      iterator_types = ["parallel", "parallel"]} ins(%x, %y : tensor<$Mx$Nxf32>, tensor<$Mx$Nxf32>) outs(%e : tensor<$Mx$Nx$T>) {
  ^bb0(%a: f32, %b: f32, %o: $T):
    %p = arith.mulf %a, %b : f32
    $B
    linalg.yield %t : $T
  } -> tensor<$Mx$Nx$T>
  return %r : tensor<$Mx$Nx$T>
})";
  for (auto [key, value] : {std::pair<const char*, const char*>{"$T", type}, {"$B", body}})
    for (size_t at; (at = text.find(key)) != std::string::npos;) text.replace(at, 2, value);
  return text;
}

TEST_P(StreamedTest, Elementwise) {
  struct Case {
    const char *type, *body;
    int64_t bytes;
  };
  for (Case c : {Case{"f32", "%t = arith.addf %p, %a : f32", 4},
                 {"bf16", "%t = arith.truncf %p : f32 to bf16", 2},
                 {"f64", "%t = arith.extf %p : f32 to f64", 8}}) {
    std::string text = elementwise(c.type, c.body);
    for (auto [m, n] : {std::pair<int64_t, int64_t>{1, 1}, {5, 16}, {9, 67}, {700, 96}, {211, 301}})
      expectSameBits(fill(text, {{'M', m}, {'N', n}}), GetParam(),
                     {randomValues(m * n, 1), randomValues(m * n, 2)}, {m * n * c.bytes}, c.type);
    // A vector of bf16 is too narrow where one of f32 is half of a line.
    bool narrow = GetParam() == IsaLevel::Avx2 && c.bytes == 2;
    EXPECT_EQ(streamedStores(fill(text, {{'M', 256}, {'N', 256}}), GetParam()) > 0, !narrow);
    // On AVX2 functions come between the halves of a line. AVX-512 stores two vectors as one.
    if (std::string(c.type) == "bf16") {
      std::string exponential =
          elementwise("bf16", "%q = math.exp %p : f32\n    %t = arith.truncf %q : f32 to bf16");
      EXPECT_EQ(streamedStores(fill(exponential, {{'M', 256}, {'N', 256}}), GetParam()) > 0,
                GetParam() != IsaLevel::Avx2);
    }
    // Rows do not begin at multiples of a vector.
    EXPECT_EQ(streamedStores(fill(text, {{'M', 256}, {'N', 251}}), GetParam()), 0);
  }
}

// What the kernel reads again stays in the caches.
TEST_P(StreamedTest, ReadByTheKernel) {
  const char* text = R"(
func.func @k(%x: tensor<512x128xf32>) -> (tensor<512x128xf32> $S, tensor<512xf32> $S) attributes {weir.kernel, weir.row_rank = 1 : i64} {
  %e = tensor.empty() : tensor<512x128xf32>
  %z = arith.constant 0.0 : f32
  %s = tensor.empty() : tensor<512xf32>
  %f = linalg.fill ins(%z : f32) outs(%s : tensor<512xf32>) -> tensor<512xf32>
  %r = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>], iterator_types = ["parallel", "parallel"]} ins(%x : tensor<512x128xf32>) outs(%e : tensor<512x128xf32>) {
  ^bb0(%a: f32, %o: f32):
    %p = arith.mulf %a, %a : f32
    linalg.yield %p : f32
  } -> tensor<512x128xf32>
  %q = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>], iterator_types = ["parallel", "reduction"]} ins(%r : tensor<512x128xf32>) outs(%f : tensor<512xf32>) {
  ^bb0(%a: f32, %o: f32):
    %p = arith.addf %a, %o : f32
    linalg.yield %p : f32
  } -> tensor<512xf32>
  return %r, %q : tensor<512x128xf32>, tensor<512xf32>
})";
  EXPECT_EQ(streamedStores(text, GetParam()), 0);
}

// The epilogue of a product, in the strips of matrix tiles too; a sum of its rows takes them from
// registers.
TEST_P(StreamedTest, Epilogues) {
  const char* text = R"(
#id = affine_map<(m, n) -> (m, n)>
#column = affine_map<(m, n) -> (n)>
func.func @k(%x: tensor<$Mx$Kxf32>, %w: tensor<$Nx$Kxf32>) -> (tensor<$Mx$Nxf32> $S, tensor<$Mx$Nxbf16> $S, tensor<$Nxf32>)
    attributes {weir.kernel, weir.row_rank = 1 : i64} {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<$Mx$Nxf32>
  %e16 = tensor.empty() : tensor<$Mx$Nxbf16>
  %en = tensor.empty() : tensor<$Nxf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<$Mx$Nxf32>) -> tensor<$Mx$Nxf32>
  %fn = linalg.fill ins(%zero : f32) outs(%en : tensor<$Nxf32>) -> tensor<$Nxf32>
  %c = linalg.generic {indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (m, n)>],
      iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%x, %w : tensor<$Mx$Kxf32>, tensor<$Nx$Kxf32>) outs(%f : tensor<$Mx$Nxf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %p = arith.mulf %a, %b : f32
    %q = arith.addf %o, %p : f32
    linalg.yield %q : f32
  } -> tensor<$Mx$Nxf32>
  %y = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%c : tensor<$Mx$Nxf32>) outs(%e : tensor<$Mx$Nxf32>) {
  ^bb0(%a: f32, %o: f32):
    %p = arith.mulf %a, %a : f32
    linalg.yield %p : f32
  } -> tensor<$Mx$Nxf32>
  %z = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%y : tensor<$Mx$Nxf32>) outs(%e16 : tensor<$Mx$Nxbf16>) {
  ^bb0(%a: f32, %o: bf16):
    %t = arith.truncf %a : f32 to bf16
    linalg.yield %t : bf16
  } -> tensor<$Mx$Nxbf16>
  %s = linalg.generic {indexing_maps = [#id, #column], iterator_types = ["reduction", "parallel"]}
      ins(%z : tensor<$Mx$Nxbf16>) outs(%fn : tensor<$Nxf32>) {
  ^bb0(%a: bf16, %o: f32):
    %t = arith.extf %a : bf16 to f32
    %q = arith.addf %o, %t : f32
    linalg.yield %q : f32
  } -> tensor<$Nxf32>
  return %y, %z, %s : tensor<$Mx$Nxf32>, tensor<$Mx$Nxbf16>, tensor<$Nxf32>
})";
  for (auto [m, n, k] :
       {std::array<int64_t, 3>{1, 32, 32}, {301, 128, 64}, {97, 96, 300}, {64, 100, 64}})
    expectSameBits(fill(text, {{'M', m}, {'N', n}, {'K', k}}), GetParam(),
                   {randomValues(m * k, 1), randomValues(n * k, 2)}, {4 * m * n, 2 * m * n, 4 * n},
                   "product");
  for (int64_t k : {64, 2048})
    EXPECT_GE(streamedStores(fill(text, {{'M', 512}, {'N', 256}, {'K', k}}), GetParam()),
              GetParam() == IsaLevel::Avx2 ? 1 : 2);
}

const char* kScan = R"(
func.func @k(%a: tensor<$Bx$Tx$Dxf32>, %b: tensor<$Bx$Tx$Dxf32>) -> (tensor<$Bx$Tx$Dxf32> $S) attributes {weir.kernel, weir.row_rank = 0 : i64} {
  %h, %last = weir.scan(%a, %b) $R : (tensor<$Bx$Tx$Dxf32>, tensor<$Bx$Tx$Dxf32>) -> (tensor<$Bx$Tx$Dxf32>, tensor<$Bx$Dxf32>)
  return %h : tensor<$Bx$Tx$Dxf32>
})";

const char* kScanVjp = R"(
func.func @k(%a: tensor<$Bx$Tx$Dxf32>, %b: tensor<$Bx$Tx$Dxf32>, %c: tensor<$Cx$Bx$Dxf32>, %g: tensor<$Bx$Tx$Dxf32>) -> (tensor<$Bx$Tx$Dxf32> $S, tensor<$Bx$Tx$Dxf32> $S) attributes {weir.kernel, weir.row_rank = 0 : i64} {
  %zero = arith.constant 0.0 : f32
  %da, %db = weir.scan_vjp(%a, %b) states(%c) cotangents(%g) $R chunk(8) prologue {
  ^bb0(%x: f32, %y: f32):
    weir.yield %x, %y : f32, f32
  } adjoint_epilogue {
  ^bb0(%h: f32, %x: f32, %y: f32, %dy: f32):
    weir.yield %dy, %zero, %zero : f32, f32, f32
  } adjoint_prologue {
  ^bb0(%x: f32, %y: f32, %dx: f32, %dy: f32):
    weir.yield %dx, %dy : f32, f32
  } {indexing_maps = [affine_map<(b, t, d) -> (b, t, d)>, affine_map<(b, t, d) -> (b, t, d)>, affine_map<(b, t, d) -> (b, t, d)>], iterator_types = ["parallel", "time", "parallel"]} : (tensor<$Bx$Tx$Dxf32>, tensor<$Bx$Tx$Dxf32>, tensor<$Cx$Bx$Dxf32>, tensor<$Bx$Tx$Dxf32>) -> (tensor<$Bx$Tx$Dxf32>, tensor<$Bx$Tx$Dxf32>)
  return %da, %db : tensor<$Bx$Tx$Dxf32>, tensor<$Bx$Tx$Dxf32>
})";

TEST_P(StreamedTest, Scans) {
  for (std::string text : {kScan, kScanVjp})
    for (const char* direction : {"", "reverse"}) {
      std::string source = text;
      source.replace(source.find("$R"), 2, direction);
      auto sized = [&](int64_t batch, int64_t time, int64_t features) {
        return fill(source, {{'B', batch}, {'T', time}, {'D', features}, {'C', (time + 7) / 8}});
      };
      bool vjp = text == kScanVjp;
      for (auto [batch, time, features] : {std::array<int64_t, 3>{1, 1, 1},
                                           {2, 13, 16},
                                           {5, 20, 67},
                                           {1, 37, 200},
                                           {3, 64, 96},
                                           {1, 16, 511}}) {
        int64_t size = batch * time * features;
        std::vector<std::vector<float>> inputs = {randomValues(size, 1), randomValues(size, 2)};
        if (vjp) {
          inputs.push_back(randomValues((time + 7) / 8 * batch * features, 3));
          inputs.push_back(randomValues(size, 4));
        }
        expectSameBits(sized(batch, time, features), GetParam(), inputs,
                       std::vector<int64_t>(vjp ? 2 : 1, 4 * size), direction);
      }
      EXPECT_GT(streamedStores(sized(4, 64, 128), GetParam()), 0);
      EXPECT_EQ(streamedStores(sized(4, 64, 127), GetParam()), 0);
    }
}

// Results of products that one thread computes, with a last chunk that is short.
TEST_P(StreamedTest, MixedChunks) {
  const char* text = R"(
!x = tensor<8x96x64xf32>
!m = tensor<8x2x64x64xf32>
func.func @k(%q: !x, %k: !x, %ql: !x, %kl: !x, %v: !x, %m: !m, %d: !x) -> (!x $S, !x $S, !x $S, !x $S, !x $S)
    attributes {weir.kernel, weir.row_rank = 0 : i64} {
  %g:5 = weir.mixed_chunks_vjp quad(%q, %k) lin(%ql, %kl) value(%v) means(%m) cotangent(%d) chunk(64) kernel("relu_squared")
      : (!x, !x, !x, !x, !x, !m, !x) -> (!x, !x, !x, !x, !x)
  return %g#0, %g#1, %g#2, %g#3, %g#4 : !x, !x, !x, !x, !x
})";
  int64_t size = 8 * 96 * 64;
  std::vector<std::vector<float>> inputs;
  for (int i = 0; i < 7; ++i)
    inputs.push_back(randomValues(i == 5 ? 8 * 2 * 64 * 64 : size, i + 1));
  expectSameBits(text, GetParam(), inputs, std::vector<int64_t>(5, 4 * size), "mixed chunks");
  EXPECT_GT(streamedStores(text, GetParam()), 0);
}

const char* const kGated = R"(
#id = affine_map<(i, j) -> (i, j)>
func.func @k(%x: tensor<$Mx$Kxf32>, %w: tensor<$Nx$Kxf32>, %gate: tensor<$Mx$Nxf32>)
    -> (tensor<$Mx$Nxf32> {$A}, tensor<$Mx$Nxbf16> {$B}) attributes {weir.kernel, weir.row_rank = 1 : i64} {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<$Mx$Nxf32>
  %e16 = tensor.empty() : tensor<$Mx$Nxbf16>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<$Mx$Nxf32>) -> tensor<$Mx$Nxf32>
  %c = linalg.generic {indexing_maps = [affine_map<(i, j, k) -> (i, k)>, affine_map<(i, j, k) -> (j, k)>, affine_map<(i, j, k) -> (i, j)>],
      iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%x, %w : tensor<$Mx$Kxf32>, tensor<$Nx$Kxf32>) outs(%f : tensor<$Mx$Nxf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %p = arith.mulf %a, %b : f32
    %s = arith.addf %o, %p : f32
    linalg.yield %s : f32
  } -> tensor<$Mx$Nxf32>
  %r:2 = linalg.generic {indexing_maps = [#id, #id, #id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%c, %gate : tensor<$Mx$Nxf32>, tensor<$Mx$Nxf32>) outs(%e, %e16 : tensor<$Mx$Nxf32>, tensor<$Mx$Nxbf16>) {
  ^bb0(%a: f32, %b: f32, %o: f32, %q: bf16):
    %p = arith.mulf %a, %b : f32
    %t = arith.truncf %p : f32 to bf16
    linalg.yield %p, %t : f32, bf16
  } -> (tensor<$Mx$Nxf32>, tensor<$Mx$Nxbf16>)
  return %r#0, %r#1 : tensor<$Mx$Nxf32>, tensor<$Mx$Nxbf16>
})";

/// The epilogue of a product with rows that begin at lines: the same bits as in rows one after the
/// other, and none in between.
TEST_P(StreamedTest, RowsOfLines) {
  const int64_t m = 67, k = 256;
  for (int64_t n : {int64_t(8), int64_t(45), int64_t(533), int64_t(1365)}) {
    auto x = randomValues(m * k, 1), w = randomValues(n * k, 2), gate = randomValues(m * n, 3);
    std::string text = fill(kGated, {{'M', m}, {'N', n}, {'K', k}});
    auto rows = [&](int64_t wide, int64_t narrow, const std::string& streamed, int threads) {
      auto strides = [&](int64_t row) {
        return "weir.strides = array<i64: " + std::to_string(row) + ", 1>" + streamed;
      };
      auto kernel = LoadedKernel::create(
          replaced(replaced(text, "$A", strides(wide)), "$B", strides(narrow)), GetParam());
      Aligned first(4 * m * wide), second(2 * m * narrow);
      if (kernel)
        kernel->run({x.data(), w.data(), gate.data(), first.data(), second.data()}, threads);
      std::vector<std::string> results;
      for (auto [bytes, part, whole] :
           {std::tuple(first.written(), 4 * n, 4 * wide), {second.written(), 2 * n, 2 * narrow}})
        for (int64_t i = 0; i < m; ++i) {
          results.push_back(bytes.substr(i * whole, part));
          EXPECT_EQ(bytes.substr(i * whole + part, whole - part),
                    std::string(whole - part, char(0x7b)));
        }
      return results;
    };
    std::vector<std::string> expected = rows(n, n, "", 2);
    for (int threads : {1, 3})
      EXPECT_EQ(rows((n + 15) / 16 * 16, (n + 31) / 32 * 32, ", weir.streamed", threads), expected)
          << n;
  }
}

}  // namespace
}  // namespace weir
