// Speed of typical kernels on 2 threads, next to a triad of this process. Run by hand; --bf16 and
// --f32 run a part of them, --shape=8192x512x512 products of one shape, --tiles="rows = 64" asks
// for tiles, --cpu is one thread.

#include <omp.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <functional>
#include <string>

#include "compiler/conversion/cpu/kernel_runner.h"
#include "compiler/conversion/cpu/product_case.h"
#include "compiler/conversion/cpu/test_util.h"
#include "llvm/Support/Format.h"

namespace weir {
namespace {

/// Set by "--cpu": one thread, and processor time instead of time, for machines that do other work
/// meanwhile.
bool processorTime = false;

/// Set by "--shape": rows, columns and steps of the products that run.
std::string onlyShape;
/// Set by "--tiles": what their weir.tiles ask for.
std::string askedTiles;

double now() {
  if (processorTime) return static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

int threads() { return processorTime ? 1 : 2; }

double seconds(const std::function<void()>& call) {
  double best = 1e9;
  for (int round = 0; round < 12; ++round) {
    double start = now();
    call();
    best = std::min(best, now() - start);
  }
  return best;
}

void reportProduct(const char* what, LoadedKernel& kernel, const std::vector<void*>& buffers,
                   int64_t m, int64_t n, int64_t k) {
  kernel.run(buffers, threads());
  double s = seconds([&] { kernel.runAgain(buffers); });
  llvm::outs() << llvm::format("%-28s %5ld x %5ld x %5ld: %8.3f ms %7.1f GFLOP/s\n", what, m, n, k,
                               s * 1e3, 2e-9 * m * n * k / s);
}

bool isWanted(int64_t m, int64_t n, int64_t k) {
  std::string shape = std::to_string(m) + "x" + std::to_string(n) + "x" + std::to_string(k);
  return onlyShape.empty() || onlyShape == shape;
}

void benchmarkProduct(const char* what, ProductCase c, int64_t m, int64_t n, int64_t k,
                      IsaLevel level) {
  if (!isWanted(m, n, k)) return;
  c.m = m, c.n = n, c.k = k;
  auto kernel = LoadedKernel::create(kernelText(c, askedTiles), level);
  if (!kernel) return;
  auto a = operandValues(c.narrow, m * k, 1), b = operandValues(c.narrow, k * n, 2),
       result = randomValues(m * n, 3);
  reportProduct(what, *kernel, {a.data(), b.data(), result.data()}, m, n, k);
}

void benchmarkElementwise(IsaLevel level) {
  const char* text = R"(
func.func @k(%x: tensor<8192x1536xf32>, %y: tensor<8192x1536xf32>) -> tensor<8192x1536xf32> attributes {weir.kernel, weir.row_rank = 1 : i64} {
  %e = tensor.empty() : tensor<8192x1536xf32>
  %r = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>],
      iterator_types = ["parallel", "parallel"]} ins(%x, %y : tensor<8192x1536xf32>, tensor<8192x1536xf32>) outs(%e : tensor<8192x1536xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %one = arith.constant 1.0 : f32
    %n = arith.negf %a : f32
    %x1 = math.exp %n : f32
    %d = arith.addf %x1, %one : f32
    %q = arith.divf %a, %d : f32
    %p = arith.mulf %q, %b : f32
    linalg.yield %p : f32
  } -> tensor<8192x1536xf32>
  return %r : tensor<8192x1536xf32>
})";
  auto kernel = LoadedKernel::create(text, level);
  if (!kernel) return;
  int64_t size = 8192 * 1536;
  auto a = randomValues(size, 1), b = randomValues(size, 2), c = randomValues(size, 3);
  std::vector<void*> buffers = {a.data(), b.data(), c.data()};
  kernel->run(buffers, threads());
  double s = seconds([&] { kernel->runAgain(buffers); });
  double triad = seconds([&] {
#pragma omp parallel for num_threads(threads())
    for (int64_t i = 0; i < size; ++i) c[i] = a[i] + 2 * b[i];
  });
  llvm::outs() << llvm::format(
      "silu(a) * b 8192 x 1536: %.2f ms %.1f GB/s; triad %.2f ms %.1f GB/s\n", s * 1e3,
      12e-9 * size / s, triad * 1e3, 12e-9 * size / triad);
}

void run(llvm::StringRef only) {
  IsaLevel level = hostLevel();
  IsaLevel f32 = std::min(level, IsaLevel::Avx512);
  if (onlyShape.empty() && (only == "" || only == "f32")) benchmarkElementwise(f32);
  ProductCase plain{0, 0, 0, true, false}, transposed{0, 0, 0, true, true},
      weights{0, 0, 0, false, false};
  if (only == "" || only == "f32") {
    for (IsaLevel l : {level, f32}) {
      llvm::outs() << CpuTarget{l}.name() << "\n";
      benchmarkProduct("f32", plain, 8192, 512, 512, l);
      benchmarkProduct("f32, B transposed", transposed, 8192, 512, 512, l);
      benchmarkProduct("f32, B transposed", transposed, 8192, 2048, 512, l);
      benchmarkProduct("f32, B transposed", transposed, 8192, 512, 2048, l);
      benchmarkProduct("f32", plain, 2048, 2048, 2048, l);
      benchmarkProduct("f32 weight gradient", weights, 512, 512, 8192, l);
      benchmarkProduct("f32 weight gradient", weights, 2048, 512, 8192, l);
      benchmarkProduct("f32 weight gradient", weights, 64, 64, 16384, l);
      benchmarkProduct("f32 small", transposed, 1280, 64, 64, l);
      benchmarkProduct("f32 small", transposed, 64, 64, 64, l);
      benchmarkProduct("f32 small", transposed, 128, 128, 128, l);
      benchmarkProduct("f32 decode", transposed, 1, 512, 512, l);
      if (level == f32) break;
    }
    if (f32 == IsaLevel::Avx512)
      benchmarkProduct("f32 on AVX2", plain, 8192, 512, 512, IsaLevel::Avx2);
  }
  if (only == "f32") return;
  ProductCase bf16 = plain, bf16Transposed = transposed, bf16Weights = weights;
  for (ProductCase* each : {&bf16, &bf16Transposed, &bf16Weights}) each->narrow = true;
  ProductCase activated = bf16Transposed;
  activated.withActivation = true;
  for (IsaLevel l : {level, f32}) {
    benchmarkProduct("bf16", bf16, 8192, 512, 512, l);
    benchmarkProduct("bf16, B transposed", bf16Transposed, 8192, 512, 512, l);
    benchmarkProduct("bf16", bf16, 2048, 2048, 2048, l);
    benchmarkProduct("bf16 weight gradient", bf16Weights, 512, 512, 8192, l);
    benchmarkProduct("bf16 weight gradient", bf16Weights, 2048, 512, 8192, l);
    benchmarkProduct("bf16 weight gradient", bf16Weights, 512, 1024, 8192, l);
    benchmarkProduct("bf16 weight gradient", bf16Weights, 512, 2048, 8192, l);
    benchmarkProduct("bf16, silu, to bf16", activated, 8192, 512, 512, l);
    benchmarkProduct("bf16, silu, to bf16", activated, 8192, 2048, 512, l);
    benchmarkProduct("bf16, silu, to bf16", activated, 8192, 512, 2048, l);
    if (level == f32 || only == "bf16") break;
  }
}

}  // namespace
}  // namespace weir

int main(int argc, char** argv) {
  llvm::StringRef only;
  for (llvm::StringRef argument : llvm::ArrayRef(argv + 1, argc - 1)) {
    if (argument == "--cpu") weir::processorTime = true;
    if (argument.consume_front("--shape=")) weir::onlyShape = argument.str();
    if (argument.consume_front("--tiles=")) weir::askedTiles = argument.str();
    if (argument == "--f32" || argument == "--bf16") only = argument.drop_front(2);
  }
  weir::run(only);
}
