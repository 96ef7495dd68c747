// Speed of mixed chunk attention, forward and backward, on one thread. Run by hand.

#include <algorithm>
#include <cstring>
#include <ctime>
#include <functional>

#include "compiler/conversion/cpu/kernel_runner.h"
#include "compiler/conversion/cpu/test_util.h"
#include "llvm/Support/Format.h"

namespace weir {
namespace {

/// Processor time: other work may run meanwhile.
double seconds(const std::function<void()>& call) {
  double best = 1e9;
  for (int round = 0; round < 8; ++round) {
    std::clock_t start = std::clock();
    call();
    best = std::min(best, static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC);
  }
  return best;
}

struct Shape {
  int64_t batch, time, chunk, quad, features;
};

constexpr const char* kForward = R"(
func.func @k(%q: !s, %k: !s, %ql: !s, %kl: !s, %v: !v, %b: tensor<$Dxf32>) -> (!v {weir.streamed}, !m) attributes {weir.kernel, weir.row_rank = 0 : i64} {
  %o, %m = weir.mixed_chunks quad(%q, %k) lin(%ql, %kl) value(%v) bias(%b) chunk($C) kernel("relu_squared")
      : (!s, !s, !s, !s, !v, tensor<$Dxf32>) -> (!v, !m)
  return %o, %m : !v, !m
})";
constexpr const char* kBackward = R"(
func.func @k(%q: !s, %k: !s, %ql: !s, %kl: !s, %v: !v, %b: tensor<$Dxf32>, %m: !m, %d: !v) -> (!s, !s, !s, !s, !v {weir.streamed}, tensor<$Dxf32>) attributes {weir.kernel, weir.row_rank = 0 : i64} {
  %g:6 = weir.mixed_chunks_vjp quad(%q, %k) lin(%ql, %kl) value(%v) bias(%b) means(%m) cotangent(%d) chunk($C) kernel("relu_squared")
      : (!s, !s, !s, !s, !v, tensor<$Dxf32>, !m, !v) -> (!s, !s, !s, !s, !v, tensor<$Dxf32>)
  return %g#0, %g#1, %g#2, %g#3, %g#4, %g#5 : !s, !s, !s, !s, !v, tensor<$Dxf32>
})";

/// Values of the type's size: small numbers, as bf16 or f32.
std::vector<float> values(int64_t count, uint64_t seed, bool narrow) {
  std::vector<float> wide = randomValues(count, seed);
  if (!narrow) return wide;
  std::vector<float> packed((count + 1) / 2);
  auto* to = reinterpret_cast<uint16_t*>(packed.data());
  for (int64_t i = 0; i < count; ++i) {
    uint32_t bits;
    memcpy(&bits, &wide[i], 4);
    to[i] = static_cast<uint16_t>(bits >> 16);
  }
  return packed;
}

void benchmark(const Shape& s, const char* type, IsaLevel level) {
  bool narrow = std::string(type) == "bf16";
  int64_t chunks = (s.time + s.chunk - 1) / s.chunk, diagonals = 2 * s.chunk - 1;
  std::string aliases =
      fill("!s = tensor<$Bx$Tx$Sx@>\n!v = tensor<$Bx$Tx$Ex@>\n!m = tensor<$Bx$Gx$Sx$Ex@>\n",
           {{'B', s.batch}, {'T', s.time}, {'S', s.quad}, {'E', s.features}, {'G', chunks}});
  for (size_t at; (at = aliases.find('@')) != std::string::npos;) aliases.replace(at, 1, type);
  auto text = [&](const char* body) {
    return aliases + fill(body, {{'C', s.chunk}, {'D', diagonals}});
  };
  auto forward = LoadedKernel::create(text(kForward), level),
       backward = LoadedKernel::create(text(kBackward), level);
  if (!forward || !backward) return;
  int64_t tokens = s.batch * s.time;
  std::vector<std::vector<float>> in;
  for (int i = 0; i < 4; ++i) in.push_back(values(tokens * s.quad, i, narrow));
  in.push_back(values(tokens * s.features, 5, narrow));
  in.push_back(values(diagonals, 6, false));
  auto means = values(s.batch * chunks * s.quad * s.features, 7, narrow),
       out = values(tokens * s.features, 8, narrow);
  std::vector<void*> buffers;
  for (auto& x : in) buffers.push_back(aligned(x));
  std::vector<void*> forwardBuffers = buffers, backwardBuffers = buffers;
  forwardBuffers.insert(forwardBuffers.end(), {aligned(out), aligned(means)});
  std::vector<std::vector<float>> gradients = in;
  backwardBuffers.insert(backwardBuffers.end(),
                         {forwardBuffers.end()[-1], forwardBuffers.end()[-2]});
  for (auto& x : gradients) backwardBuffers.push_back(aligned(x));
  forward->run(forwardBuffers, 1);
  double there = seconds([&] { forward->runAgain(forwardBuffers); });
  backward->run(backwardBuffers, 1);
  double back = seconds([&] { backward->runAgain(backwardBuffers); });
  llvm::outs()
      << llvm::format(
             "%s batch %ld time %ld chunk %ld s %ld e %ld: forward %.2f ms, backward %.2f ms\n",
             type, s.batch, s.time, s.chunk, s.quad, s.features, there * 1e3, back * 1e3)
      << "  scratch " << forward->kernel.threadScratchBytes << " "
      << backward->kernel.threadScratchBytes << ", code " << forward->kernel.object.size() << " "
      << backward->kernel.object.size() << "\n";
}

}  // namespace
}  // namespace weir

int main() {
  weir::IsaLevel level = weir::hostLevel(), f32 = std::min(level, weir::IsaLevel::Avx512);
  weir::benchmark({8, 1024, 256, 128, 1024}, "bf16", level);
  weir::benchmark({64, 256, 64, 128, 768}, "bf16", level);
  weir::benchmark({1, 65536, 256, 128, 1024}, "bf16", level);
  weir::benchmark({8, 1024, 256, 128, 1024}, "f32", f32);
}
