// Mixed precision against f64.

#include "compiler/driver/check/kind.h"

namespace weir::check {

// bf16 keeps 8 bits: each rounding is off by 1/512 at most, and what a layer puts behind another
// adds up.
constexpr double kOutputs = 2e-2, kGradients = 5e-2;

absl::StatusOr<Verdict> checkBf16(Bench& bench, const Case& at) {
  Build exact{at.batch, at.length}, mixed = exact;
  exact.separate = true;
  mixed.precision = Precision::Bf16;
  absl::StatusOr<Tensors> values = bench.values(mixed);
  if (!values.ok()) return values.status();
  absl::StatusOr<Tensors> expected = bench.run(exact, "gradients", *values);
  if (!expected.ok()) return expected.status();
  absl::StatusOr<Tensors> found = bench.run(mixed, "gradients", *values);
  if (!found.ok()) return found.status();
  Tensors outputs, gradients;
  for (const auto& [name, tensor] : *expected)
    (name == "output" || isState(name) ? outputs : gradients).emplace(name, tensor);
  Verdict verdict = within(compare(*found, outputs), kOutputs, "outputs");
  if (verdict.outcome != Verdict::Outcome::Pass) return verdict;
  Verdict second = within(compare(*found, gradients), kGradients, "gradients");
  if (second.outcome != Verdict::Outcome::Pass) return second;
  return pass(verdict.detail + "; " + second.detail);
}

}  // namespace weir::check
