// Costs: what ops say they cost, against what is counted in their decompositions, and the degree
// in the length, likewise.

#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

#include "compiler/driver/check/count.h"
#include "compiler/driver/check/stream_run.h"
#include "compiler/driver/costs.h"
#include "compiler/entry_points/initialize.h"
#include "compiler/driver/check/kind.h"

namespace weir::check {

namespace {

// A stated cost is a summary: it may leave out a mask or count an exponential as more than one.
constexpr double kFactor = 2;

std::string nameOf(mlir::Operation* op) { return op->getName().getStringRef().str(); }

/// How far two numbers are apart, as a factor of at least 1.
double ratio(double a, double b) {
  if (a == b) return 1;
  return a == 0 || b == 0 ? INFINITY : std::max(a / b, b / a);
}

/// The exponent of the length in numbers that are counted at a length, at twice and at four times
/// as much. Differences leave out what doesn't depend on it.
double degree(double once, double twice, double fourTimes) {
  return twice <= once ? 0 : std::log2((fourTimes - twice) / (twice - once));
}

/// At a length, twice and four times as much; nothing if the model can't be that long.
absl::StatusOr<std::vector<std::vector<CountedOp>>> countThrice(Bench& bench, int64_t batch,
                                                                int64_t length) {
  std::vector<std::vector<CountedOp>> counts;
  for (int64_t each : {length, 2 * length, 4 * length}) {
    auto ops = countOps(bench.model().function(), batch, each);
    if (!ops.ok()) return ops.status();
    counts.push_back(*std::move(ops));
  }
  return counts;
}

/// Bytes of all states of the step form whose attention looks back on `context` tokens, but for the
/// stream's own counters. NaN if there is no step form.
absl::StatusOr<double> countStates(Bench& bench, int64_t batch, int64_t context) {
  DiagnosticCapture diagnostics(bench.workspace().context());
  auto module = bench.streamModule({batch, /*chunk=*/0, context, /*segments=*/false},
                                   Precision::F32, Level::Specialized);
  if (!module.ok()) {
    absl::Status status = diagnostics.status(module.status());
    if (hasNoStepForm(status)) return std::nan("");
    return status;
  }
  double bytes = 0;
  for (const ParameterInit& state : statesOf(*(**module).getOps<mlir::func::FuncOp>().begin())) {
    if (llvm::StringRef(state.name).starts_with("state.stream.")) continue;
    bytes += static_cast<double>(state.type.getNumElements()) *
             (state.type.getElementTypeBitWidth() / 8);
  }
  return bytes;
}

}  // namespace

absl::StatusOr<Verdict> checkCost(Bench& bench, const Case& at) {
  DiagnosticCapture diagnostics(bench.workspace().context());
  double worst = 1;
  std::string where;
  Polynomial states = totalCost(costsByKind(bench.model().function())).stateBytes;
  for (int64_t length : {at.length, 3 * at.length}) {
    auto ops = countOps(bench.model().function(), at.batch, length);
    if (!ops.ok()) return diagnostics.status(ops.status());
    for (const CountedOp& op : *ops) {
      for (bool isWork : {true, false}) {
        const Polynomial& polynomial = isWork ? op.stated.flops : op.stated.bytes;
        double stated =
            polynomial.evaluate(static_cast<double>(at.batch), static_cast<double>(length));
        double counted = isWork ? op.flops : op.bytes;
        if (!isWork && op.copies && stated == 0) continue;
        double factor = ratio(stated, counted);
        if (factor <= worst) continue;
        worst = factor;
        where = absl::StrFormat("%s says %s = %.0f %s at length %d, but %.0f are counted",
                                nameOf(op.op), polynomial.str(), stated,
                                isWork ? "operations" : "bytes", length, counted);
      }
    }
    absl::StatusOr<double> bytes = countStates(bench, at.batch, length);
    if (!bytes.ok()) return bytes.status();
    double stated = states.evaluate(static_cast<double>(at.batch), static_cast<double>(length));
    if (std::isnan(*bytes) || ratio(stated, *bytes) <= worst) continue;
    worst = ratio(stated, *bytes);
    where = absl::StrFormat(
        "the ops say %s = %.0f bytes of state at length %d, but the step form "
        "carries %.0f",
        states.str(), stated, length, *bytes);
  }
  if (worst > kFactor) return fail(where);
  return pass(
      absl::StrFormat("operations and bytes of each op within a factor of %.2f, at most %.0f%s",
                      worst, kFactor, where.empty() ? "" : absl::StrCat(" (", where, ")")));
}

absl::StatusOr<Verdict> checkDegree(Bench& bench, const Case& at) {
  // As long as the model can be: it may have a longest length.
  int64_t length = at.length;
  absl::StatusOr<std::vector<std::vector<CountedOp>>> counts;
  for (;; length /= 4) {
    DiagnosticCapture diagnostics(bench.workspace().context());
    counts = countThrice(bench, at.batch, length);
    if (counts.ok()) break;
    if (length < 4) return diagnostics.status(counts.status());
  }
  int claimed = 0;
  double measured = 0;
  const std::vector<CountedOp>& ops = (*counts)[0];
  for (size_t i = 0; i < ops.size(); ++i) {
    auto counted = [&](int place, bool isWork) {
      const CountedOp& op = (*counts)[place][i];
      return isWork ? op.flops : op.bytes;
    };
    for (bool isWork : {true, false}) {
      int said = (isWork ? ops[i].stated.flops : ops[i].stated.bytes).degreeInLength();
      if (!isWork && ops[i].copies && said == 0) continue;
      double seen = degree(counted(0, isWork), counted(1, isWork), counted(2, isWork));
      if (std::abs(seen - said) > 0.1)
        return fail(absl::StrFormat(
            "%s claims degree %d for its %s, but %.2f is counted from length "
            "%d to %d",
            nameOf(ops[i].op), said, isWork ? "operations" : "bytes", seen, length, 4 * length));
      claimed = std::max(claimed, said);
      measured = std::max(measured, seen);
    }
  }
  return pass(absl::StrFormat("claimed %d, counted from length %d to %d: %.2f", claimed, length,
                              4 * length, measured));
}

}  // namespace weir::check
