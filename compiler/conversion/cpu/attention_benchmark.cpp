// Speed of the attention kernels on one thread, in processor time. Run by hand.

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>

#include "compiler/conversion/cpu/attention_case.h"
#include "compiler/conversion/cpu/kernel_runner.h"
#include "compiler/conversion/cpu/test_util.h"
#include "llvm/Support/Format.h"

namespace weir {
namespace {

/// Random numbers as elements of `type`.
std::vector<char> values(int64_t count, uint64_t seed, const std::string& type) {
  auto numbers = randomValues<float>(count, seed);
  std::vector<char> bytes;
  if (type == "f32") {
    bytes.resize(4 * count);
    std::memcpy(bytes.data(), numbers.data(), bytes.size());
  } else {
    bytes.resize(2 * count);
    for (int64_t i = 0; i < count; ++i)
      std::memcpy(&bytes[2 * i], reinterpret_cast<char*>(&numbers[i]) + 2, 2);
  }
  return bytes;
}

void benchmark(const AttentionCase& c, IsaLevel level) {
  int64_t tokens = c.batch * c.queries, q = tokens * c.heads * c.features,
          v = tokens * c.heads * c.valueFeatures, rows = tokens * c.heads;
  auto qs = values(q, 1, c.element), ks = values(q, 2, c.element), vs = values(v, 3, c.element);
  auto bias = values(c.diagonals(), 4, "f32"), out = values(v, 5, "f32"),
       logSum = values(rows, 6, "f32"), cotangent = values(v, 7, "f32");
  std::vector<char> dq(4 * q), dk(4 * q), dv(4 * v), db(4 * c.diagonals());
  for (bool backward : {false, true}) {
    auto kernel = LoadedKernel::create(c.text(backward), level);
    if (!kernel) return;
    std::vector<void*> buffers = {qs.data(), ks.data(), vs.data()};
    if (c.bias) buffers.push_back(bias.data());
    if (c.softmax() || !backward) buffers.push_back(out.data());
    if (c.softmax()) buffers.push_back(logSum.data());
    if (backward)
      for (auto* more : {&cotangent, &dq, &dk, &dv}) buffers.push_back(more->data());
    if (backward && c.bias) buffers.push_back(db.data());
    kernel->run(buffers, 1);
    double best = 1e9;
    for (int round = 0; round < 7; ++round) {
      std::clock_t start = std::clock();
      kernel->runAgain(buffers);
      best = std::min(best, static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC);
    }
    double pairs = 0.5 * static_cast<double>(rows) * static_cast<double>(c.keys);
    double flops =
        backward ? 6.0 * c.features + 4.0 * c.valueFeatures : 2.0 * (c.features + c.valueFeatures);
    llvm::outs() << llvm::format(
        "%s %-12s batch %ld length %5ld heads %ld of %ld, %ld: %s %8.2f ms %7.1f GFLOP/s, scratch "
        "%.2f MB\n",
        c.element.c_str(), c.kernel.c_str(), c.batch, c.queries, c.heads, c.features,
        c.valueFeatures, backward ? "backward" : "forward ", best * 1e3,
        flops * pairs / best * 1e-9, 1e-6 * kernel->kernel.threadScratchBytes);
  }
}

void run(IsaLevel level) {
  AttentionCase c;
  c.batch = 2, c.queries = c.keys = 1024, c.heads = 8, c.features = c.valueFeatures = 64;
  for (const char* element : {"bf16", "f32"}) {
    c.element = element;
    benchmark(c, level);
  }
  AttentionCase gau;
  gau.queries = gau.keys = 1024, gau.features = 128, gau.valueFeatures = 1024;
  gau.element = "bf16", gau.kernel = "relu_squared", gau.bias = true;
  benchmark(gau, level);
  c.element = "bf16", c.batch = c.heads = 1, c.queries = c.keys = 8192;
  benchmark(c, level);
}

}  // namespace
}  // namespace weir

int main(int argc, char** argv) {
  std::string name = argc > 1 ? argv[1] : "";
  weir::run(name == "avx2"     ? weir::IsaLevel::Avx2
            : name == "avx512" ? weir::IsaLevel::Avx512
                               : weir::hostLevel());
}
