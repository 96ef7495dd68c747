// Any length: outputs and gradients in f32 as they are compiled to run, against f64 with every op
// by itself, at lengths that fit no block.

#include "compiler/driver/check/kind.h"

namespace weir::check {

// A few hundred roundings of f32.
constexpr double kTolerance = 1e-4;

absl::StatusOr<Verdict> checkLength(Bench& bench, const Case& at) {
  Build exact{at.batch, at.length}, single = exact;
  exact.separate = true;
  single.precision = Precision::F32;
  absl::StatusOr<Tensors> values = bench.values(single);
  if (!values.ok()) return values.status();
  absl::StatusOr<Tensors> expected = bench.run(exact, "gradients", *values);
  if (!expected.ok()) return expected.status();
  absl::StatusOr<Tensors> found = bench.run(single, "gradients", *values);
  if (!found.ok()) return found.status();
  return within(compare(*found, *expected), kTolerance);
}

}  // namespace weir::check
