// Holds the model of tiles against this machine: for real shapes it compiles many tilings, measures
// each, and prints what the model predicted, and what its choice costs over the best. See
// docs/tiles.md. Run by hand:
//
//   bazel run //compiler/conversion/cpu:tile_sweep -- [--threads=N] [--only=TEXT] [--isa=avx512]
//   [--all]
//
// --all prints a line for each tiling: the model's units of work too, to fit figures to.

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <map>
#include <numeric>

#include "compiler/conversion/cpu/kernel_runner.h"
#include "compiler/conversion/cpu/product_case.h"
#include "compiler/conversion/cpu/tile_model.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Format.h"

namespace weir {
namespace {

struct Named {
  std::string name;
  ProductCase product;
  /// Whether the model's constants were fitted to it.
  bool fitted;
};

/// The products of training steps of 8192 tokens: of the layers of lm_mingru, lm_flash, lm_gau and
/// lm_transformer_pp of width 512, and some of other sizes.
std::vector<Named> cases() {
  std::vector<Named> all;
  auto add = [&](const std::string& name, int64_t m, int64_t n, int64_t k, bool left, bool right,
                 bool fitted, bool withActivation = false) {
    for (bool narrow : {true, false})
      all.push_back({std::string(narrow ? "bf16 " : "f32 ") + name,
                     {m, n, k, left, right, narrow, withActivation},
                     fitted});
  };
  int64_t tokens = 8192;
  for (auto [in, out, fitted] : {std::tuple<int64_t, int64_t, bool>{512, 512, true},
                                 {512, 1024, false},
                                 {512, 2048, true},
                                 {2048, 512, false},
                                 {512, 2176, false},
                                 {1024, 512, true},
                                 {512, 256, false},
                                 {512, 1365, true},
                                 {1365, 512, false}}) {
    std::string size = std::to_string(in) + " to " + std::to_string(out);
    add("forward " + size, tokens, out, in, true, true, fitted);
    add("input's gradient " + size, tokens, in, out, true, false, fitted);
    add("weight's gradient " + size, out, in, tokens, false, false, fitted);
  }
  add("forward, silu, 512 to 2048", tokens, 2048, 512, true, true, false, true);
  add("forward, silu, 2048 to 512", tokens, 512, 2048, true, true, false, true);
  add("forward, silu, 512 to 512", tokens, 512, 512, true, true, true, true);
  add("odd", 1000, 700, 900, true, false, false);
  add("odd, along k", 777, 1111, 555, true, true, true);
  add("square", 2048, 2048, 2048, true, false, true);
  add("few rows", 64, 4096, 512, true, true, true);
  add("few columns", 16384, 64, 512, true, true, false);
  add("long sums", 64, 64, 65536, false, false, true);
  add("wide model, forward", 2048, 3072, 768, true, true, false);
  add("wide model, weight's gradient", 3072, 768, 2048, false, false, false);
  return all;
}

struct Candidate {
  Tiling tiling;
  std::unique_ptr<LoadedKernel> kernel;
  double predicted = 0, measured = 1e9;
};

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// Ranks, equal values sharing theirs.
std::vector<double> ranks(const std::vector<double>& values) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), size_t(0));
  std::sort(order.begin(), order.end(), [&](size_t x, size_t y) { return values[x] < values[y]; });
  std::vector<double> result(values.size());
  for (size_t i = 0; i < order.size();) {
    size_t j = i;
    while (j < order.size() && values[order[j]] == values[order[i]]) ++j;
    for (size_t q = i; q < j; ++q) result[order[q]] = 0.5 * static_cast<double>(i + j - 1);
    i = j;
  }
  return result;
}

double correlation(const std::vector<double>& x, const std::vector<double>& y) {
  double count = static_cast<double>(x.size());
  double mx = std::accumulate(x.begin(), x.end(), 0.0) / count;
  double my = std::accumulate(y.begin(), y.end(), 0.0) / count, xy = 0, xx = 0, yy = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    xy += (x[i] - mx) * (y[i] - my);
    xx += (x[i] - mx) * (x[i] - mx);
    yy += (y[i] - my) * (y[i] - my);
  }
  return xx > 0 && yy > 0 ? xy / std::sqrt(xx * yy) : 0;
}

double quantile(std::vector<double> values, double q) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[static_cast<size_t>(q * static_cast<double>(values.size() - 1))];
}

double mean(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) /
         std::max<double>(1, static_cast<double>(values.size()));
}

struct Totals {
  /// One for each product, and one for each tiling.
  std::vector<double> regrets, ruleRegrets, correlations, errors;

  void print(const char* what) const {
    llvm::outs() << llvm::format(
        "%s: %zu products, %zu tilings; rank correlation within a product: mean %.2f; error of "
        "predictions: median %.1f%%, nine of ten within %.1f%%; regret of the choice: mean %.1f%%, "
        "worst %.1f%%; of the fixed rules: mean %.1f%%, worst %.1f%%\n",
        what, regrets.size(), errors.size(), mean(correlations), 100 * quantile(errors, 0.5),
        100 * quantile(errors, 0.9), 100 * mean(regrets), 100 * quantile(regrets, 1),
        100 * mean(ruleRegrets), 100 * quantile(ruleRegrets, 1));
  }
};

/// The tilings that are measured: the model's choice first, what was chosen by fixed rules second.
std::vector<Tiling> tilingsOf(const TiledProduct& shape, bool blocksOnly, size_t most) {
  std::vector<Tiling> all = candidateTilings(shape), some;
  auto add = [&](const Tiling& t) {
    if (blocksOnly && (t.columns < shape.n || t.parts > 1)) return;
    if (std::find(some.begin(), some.end(), t) == some.end() || some.size() < 2) some.push_back(t);
  };
  // Where ops share rows, their number is that of the rules.
  Tiling usual = fixedTiling(shape);
  add(chooseTiling(shape, {blocksOnly ? usual.rows : 0, 0, 0, 0, 0}));
  add(usual);
  // Others spread over all there are, the same in each run.
  uint64_t state = 12345;
  while (!all.empty() && some.size() < most) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    size_t at = (state >> 33) % all.size();
    add(all[at]);
    all.erase(all.begin() + static_cast<std::ptrdiff_t>(at));
  }
  return some;
}

/// Operands and results, several of each: in a step none is in a cache from the last time.
class Operands {
 public:
  explicit Operands(const ProductCase& c) {
    int64_t size = c.narrow ? 2 : 4;
    int64_t bytes = size * (c.m * c.k + c.k * c.n) + 4 * c.m * c.n;
    for (int64_t i = 0; i <= kFootprint / bytes && i < 64; ++i) {
      sets.emplace_back();
      sets.back().push_back(operandValues(c.narrow, c.m * c.k, 1));
      sets.back().push_back(operandValues(c.narrow, c.k * c.n, 2));
      sets.back().push_back(randomValues(c.m * c.n, 3));
    }
  }
  std::vector<void*> next() {
    std::vector<void*> buffers;
    for (std::vector<float>& values : sets[at++ % sets.size()]) buffers.push_back(values.data());
    return buffers;
  }

 private:
  static constexpr int64_t kFootprint = 192 << 20;
  std::vector<std::vector<std::vector<float>>> sets;
  size_t at = 0;
};

template <typename Candidates>
void measure(Candidates&& candidates, Operands& operands, int rounds) {
  for (int round = 0; round < rounds; ++round)
    for (Candidate& candidate : candidates) {
      std::vector<void*> buffers = operands.next();
      double start = now();
      candidate.kernel->runAgain(buffers);
      candidate.measured = std::min(candidate.measured, now() - start);
    }
}

void sweep(const Named& named, IsaLevel level, int threads, bool all, Totals& fitted,
           Totals& others) {
  const ProductCase& c = named.product;
  TiledProduct shape = c.shape(level);
  bool slow = !shape.matrixTiles || !c.narrow;
  std::vector<Candidate> candidates;
  for (const Tiling& tiling : tilingsOf(shape, c.withActivation, slow ? 14 : 20)) {
    Tiling asked = tiling;
    if (c.withActivation) asked.columns = asked.parts = 0;
    Candidate candidate{tiling, LoadedKernel::create(kernelText(c, tilesText(asked)), level)};
    candidate.predicted = predictSeconds(shape, tiling, threads);
    if (candidate.kernel) candidates.push_back(std::move(candidate));
  }
  Operands operands(c);
  for (Candidate& candidate : candidates) candidate.kernel->run(operands.next(), threads);
  measure(candidates, operands, slow ? 3 : 6);
  // The fastest ones are measured again, with those that are looked at in any case: the least of
  // many noisy times is too small.
  std::vector<double> times;
  for (const Candidate& each : candidates) times.push_back(each.measured);
  double limit = quantile(times, 5.0 / static_cast<double>(times.size()));
  std::vector<Candidate*> last = {&candidates[0], &candidates[1]};
  for (Candidate& each : llvm::drop_begin(candidates, 2))
    if (each.measured <= limit) last.push_back(&each);
  for (Candidate* each : last) each->measured = 1e9;
  measure(llvm::make_pointee_range(last), operands, slow ? 6 : 12);
  std::vector<double> predicted, measured;
  for (const Candidate& each : candidates) {
    predicted.push_back(each.predicted);
    measured.push_back(each.measured);
    if (!all) continue;
    llvm::outs() << llvm::format(
        "  %s | %lld %lld %lld | %lld %lld %lld %lld %lld | %.4f %.4f |", named.name.c_str(),
        (long long)c.m, (long long)c.n, (long long)c.k, (long long)each.tiling.rows,
        (long long)each.tiling.columns, (long long)each.tiling.group, (long long)each.tiling.depth,
        (long long)each.tiling.parts, 1e3 * each.predicted, 1e3 * each.measured);
    TileWork work = workOf(shape, each.tiling, threads);
    for (double count : work.count) llvm::outs() << llvm::format(" %.6g", count);
    llvm::outs() << (named.fitted ? " | fitted\n" : " |\n");
  }
  const Candidate* best = *std::min_element(
      last.begin(), last.end(),
      [](const Candidate* x, const Candidate* z) { return x->measured < z->measured; });
  const Candidate& chosen = candidates[0];
  double regret = chosen.measured / best->measured - 1;
  double ruleRegret = candidates[1].measured / best->measured - 1;
  llvm::outs() << llvm::format(
      "%-38s %5lld x %4lld x %5lld  chosen %-62s %8.3f ms, predicted %8.3f; best %-62s %8.3f, "
      "predicted %8.3f; regret %5.1f%% (fixed rules %5.1f%%)\n",
      named.name.c_str(), (long long)c.m, (long long)c.n, (long long)c.k,
      tilesText(chosen.tiling).c_str(), 1e3 * chosen.measured, 1e3 * chosen.predicted,
      tilesText(best->tiling).c_str(), 1e3 * best->measured, 1e3 * best->predicted, 100 * regret,
      100 * ruleRegret);
  Totals& totals = named.fitted ? fitted : others;
  totals.regrets.push_back(regret);
  totals.ruleRegrets.push_back(ruleRegret);
  totals.correlations.push_back(correlation(ranks(predicted), ranks(measured)));
  for (const Candidate& each : candidates)
    totals.errors.push_back(std::abs(each.predicted / each.measured - 1));
  llvm::outs().flush();
}

}  // namespace
}  // namespace weir

int main(int argc, char** argv) {
  int threads = 1;
  bool all = false;
  weir::IsaLevel level = weir::hostLevel();
  llvm::StringRef only;
  for (llvm::StringRef argument : llvm::ArrayRef(argv + 1, argc - 1)) {
    if (argument == "--all") all = true;
    if (argument.consume_front("--threads=")) argument.getAsInteger(10, threads);
    if (argument == "--isa=avx512") level = weir::IsaLevel::Avx512;
    if (argument.consume_front("--only=")) only = argument;
  }
  weir::Totals fitted, others;
  for (const weir::Named& named : weir::cases())
    if (llvm::StringRef(named.name).contains(only))
      weir::sweep(named, level, threads, all, fitted, others);
  llvm::outs() << llvm::format("%d threads\n", threads);
  fitted.print("products that the model was fitted to");
  others.print("other products");
}
