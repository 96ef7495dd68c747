// Speed of the scan of a minimal GRU and of its gradient, bf16 and f32, on one thread. Run by hand:
// scan_benchmark [FEATURES...].

#include <algorithm>
#include <ctime>

#include "compiler/conversion/cpu/kernel_runner.h"
#include "compiler/conversion/cpu/product_case.h"
#include "compiler/conversion/cpu/scan_case.h"
#include "llvm/Support/Format.h"

namespace weir {
namespace {

constexpr int64_t kRows = 8, kLength = 1024, kChunk = 32;

const char* const kPrologue = R"(
    ^bb0(%k: $E, %x: $E):
      %x1 = $X %x : $E to f32
      %g = weir.positive %x1 : f32
      %k1 = $X %k : $E to f32
      %z = weir.sigmoid %k1 : f32
      %b = arith.mulf %z, %g : f32
      %n = arith.negf %k1 : f32
      %a = weir.sigmoid %n : f32
      weir.yield %a, %b : f32, f32
)";

const char* const kForward = R"(
func.func @k(%gate: $S, %in: $S) -> ($S {weir.streamed}, $H) attributes {weir.kernel, weir.row_rank = 0 : i64} {
  %0:3 = weir.scan(%gate, %in) chunk($K) prologue { $P } epilogue {
    ^bb0(%h: f32, %k0: $E, %x0: $E):
      %y = $Y %h : f32 to $E
      weir.yield %y : $E
  } {indexing_maps = [$M, $M, $M], iterator_types = ["parallel", "time", "parallel"]}
    : ($S, $S) -> ($S, $L, $H)
  return %0#0, %0#2 : $S, $H
})";

const char* const kBackward = R"(
func.func @k(%gate: $S, %in: $S, %states: $H, %dy: $S) -> ($S {weir.streamed}, $S {weir.streamed}) attributes {weir.kernel, weir.row_rank = 0 : i64} {
  %0:2 = weir.scan_vjp(%gate, %in) states(%states) cotangents(%dy) chunk($K) prologue { $P } adjoint_epilogue {
    ^bb0(%h: f32, %k0: $E, %x0: $E, %y: $E):
      %zero = arith.constant 0.0 : $E
      %dh = $X %y : $E to f32
      weir.yield %dh, %zero, %zero : f32, $E, $E
  } adjoint_prologue {
    ^bb0(%k: $E, %x: $E, %da: f32, %db: f32):
      %one = arith.constant 1.0 : f32
      %zero = arith.constant 0.0 : f32
      %x1 = $X %x : $E to f32
      %g = weir.positive %x1 : f32
      %k1 = $X %k : $E to f32
      %z = weir.sigmoid %k1 : f32
      %n = arith.negf %k1 : f32
      %a = weir.sigmoid %n : f32
      %az = arith.mulf %a, %z : f32
      %p = arith.mulf %da, %az : f32
      %q = arith.mulf %db, %g : f32
      %r = arith.mulf %q, %az : f32
      %dk = arith.subf %r, %p : f32
      %dg = arith.mulf %z, %db : f32
      %s = weir.sigmoid %x1 : f32
      %m = arith.negf %x1 : f32
      %t = weir.sigmoid %m : f32
      %st = arith.mulf %s, %t : f32
      %c = arith.cmpf oge, %x1, %zero : f32
      %slope = arith.select %c, %one, %st : f32
      %dx = arith.mulf %dg, %slope : f32
      %o1 = $Y %dk : f32 to $E
      %o2 = $Y %dx : f32 to $E
      weir.yield %o1, %o2 : $E, $E
  } {indexing_maps = [$M, $M, $M], iterator_types = ["parallel", "time", "parallel"]}
    : ($S, $S, $H, $S) -> ($S, $S)
  return %0#0, %0#1 : $S, $S
})";

double seconds(LoadedKernel& kernel, const std::vector<void*>& buffers) {
  double best = 1e9;
  kernel.run(buffers, 1);
  for (int round = 0; round < 30; ++round) {
    std::clock_t start = std::clock();
    kernel.runAgain(buffers);
    best = std::min(best, double(std::clock() - start) / CLOCKS_PER_SEC);
  }
  return best;
}

void run(int64_t features, bool narrow) {
  IsaLevel level = hostLevel();
  ScanCase c{kRows, kLength, features, 1, kChunk};
  c.narrow = narrow;
  auto load = [&](const char* text) {
    return LoadedKernel::create(c.kernel(replaced(text, "$P", kPrologue)), level);
  };
  auto forward = load(kForward), backward = load(kBackward);
  if (!forward || !backward) return;
  int64_t size = kRows * kLength * features;
  auto k = operandValues(narrow, size, 1), x = operandValues(narrow, size, 2),
       d = operandValues(narrow, size, 3), y = k, dk = k, dx = k;
  std::vector<float> states(size / kChunk);
  void *gate = aligned(k), *input = aligned(x), *entering = aligned(states);
  double f = seconds(*forward, {gate, input, aligned(y), entering});
  double b = seconds(*backward, {gate, input, entering, aligned(d), aligned(dk), aligned(dx)});
  double tensor = 1e-9 * size * (narrow ? 2 : 4), points = size / 16.0;
  llvm::outs() << llvm::format(
      "%-4s width %5ld: forward %7.3f ms %5.1f GB/s %5.1f ns/vector, backward %7.3f ms %5.1f GB/s "
      "%5.1f ns\n",
      narrow ? "bf16" : "f32", features, f * 1e3, 3 * tensor / f, f / points * 1e9, b * 1e3,
      5 * tensor / b, b / points * 1e9);
}

}  // namespace
}  // namespace weir

int main(int argc, char** argv) {
  std::vector<int64_t> widths;
  for (int i = 1; i < argc; ++i) widths.push_back(std::atol(argv[i]));
  if (widths.empty()) widths = {512, 500, 544};
  for (int64_t width : widths)
    for (bool narrow : {true, false}) weir::run(width, narrow);
}
