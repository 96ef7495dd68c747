// Kernels that were compiled before come from the cache, and are the same bit by bit.

#include <filesystem>
#include <fstream>

#include "gtest/gtest.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"

#include "compiler/pipelines/pipelines.h"
#include "compiler/program_builder/program_builder.h"
#include "compiler/tools/register_all.h"

namespace weir {
namespace {

namespace fs = std::filesystem;

/// Two kernels: a product, and a sum of `sum`s.
std::string moduleText(const std::string& sum) {
  return R"mlir(
#x = affine_map<(i, n, k) -> (i, k)>
#w = affine_map<(i, n, k) -> (n, k)>
#y = affine_map<(i, n, k) -> (i, n)>
#id = affine_map<(i, j) -> (i, j)>
#row = affine_map<(i, j) -> (j)>
func.func @run(%x: tensor<24x16xf32> {weir.input = "x"}, %v: tensor<24x16xf32> {weir.input = "v"},
               %w: tensor<32x16xf32> {weir.variable = "w"})
    -> (tensor<24x32xf32> {weir.output = "y"}, tensor<16xf32> {weir.output = "s"}) attributes {weir.entry} {
  %zero = arith.constant dense<0.0> : tensor<24x32xf32>
  %y = linalg.generic {indexing_maps = [#x, #w, #y], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%x, %w : tensor<24x16xf32>, tensor<32x16xf32>) outs(%zero : tensor<24x32xf32>) {
  ^bb0(%a: f32, %b: f32, %acc: f32):
    %m = arith.mulf %a, %b : f32
    %s = arith.addf %acc, %m : f32
    linalg.yield %s : f32
  } -> tensor<24x32xf32>
  %none = arith.constant dense<0.0> : tensor<16xf32>
  %sum = linalg.generic {indexing_maps = [#id, #row], iterator_types = ["reduction", "parallel"]}
      ins(%v : tensor<24x16xf32>) outs(%none : tensor<16xf32>) {
  ^bb0(%a: f32, %acc: f32):
    %m = )mlir" +
         sum + R"mlir(
    %s = arith.addf %acc, %m : f32
    linalg.yield %s : f32
  } -> tensor<16xf32>
  return %y, %sum : tensor<24x32xf32>, tensor<16xf32>
}
)mlir";
}

class KernelCacheTest : public testing::Test {
 protected:
  KernelCacheTest() { registerAllDialects(registry); }
  void SetUp() override {
    directory = testing::TempDir() + "/kernel_cache_test";
    fs::remove_all(directory);
    cache =
        Cache::open(directory, Cache::kDefaultBytes, [this](const std::string&) { ++warnings; });
  }
  void TearDown() override { fs::remove_all(directory); }

  /// The program's bytes.
  std::string build(const std::string& text, Cache* with, IsaLevel level = IsaLevel::Avx2) {
    mlir::MLIRContext context(registry);
    auto module = mlir::parseSourceString<mlir::ModuleOp>(text, &context);
    if (!module) return "";
    mlir::PassManager passes(&context);
    addFormKernels(passes);
    if (mlir::failed(passes.run(*module))) return "";
    ProgramOptions options;
    options.levels = {level};
    options.cache = with;
    report = {};
    auto program = buildProgram(*module, options, &report);
    return mlir::succeeded(program) ? runtime::SerializeProgram(*program) : "";
  }

  mlir::DialectRegistry registry;
  std::string directory;
  std::unique_ptr<Cache> cache;
  int warnings = 0;
  ProgramReport report;
};

const char* const kSquare = "arith.mulf %a, %a : f32";
const char* const kDouble = "arith.addf %a, %a : f32";

TEST_F(KernelCacheTest, IsReadInTheNextBuild) {
  std::string uncached = build(moduleText(kSquare), nullptr);
  ASSERT_FALSE(uncached.empty());
  ASSERT_GE(report.kernels, 2);
  EXPECT_EQ(build(moduleText(kSquare), cache.get()), uncached);
  EXPECT_EQ(report.kernelsFromCache, 0);
  EXPECT_EQ(build(moduleText(kSquare), cache.get()), uncached);
  EXPECT_EQ(report.kernelsFromCache, report.kernels);
}

TEST_F(KernelCacheTest, OnlyWhatChangedIsCompiled) {
  build(moduleText(kSquare), cache.get());
  std::string changed = build(moduleText(kDouble), cache.get());
  EXPECT_EQ(report.kernelsFromCache, report.kernels - 1);
  EXPECT_EQ(changed, build(moduleText(kDouble), nullptr));
  // Names and places are no part of a kernel.
  build("// A line more.\n" + moduleText(kSquare), cache.get());
  EXPECT_EQ(report.kernelsFromCache, report.kernels);
  build(moduleText(kSquare), cache.get(), IsaLevel::Avx512);
  EXPECT_EQ(report.kernelsFromCache, 0);
}

TEST_F(KernelCacheTest, DamagedEntriesAreCompiledAgain) {
  std::string first = build(moduleText(kSquare), cache.get());
  int damaged = 0;
  for (const auto& entry : fs::recursive_directory_iterator(directory + "/entries")) {
    if (!entry.is_regular_file()) continue;
    std::fstream stream(entry.path(), std::ios::in | std::ios::out);
    stream.seekp(static_cast<std::streamoff>(entry.file_size() / 2));
    stream << "damage";
    ++damaged;
  }
  EXPECT_EQ(damaged, report.kernels);
  EXPECT_EQ(build(moduleText(kSquare), cache.get()), first);
  EXPECT_EQ(report.kernelsFromCache, 0);
  EXPECT_EQ(warnings, damaged);
  EXPECT_EQ(build(moduleText(kSquare), cache.get()), first);
  EXPECT_EQ(report.kernelsFromCache, report.kernels);
}

TEST_F(KernelCacheTest, CompilesWhereNothingCanBeKept) {
  std::ofstream(directory) << "a file where the folder should be";
  EXPECT_EQ(build(moduleText(kSquare), cache.get()), build(moduleText(kSquare), nullptr));
  EXPECT_EQ(warnings, 1);
}

}  // namespace
}  // namespace weir
