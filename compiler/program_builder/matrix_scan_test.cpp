// Scans with matrix states as they are compiled in chunks, in f32 and bf16, against the scan in
// order in f64, with decays of 0, next to 0, next to 1 and 1.

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"

#include "compiler/pipelines/pipelines.h"
#include "compiler/program_builder/program_builder.h"
#include "compiler/tools/register_all.h"
#include "runtime/device/cpu/cpu_device.h"
#include "runtime/device/cpu/isa.h"
#include "runtime/program/session.h"

namespace weir {
namespace {

using runtime::HostTensor;

struct Shape {
  int64_t batch, time, heads, key, value;
};

std::string textOf(const Shape& s, const std::string& type, const std::string& decay,
                   int64_t chunk) {
  auto tensor = [&](const std::string& letters) {
    std::string text = "tensor<";
    for (char letter : letters) {
      int64_t extent = letter == 'b'   ? s.batch
                       : letter == 't' ? s.time
                       : letter == 'h' ? s.heads
                       : letter == 'k' ? s.key
                                       : s.value;
      text += std::to_string(extent) + "x";
    }
    return text + type + ">";
  };
  auto map = [](const std::string& letters) {
    std::string text = "affine_map<(b, t, h, k, v) -> (";
    for (size_t i = 0; i < letters.size(); ++i) text += (i ? ", " : "") + letters.substr(i, 1);
    return text + ")>";
  };
  std::string a = tensor(decay), k = tensor("bthk"), v = tensor("bthv"), state = tensor("bhkv");
  std::string text =
      "func.func @run(%a: " + a + " {weir.input = \"a\"}, %k: " + k +
      " {weir.input = \"k\"}, %v: " + v + " {weir.input = \"v\"}, %q: " + k +
      " {weir.input = \"q\"}, %s: " + state + " {weir.input = \"s\"}) -> (" + v +
      " {weir.output = \"y\"}, " + state + R"( {weir.output = "last"}) attributes {weir.entry} {
  %y, %last = weir.scan(%a, %k, %v, %q) from %s prologue {
  ^bb0(%pa: $e, %pk: $e, %pv: $e, %pq: $e):
    %b = arith.mulf %pk, %pv : $e
    weir.yield %pa, %b : $e, $e
  } epilogue {
  ^bb0(%h: $e, %pa: $e, %pk: $e, %pv: $e, %pq: $e):
    %o = arith.mulf %h, %pq : $e
    weir.yield %o : $e
  } {weir.matrix_chunk = )" +
      std::to_string(chunk) + ", indexing_maps = [" + map(decay) + ", " + map("bthk") + ", " +
      map("bthv") + ", " + map("bthk") + ", " + map("bthv") +
      R"(], iterator_types = ["parallel", "time", "parallel", "parallel", "parallel"]} : ()" + a +
      ", " + k + ", " + v + ", " + k + ", " + state + ") -> (" + v + ", " + state +
      ")\n  return %y, %last : " + v + ", " + state + "\n}";
  for (size_t at = 0; (at = text.find("$e", at)) != std::string::npos;) text.replace(at, 2, type);
  return text;
}

/// Results of `text` on `values`, as numbers.
void run(const std::string& text, bool bf16, const std::vector<std::vector<double>>& values,
         std::vector<std::vector<double>>& results) {
  mlir::DialectRegistry registry;
  registerAllDialects(registry);
  mlir::MLIRContext context(registry);
  auto module = mlir::parseSourceString<mlir::ModuleOp>(text, &context);
  ASSERT_TRUE(module) << text;
  mlir::PassManager passes(&context);
  addSimplify(passes, /*fuse=*/true, bf16);
  addFormKernels(passes);
  ASSERT_TRUE(mlir::succeeded(passes.run(*module)));
  absl::StatusOr<std::string> level = runtime::ChooseIsaLevel("");
  ASSERT_TRUE(level.ok());
  IsaLevel isa = *level == "amx"      ? IsaLevel::Amx
                 : *level == "avx512" ? IsaLevel::Avx512
                                      : IsaLevel::Avx2;
  mlir::FailureOr<runtime::Program> program = buildProgram(*module, ProgramOptions{{isa}, {}});
  ASSERT_TRUE(mlir::succeeded(program));
  auto device = runtime::CpuDevice::Create({*level});
  ASSERT_TRUE(device.ok()) << device.status();
  auto session = runtime::Session::Create(*std::move(program), **device, {});
  ASSERT_TRUE(session.ok()) << session.status();
  std::vector<HostTensor> inputs, outputs;
  for (const runtime::TensorSpec& spec : (*session)->program().FindEntryPoint("run")->inputs) {
    HostTensor& input = inputs.emplace_back(spec);
    const std::vector<double>& from = values[inputs.size() - 1];
    for (int64_t i = 0; i < spec.NumElements(); ++i) input.SetNumber(i, from[i]);
  }
  absl::Status status = (*session)->Run("run", inputs, &outputs);
  ASSERT_TRUE(status.ok()) << status;
  for (const HostTensor& output : outputs) {
    std::vector<double>& result = results.emplace_back();
    for (int64_t i = 0; i < output.spec().NumElements(); ++i) result.push_back(output.Number(i));
  }
}

class MatrixScan : public testing::TestWithParam<std::string> {};
// The letters of the decay.
INSTANTIATE_TEST_SUITE_P(Decays, MatrixScan, testing::Values("bth", "bthk", "bthv", "h", "th"));

TEST_P(MatrixScan, ChunksAreTheScan) {
  for (auto [s, chunk] : {std::pair(Shape{2, 67, 3, 16, 24}, int64_t(16)),
                          std::pair(Shape{1, 64, 2, 33, 17}, int64_t(32)),
                          std::pair(Shape{1, 130, 1, 64, 64}, int64_t(64)),
                          std::pair(Shape{3, 5, 1, 1, 2}, int64_t(3))}) {
    SCOPED_TRACE(testing::Message() << s.time << " by " << chunk);
    std::mt19937 generator(11);
    std::uniform_real_distribution<double> uniform(-1, 1);
    std::vector<double> special = {0, 1, 1e-38, 1e-20, 1 - 6e-8, 0.99, 0.5};
    // Numbers of bf16, so that all precisions start from the same ones.
    auto bf16Number = [](double x) { return std::ldexp(std::round(std::ldexp(x, 7)), -7); };
    std::vector<std::vector<double>> values;
    for (const std::string& letters : {GetParam(), std::string("bthk"), std::string("bthv"),
                                       std::string("bthk"), std::string("bhkv")}) {
      int64_t count = 1;
      for (char letter : letters)
        count *= letter == 'b'   ? s.batch
                 : letter == 't' ? s.time
                 : letter == 'h' ? s.heads
                 : letter == 'k' ? s.key
                                 : s.value;
      std::vector<double>& tensor = values.emplace_back();
      for (int64_t i = 0; i < count; ++i) tensor.push_back(bf16Number(uniform(generator)));
    }
    for (double& a : values[0]) {
      // Mostly close to 1, so that chunks matter to each other.
      double draw = std::fabs(uniform(generator));
      a = static_cast<float>(draw < 0.1 ? special[generator() % special.size()]
                                        : 1 - 0.1 * std::fabs(a));
    }
    std::vector<std::vector<double>> expected, order, chunks, rounded;
    ASSERT_NO_FATAL_FAILURE(run(textOf(s, "f64", GetParam(), 0), false, values, expected));
    ASSERT_NO_FATAL_FAILURE(run(textOf(s, "f32", GetParam(), 0), false, values, order));
    ASSERT_NO_FATAL_FAILURE(run(textOf(s, "f32", GetParam(), chunk), false, values, chunks));
    ASSERT_NO_FATAL_FAILURE(run(textOf(s, "f32", GetParam(), chunk), true, values, rounded));
    for (size_t r = 0; r < expected.size(); ++r) {
      double largest = 0, ofOrder = 0, ofChunks = 0, squares = 0, all = 0;
      for (size_t i = 0; i < expected[r].size(); ++i) {
        double value = expected[r][i];
        ASSERT_TRUE(std::isfinite(chunks[r][i]) && std::isfinite(rounded[r][i]));
        largest = std::max(largest, std::fabs(value));
        ofOrder = std::max(ofOrder, std::fabs(order[r][i] - value));
        ofChunks = std::max(ofChunks, std::fabs(chunks[r][i] - value));
        squares += (rounded[r][i] - value) * (rounded[r][i] - value);
        all += value * value;
      }
      EXPECT_LE(ofOrder, 1e-6 * largest) << "result " << r;
      EXPECT_LE(ofChunks, 2e-6 * largest) << "result " << r;
      EXPECT_LE(std::sqrt(squares / all), 5e-3) << "result " << r;
    }
  }
}

}  // namespace
}  // namespace weir
