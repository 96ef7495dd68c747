// Fused = decomposed: the model as it is compiled to run, against every op by itself.

#include "compiler/driver/check/kind.h"

namespace weir::check {

// Sums in another order; both are f64.
constexpr double kTolerance = 1e-10;

absl::StatusOr<Verdict> checkFused(Bench& bench, const Case& at) {
  Build fused{at.batch, at.length}, separate = fused;
  separate.separate = true;
  absl::StatusOr<Tensors> values = bench.values(fused);
  if (!values.ok()) return values.status();
  absl::StatusOr<Tensors> expected = bench.run(separate, "gradients", *values);
  if (!expected.ok()) return expected.status();
  Difference worst;
  for (const char* entry : {"run", "gradients"}) {
    absl::StatusOr<Tensors> found = bench.run(fused, entry, *values);
    if (!found.ok()) return found.status();
    Tensors reference;
    for (const auto& [name, tensor] : *found)
      if (auto other = expected->find(name); other != expected->end()) reference.insert(*other);
    worst.include(compare(*found, reference));
  }
  return within(worst, kTolerance);
}

}  // namespace weir::check
