// Kernels of many ops against kernels of one op each: the same program, the same numbers.

#include <cmath>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"

#include "compiler/pipelines/pipelines.h"
#include "compiler/program_builder/program_builder.h"
#include "compiler/tools/register_all.h"
#include "runtime/device/cpu/cpu_device.h"
#include "runtime/program/session.h"

namespace weir {
namespace {

using runtime::HostTensor;

struct Run {
  std::vector<HostTensor> outputs;
  size_t launches = 0;
};

/// Runs the entry point `run` of `text` on inputs that depend on their place only.
void compileAndRun(const std::string& text, int64_t maxOps, Run& run) {
  mlir::DialectRegistry registry;
  registerAllDialects(registry);
  mlir::MLIRContext context(registry);
  auto module = mlir::parseSourceString<mlir::ModuleOp>(text, &context);
  ASSERT_TRUE(module);
  mlir::PassManager passes(&context);
  FormKernelsOptions options;
  options.maxOps = maxOps;
  addFormKernels(passes, options);
  ASSERT_TRUE(mlir::succeeded(passes.run(*module)));
  mlir::FailureOr<runtime::Program> program =
      buildProgram(*module, ProgramOptions{{IsaLevel::Avx2}, {}});
  ASSERT_TRUE(mlir::succeeded(program));
  run.launches = program->FindEntryPoint("run")->launches.size();
  auto device = runtime::CpuDevice::Create({"avx2"});
  ASSERT_TRUE(device.ok()) << device.status();
  auto session = runtime::Session::Create(*std::move(program), **device, {});
  ASSERT_TRUE(session.ok()) << session.status();
  std::vector<HostTensor> inputs;
  for (const runtime::TensorSpec& spec : (*session)->program().FindEntryPoint("run")->inputs) {
    HostTensor& input = inputs.emplace_back(spec);
    for (size_t i = 0; i < input.As<float>().size(); ++i) {
      input.As<float>()[i] = 0.3f * static_cast<float>(std::sin(1.7 * i + 0.3 * inputs.size()));
    }
  }
  absl::Status status = (*session)->Run("run", inputs, &run.outputs);
  ASSERT_TRUE(status.ok()) << status;
}

void expectSame(const std::string& text, size_t launchesFused) {
  Run alone, fused;
  ASSERT_NO_FATAL_FAILURE(compileAndRun(text, 1, alone));
  ASSERT_NO_FATAL_FAILURE(compileAndRun(text, 64, fused));
  EXPECT_EQ(fused.launches, launchesFused);
  EXPECT_LT(fused.launches, alone.launches);
  ASSERT_EQ(alone.outputs.size(), fused.outputs.size());
  for (size_t k = 0; k < alone.outputs.size(); ++k) {
    auto a = alone.outputs[k].As<float>(), b = fused.outputs[k].As<float>();
    float largest = 0, error = 0;
    for (size_t i = 0; i < a.size(); ++i) {
      largest = std::max(largest, std::abs(a[i]));
      error = std::max(error, std::abs(a[i] - b[i]));
      ASSERT_FALSE(std::isnan(a[i]) || std::isnan(b[i]));
    }
    EXPECT_GT(largest, 1e-3f) << "output " << k;
    EXPECT_LE(error, 2e-6f * largest) << "output " << k;
  }
}

TEST(Fusion, GatedUnit) {
  expectSame(R"mlir(
func.func @run(%x: tensor<6x40x32xf32> {weir.input = "x"}, %g: tensor<32xf32> {weir.input = "g"},
               %w: tensor<96x32xf32> {weir.input = "w"}, %b: tensor<96xf32> {weir.input = "b"},
               %o: tensor<32x48xf32> {weir.input = "o"}, %ob: tensor<32xf32> {weir.input = "ob"})
    -> (tensor<6x40x32xf32> {weir.output = "y"}, tensor<32xf32> {weir.output = "sum"}) attributes {weir.entry} {
  %n = weir.rms_norm %x, "n" params(%g : tensor<32xf32>) : tensor<6x40x32xf32>
  %p = weir.linear %n, "w" params(%w, %b : tensor<96x32xf32>, tensor<96xf32>)
      : tensor<6x40x32xf32> -> tensor<6x40x96xf32>
  %u = tensor.extract_slice %p[0, 0, 0] [6, 40, 48] [1, 1, 1] : tensor<6x40x96xf32> to tensor<6x40x48xf32>
  %v = tensor.extract_slice %p[0, 0, 48] [6, 40, 48] [1, 1, 1] : tensor<6x40x96xf32> to tensor<6x40x48xf32>
  %s = math.tanh %u : tensor<6x40x48xf32>
  %m = arith.mulf %s, %v : tensor<6x40x48xf32>
  %q = weir.linear %m, "o" params(%o, %ob : tensor<32x48xf32>, tensor<32xf32>)
      : tensor<6x40x48xf32> -> tensor<6x40x32xf32>
  %y = arith.addf %x, %q : tensor<6x40x32xf32>
  %zero = arith.constant dense<0.0> : tensor<32xf32>
  %sum = linalg.reduce { arith.addf } ins(%y : tensor<6x40x32xf32>) outs(%zero : tensor<32xf32>) dimensions = [0, 1]
  return %y, %sum : tensor<6x40x32xf32>, tensor<32xf32>
}
)mlir",
             1);
}

// Scores, softmax and the sum over values of two heads, from one product with three parts.
TEST(Fusion, Attention) {
  expectSame(R"mlir(
func.func @run(%x: tensor<3x20x24xf32> {weir.input = "x"}, %w: tensor<72x24xf32> {weir.input = "w"},
               %b: tensor<72xf32> {weir.input = "b"})
    -> (tensor<3x20x24xf32> {weir.output = "y"}) attributes {weir.entry} {
  %p = weir.linear %x, "w" params(%w, %b : tensor<72x24xf32>, tensor<72xf32>)
      : tensor<3x20x24xf32> -> tensor<3x20x72xf32>
  %q3 = tensor.extract_slice %p[0, 0, 0] [3, 20, 24] [1, 1, 1] : tensor<3x20x72xf32> to tensor<3x20x24xf32>
  %k3 = tensor.extract_slice %p[0, 0, 24] [3, 20, 24] [1, 1, 1] : tensor<3x20x72xf32> to tensor<3x20x24xf32>
  %v3 = tensor.extract_slice %p[0, 0, 48] [3, 20, 24] [1, 1, 1] : tensor<3x20x72xf32> to tensor<3x20x24xf32>
  %q = tensor.expand_shape %q3 [[0], [1], [2, 3]] output_shape [3, 20, 2, 12]
      : tensor<3x20x24xf32> into tensor<3x20x2x12xf32>
  %k = tensor.expand_shape %k3 [[0], [1], [2, 3]] output_shape [3, 20, 2, 12]
      : tensor<3x20x24xf32> into tensor<3x20x2x12xf32>
  %v = tensor.expand_shape %v3 [[0], [1], [2, 3]] output_shape [3, 20, 2, 12]
      : tensor<3x20x24xf32> into tensor<3x20x2x12xf32>
  %zero = arith.constant dense<0.0> : tensor<3x2x20x20xf32>
  %s = linalg.generic {indexing_maps = [affine_map<(b, h, t, s, d) -> (b, t, h, d)>,
                                        affine_map<(b, h, t, s, d) -> (b, s, h, d)>,
                                        affine_map<(b, h, t, s, d) -> (b, h, t, s)>],
                       iterator_types = ["parallel", "parallel", "parallel", "parallel", "reduction"]}
      ins(%q, %k : tensor<3x20x2x12xf32>, tensor<3x20x2x12xf32>) outs(%zero : tensor<3x2x20x20xf32>) {
  ^bb0(%a: f32, %c: f32, %acc: f32):
    %m = arith.mulf %a, %c : f32
    %r = arith.addf %acc, %m : f32
    linalg.yield %r : f32
  } -> tensor<3x2x20x20xf32>
  %e = tensor.empty() : tensor<3x2x20x20xf32>
  %a = linalg.softmax dimension(3) ins(%s : tensor<3x2x20x20xf32>) outs(%e : tensor<3x2x20x20xf32>)
      -> tensor<3x2x20x20xf32>
  %zero2 = arith.constant dense<0.0> : tensor<3x20x2x12xf32>
  %y4 = linalg.generic {indexing_maps = [affine_map<(b, h, t, d, s) -> (b, h, t, s)>,
                                         affine_map<(b, h, t, d, s) -> (b, s, h, d)>,
                                         affine_map<(b, h, t, d, s) -> (b, t, h, d)>],
                        iterator_types = ["parallel", "parallel", "parallel", "parallel", "reduction"]}
      ins(%a, %v : tensor<3x2x20x20xf32>, tensor<3x20x2x12xf32>) outs(%zero2 : tensor<3x20x2x12xf32>) {
  ^bb0(%p1: f32, %v1: f32, %acc: f32):
    %m = arith.mulf %p1, %v1 : f32
    %r = arith.addf %acc, %m : f32
    linalg.yield %r : f32
  } -> tensor<3x20x2x12xf32>
  %y = tensor.collapse_shape %y4 [[0], [1], [2, 3]] : tensor<3x20x2x12xf32> into tensor<3x20x24xf32>
  return %y : tensor<3x20x24xf32>
}
)mlir",
             2);
}

// What a concatenation joins is written in place; a transposed reader keeps its distance.
TEST(Fusion, ConcatAndTranspose) {
  expectSame(R"mlir(
#swap = affine_map<(i, j) -> (j, i)>
#id = affine_map<(i, j) -> (i, j)>
func.func @run(%x: tensor<40x24xf32> {weir.input = "x"}, %y: tensor<40x8xf32> {weir.input = "y"})
    -> (tensor<40x32xf32> {weir.output = "c"}, tensor<32x40xf32> {weir.output = "t"},
        tensor<40x24xf32> {weir.output = "p"}) attributes {weir.entry} {
  %a = math.exp %x : tensor<40x24xf32>
  %b = math.tanh %a : tensor<40x24xf32>
  %c = tensor.concat dim(1) %b, %y : (tensor<40x24xf32>, tensor<40x8xf32>) -> tensor<40x32xf32>
  %e = tensor.empty() : tensor<32x40xf32>
  %t = linalg.transpose ins(%c : tensor<40x32xf32>) outs(%e : tensor<32x40xf32>) permutation = [1, 0]
  %zero = arith.constant 0.25 : f32
  %p = tensor.pad %y low[0, 9] high[0, 7] {
  ^bb0(%i: index, %j: index):
    tensor.yield %zero : f32
  } : tensor<40x8xf32> to tensor<40x24xf32>
  %p1 = arith.addf %p, %a : tensor<40x24xf32>
  return %c, %t, %p1 : tensor<40x32xf32>, tensor<32x40xf32>, tensor<40x24xf32>
}
)mlir",
             3);
}

}  // namespace
}  // namespace weir
