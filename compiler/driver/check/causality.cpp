// Causality: no output depends on a later input, in values and in gradients, at any time.

#include "absl/strings/str_cat.h"

#include "compiler/driver/check/kind.h"
#include "compiler/driver/tensors.h"

namespace weir::check {

using runtime::HostTensor;

namespace {

/// Inputs that are all others from time `from` on.
Tensors changedFrom(const Tensors& values, const Build& build, int64_t from) {
  Tensors changed = values;
  for (auto& [name, tensor] : changed) {
    if (isState(name) || isCotangent(name) || name == "segments") continue;
    if (!hasTime(tensor.spec(), build.length) || tensor.spec().shape[0] != build.batch) continue;
    int64_t inner = featuresAt(tensor.spec());
    for (int64_t i = 0, n = tensor.spec().NumElements(); i < n; ++i) {
      if (i / inner % build.length < from) continue;
      double value = tensor.Number(i);
      // Tokens 0 and 1 are in every vocabulary.
      setNumber(tensor, i, isInteger(tensor.spec()) ? (value == 0 ? 1 : 0) : -value - 0.5);
    }
  }
  return changed;
}

/// Cotangents of the output that are zero from time `from` on, and of last states, which see
/// everything.
Tensors silentFrom(const Tensors& values, int64_t from) {
  Tensors silent = values;
  for (auto& [name, tensor] : silent) {
    if (!isCotangent(name)) continue;
    bool isOutput = name == "cotangent";
    int64_t inner = isOutput ? featuresAt(tensor.spec()) : 1;
    int64_t length = isOutput ? tensor.spec().shape[1] : 1;
    for (int64_t i = 0, n = tensor.spec().NumElements(); i < n; ++i)
      if (!isOutput || i / inner % length >= from) setNumber(tensor, i, 0);
  }
  return silent;
}

HostTensor zerosLike(const HostTensor& tensor) { return HostTensor(tensor.spec()); }

}  // namespace

absl::StatusOr<Verdict> checkCausality(Bench& bench, const Case& at) {
  if (mlir::Operation* op = findLookingAhead(bench.model().function()))
    return skip(absl::StrCat("looks ahead by design: ", op->getName().getStringRef().str()));
  if (at.length < 2) return skip("nothing comes later");
  Build build{at.batch, at.length};
  absl::StatusOr<Tensors> values = bench.values(build);
  if (!values.ok()) return values.status();
  absl::StatusOr<Tensors> whole = bench.run(build, "run", *values);
  if (!whole.ok()) return whole.status();
  const HostTensor& output = whole->at("output");
  if (!hasTime(output.spec(), at.length)) return skip("the output isn't batch x time");
  bool follows = false;
  for (int64_t from = 1; from < at.length; ++from) {
    absl::StatusOr<Tensors> changed = bench.run(build, "run", changedFrom(*values, build, from));
    if (!changed.ok()) return changed.status();
    Difference before =
        compare(timesOf(changed->at("output"), 0, from), timesOf(output, 0, from), "output", 1e-30);
    if (before.error > 0)
      return fail(absl::StrCat("inputs from time ", from, " on change ", before.str()));
    follows |= compare(changed->at("output"), output, "output", 1e-30).error > 1e-9;

    absl::StatusOr<Tensors> gradients = bench.run(build, "gradients", silentFrom(*values, from));
    if (!gradients.ok()) return gradients.status();
    for (const auto& [name, value] : *values) {
      auto gradient = gradients->find("input." + name);
      if (gradient == gradients->end() || !hasTime(value.spec(), at.length)) continue;
      HostTensor later = timesOf(gradient->second, from, at.length - from);
      Difference leak = compare(later, zerosLike(later), gradient->first, 1);
      if (leak.error > 0)
        return fail(absl::StrCat("the gradient of outputs before time ", from,
                                 " is, counted from there, ", leak.str()));
    }
  }
  if (!follows) return fail("the outputs don't depend on the inputs at all");
  return pass("values and gradients, at each time");
}

}  // namespace weir::check
