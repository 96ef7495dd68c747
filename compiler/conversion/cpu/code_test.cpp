// What the generated code must not contain.

#include <sstream>

#include "compiler/conversion/cpu/kernel_runner.h"
#include "compiler/conversion/cpu/test_util.h"
#include "gtest/gtest.h"

namespace weir {
namespace {

/// Scalar floating-point arithmetic in the innermost loops of `assembly`: a loop is what lies
/// between a label and a jump back to it, and innermost if no other label is in between.
std::vector<std::string> scalarArithmeticInLoops(const std::string& assembly) {
  std::vector<std::string> found, body;
  std::istringstream lines(assembly);
  std::string label;
  for (std::string line; std::getline(lines, line);) {
    if (line.rfind(".L", 0) == 0) {
      label = line.substr(0, line.find(':'));
      body.clear();
      continue;
    }
    body.push_back(line);
    bool jumpsBack = !label.empty() && line.find("\tj") == 0 && line.size() > label.size() &&
                     line.compare(line.size() - label.size(), label.size(), label) == 0;
    if (!jumpsBack) continue;
    for (const std::string& instruction : body)
      for (const char* name : {"vaddss", "vsubss", "vmulss", "vdivss", "vfmadd", "vaddsd", "vmulsd",
                               "vdivsd", "vmaxss"}) {
        if (instruction.find(std::string("\t") + name) != 0) continue;
        std::string mnemonic = instruction.substr(1, instruction.find('\t', 1) - 1);
        if (mnemonic.size() > 2 && (mnemonic.substr(mnemonic.size() - 2) == "ss" ||
                                    mnemonic.substr(mnemonic.size() - 2) == "sd"))
          found.push_back(instruction);
      }
    body.clear();
  }
  return found;
}

TEST(CodeTest, FindsScalarLoops) {
  EXPECT_EQ(
      scalarArithmeticInLoops(".LBB0_1:\n\tvaddss\t%xmm0, %xmm1, %xmm0\n\tjne\t.LBB0_1\n").size(),
      1u);
  EXPECT_EQ(
      scalarArithmeticInLoops(".LBB0_1:\n\tvaddps\t%zmm0, %zmm1, %zmm0\n\tjne\t.LBB0_1\n").size(),
      0u);
}

const char* kKernels[] = {
    // Elementwise with functions, and a remainder.
    R"(func.func @k(%x: tensor<33x37xf32>, %g: tensor<37xf32>) -> tensor<33x37xf32> attributes {weir.kernel, weir.row_rank = 0 : i64} {
  %e = tensor.empty() : tensor<33x37xf32>
  %r = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (j)>, affine_map<(i, j) -> (i, j)>], iterator_types = ["parallel", "parallel"]} ins(%x, %g : tensor<33x37xf32>, tensor<37xf32>) outs(%e : tensor<33x37xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %1 = math.tanh %a : f32
    %2 = math.exp %b : f32
    %3 = math.log1p %2 : f32
    %4 = arith.mulf %1, %3 : f32
    linalg.yield %4 : f32
  } -> tensor<33x37xf32>
  return %r : tensor<33x37xf32>
})",
    // A sum along rows.
    R"(func.func @k(%x: tensor<64x1000xf32>, %z: tensor<64xf32>) -> tensor<64xf32> attributes {weir.kernel, weir.row_rank = 0 : i64} {
  %r = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>], iterator_types = ["parallel", "reduction"]} ins(%x : tensor<64x1000xf32>) outs(%z : tensor<64xf32>) {
  ^bb0(%a: f32, %o: f32):
    %1 = arith.mulf %a, %a : f32
    %2 = arith.addf %o, %1 : f32
    linalg.yield %2 : f32
  } -> tensor<64xf32>
  return %r : tensor<64xf32>
})",
    // A product with remainders in every dimension.
    R"(func.func @k(%x: tensor<100x70xf32>, %y: tensor<70x50xf32>, %z: tensor<100x50xf32>) -> tensor<100x50xf32> attributes {weir.kernel, weir.row_rank = 0 : i64} {
  %r = linalg.generic {indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (k, n)>, affine_map<(m, n, k) -> (m, n)>], iterator_types = ["parallel", "parallel", "reduction"]} ins(%x, %y : tensor<100x70xf32>, tensor<70x50xf32>) outs(%z : tensor<100x50xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %1 = arith.mulf %a, %b : f32
    %2 = arith.addf %o, %1 : f32
    linalg.yield %2 : f32
  } -> tensor<100x50xf32>
  return %r : tensor<100x50xf32>
})",
    // A scan.
    R"(func.func @k(%a: tensor<2x50x70xf32>, %b: tensor<2x50x70xf32>) -> tensor<2x50x70xf32> attributes {weir.kernel, weir.row_rank = 0 : i64} {
  %h, %last = weir.scan(%a, %b) : (tensor<2x50x70xf32>, tensor<2x50x70xf32>) -> (tensor<2x50x70xf32>, tensor<2x70xf32>)
  return %h : tensor<2x50x70xf32>
})",
};

TEST(CodeTest, InnermostLoopsAreVectors) {
  for (IsaLevel level : {IsaLevel::Avx2, IsaLevel::Avx512, IsaLevel::Amx})
    for (const char* kernel : kKernels) {
      std::string assembly = assemblyOf(kernel, level);
      ASSERT_FALSE(assembly.empty());
      EXPECT_EQ(scalarArithmeticInLoops(assembly), std::vector<std::string>()) << kernel;
      for (const char* function : {"expf", "tanhf", "logf", "fmaf", "truncsfbf2"})
        EXPECT_EQ(assembly.find(function), std::string::npos) << function << " is called by\n"
                                                              << kernel;
    }
}

TEST(CodeTest, ErrorsAreReported) {
  EXPECT_EQ(LoadedKernel::create("func.func @k(%x: tensor<?xf32>) -> tensor<?xf32> attributes "
                                 "{weir.kernel} {\n  return %x : tensor<?xf32>\n}",
                                 IsaLevel::Avx2),
            nullptr);
  EXPECT_EQ(LoadedKernel::create(
                R"(func.func @k(%x: tensor<4xf32>) -> tensor<2xf32> attributes {weir.kernel} {
  %e = tensor.empty() : tensor<2xf32>
  %r = linalg.generic {indexing_maps = [affine_map<(i) -> (i floordiv 2)>, affine_map<(i) -> (i)>], iterator_types = ["parallel"]} ins(%x : tensor<4xf32>) outs(%e : tensor<2xf32>) {
  ^bb0(%a: f32, %o: f32):
    linalg.yield %a : f32
  } -> tensor<2xf32>
  return %r : tensor<2xf32>
})",
                IsaLevel::Avx2),
            nullptr);
}

}  // namespace
}  // namespace weir
