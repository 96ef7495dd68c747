// A small module all the way: passes, plan, code, and a run of the program.

#include "compiler/program_builder/program_builder.h"

#include <cmath>
#include <vector>

#include "gtest/gtest.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"

#include "compiler/pipelines/pipelines.h"
#include "compiler/tools/register_all.h"
#include "runtime/device/cpu/cpu_device.h"
#include "runtime/program/session.h"

namespace weir {
namespace {

constexpr char kModule[] = R"mlir(
#x = affine_map<(i, n, k) -> (i, k)>
#w = affine_map<(i, n, k) -> (n, k)>
#y = affine_map<(i, n, k) -> (i, n)>
#id = affine_map<(i, j) -> (i, j)>
#row = affine_map<(i, j) -> (j)>

func.func @init() -> (tensor<32x16xf32> {weir.variable = "w"}, tensor<i64> {weir.variable = "rng"})
    attributes {weir.entry} {
  %w = arith.constant dense<0.125> : tensor<32x16xf32>
  %n = arith.constant dense<7> : tensor<i64>
  return %w, %n : tensor<32x16xf32>, tensor<i64>
}

func.func @forward(%x: tensor<64x16xf32>, %w: tensor<32x16xf32>) -> tensor<64x48xf32> {
  %zero = arith.constant dense<0.0> : tensor<64x32xf32>
  %h = linalg.generic {indexing_maps = [#x, #w, #y], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%x, %w : tensor<64x16xf32>, tensor<32x16xf32>) outs(%zero : tensor<64x32xf32>) {
  ^bb0(%a: f32, %b: f32, %acc: f32):
    %m = arith.mulf %a, %b : f32
    %s = arith.addf %acc, %m : f32
    linalg.yield %s : f32
  } -> tensor<64x32xf32>
  %g = math.exp %h : tensor<64x32xf32>
  %y = tensor.concat dim(1) %g, %x : (tensor<64x32xf32>, tensor<64x16xf32>) -> tensor<64x48xf32>
  return %y : tensor<64x48xf32>
}

func.func @step(%x: tensor<64x16xf32> {weir.input = "x"}, %w: tensor<32x16xf32> {weir.variable = "w"},
                %n: tensor<i64> {weir.variable = "rng"})
    -> (tensor<64x48xf32> {weir.output = "y"}, tensor<32x16xf32> {weir.variable = "w"},
        tensor<i64> {weir.variable = "rng"}) attributes {weir.entry} {
  %y = call @forward(%x, %w) : (tensor<64x16xf32>, tensor<32x16xf32>) -> tensor<64x48xf32>
  %zero = arith.constant dense<0.0> : tensor<16xf32>
  %sum = linalg.generic {indexing_maps = [#id, #row], iterator_types = ["reduction", "parallel"]}
      ins(%x : tensor<64x16xf32>) outs(%zero : tensor<16xf32>) {
  ^bb0(%a: f32, %acc: f32):
    %s = arith.addf %acc, %a : f32
    linalg.yield %s : f32
  } -> tensor<16xf32>
  %rate = arith.constant 0.01 : f32
  %empty = tensor.empty() : tensor<32x16xf32>
  %w1 = linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel"]}
      ins(%w, %sum : tensor<32x16xf32>, tensor<16xf32>) outs(%empty : tensor<32x16xf32>) {
  ^bb0(%a: f32, %b: f32, %out: f32):
    %m = arith.mulf %b, %rate : f32
    %s = arith.subf %a, %m : f32
    linalg.yield %s : f32
  } -> tensor<32x16xf32>
  %one = arith.constant dense<1> : tensor<i64>
  %n1 = arith.addi %n, %one : tensor<i64>
  return %y, %w1, %n1 : tensor<64x48xf32>, tensor<32x16xf32>, tensor<i64>
}
)mlir";

TEST(ProgramBuilder, RunsWhatItBuilt) {
  mlir::DialectRegistry registry;
  registerAllDialects(registry);
  mlir::MLIRContext context(registry);
  auto module = mlir::parseSourceString<mlir::ModuleOp>(kModule, &context);
  ASSERT_TRUE(module);
  mlir::PassManager passes(&context);
  addFormKernels(passes);
  ASSERT_TRUE(mlir::succeeded(passes.run(*module)));

  ProgramOptions options;
  options.levels = {IsaLevel::Avx2, IsaLevel::Avx512};
  options.metadata["experiment"] = "none";
  ProgramReport report;
  mlir::FailureOr<runtime::Program> program = buildProgram(*module, options, &report);
  ASSERT_TRUE(mlir::succeeded(program));
  EXPECT_EQ(report.kernels, static_cast<int64_t>(program->kernels.size()));
  EXPECT_EQ(program->code.size(), 2u);
  EXPECT_EQ(program->metadata.at("experiment"), "none");
  ASSERT_GE(program->FindVariable("rng"), 0);
  EXPECT_EQ(program->variables[program->FindVariable("rng")].role, runtime::Role::kCounter);
  // Nothing but `step`'s sum lives in the arena: y is written in place, and so is w.
  EXPECT_EQ(program->FindEntryPoint("step")->arena_bytes, 64);

  // Saved and loaded, on whatever level this machine has.
  auto loaded = runtime::ParseProgram(runtime::SerializeProgram(*program), "test");
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  auto device = runtime::CpuDevice::Create({});
  ASSERT_TRUE(device.ok()) << device.status();
  auto session = runtime::Session::Create(*std::move(loaded), **device, {});
  ASSERT_TRUE(session.ok()) << session.status();

  std::vector<runtime::HostTensor> outputs;
  ASSERT_TRUE((*session)->Run("init", {}, &outputs).ok());
  runtime::HostTensor x((*session)->program().FindEntryPoint("step")->inputs[0]);
  std::vector<double> sum(16, 0.0);
  for (int i = 0; i < 64 * 16; ++i) {
    x.As<float>()[i] = static_cast<float>(std::sin(0.37 * i));
    sum[i % 16] += x.As<float>()[i];
  }
  std::vector<double> w(32 * 16, 0.125);
  for (int step = 0; step < 3; ++step) {
    std::vector<runtime::HostTensor> inputs = {x};
    absl::Status status = (*session)->Run("step", inputs, &outputs);
    ASSERT_TRUE(status.ok()) << status;
    ASSERT_EQ(outputs.size(), 1u);
    for (int i = 0; i < 64; ++i) {
      for (int n = 0; n < 32; ++n) {
        double h = 0;
        for (int k = 0; k < 16; ++k) h += x.As<float>()[i * 16 + k] * w[n * 16 + k];
        EXPECT_NEAR(outputs[0].As<float>()[i * 48 + n], std::exp(h), 1e-5 * std::exp(h));
      }
      for (int k = 0; k < 16; ++k) {
        EXPECT_EQ(outputs[0].As<float>()[i * 48 + 32 + k], x.As<float>()[i * 16 + k]);
      }
    }
    for (int i = 0; i < 32 * 16; ++i) w[i] -= 0.01 * sum[i % 16];
    auto updated = (*session)->ReadVariable("w");
    ASSERT_TRUE(updated.ok());
    for (int i = 0; i < 32 * 16; ++i) EXPECT_NEAR(updated->As<float>()[i], w[i], 1e-5);
    auto count = (*session)->ReadVariable("rng");
    ASSERT_TRUE(count.ok());
    EXPECT_EQ(count->As<int64_t>()[0], 8 + step);
  }
}

}  // namespace
}  // namespace weir
