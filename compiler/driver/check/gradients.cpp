// Gradients of inputs, parameters and initial states against finite differences, in f64, along
// three random directions for each tensor.

#include <algorithm>
#include <cmath>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"

#include "compiler/driver/check/kind.h"
#include "compiler/driver/tensors.h"

namespace weir::check {

using runtime::HostTensor;

namespace {

constexpr double kTolerance = 1e-6;
constexpr int kDirections = 3;

/// sum(cotangent * (a - b)) over outputs and last states.
double weighedChange(const Tensors& values, const Tensors& a, const Tensors& b) {
  double sum = 0;
  for (const auto& [name, cotangent] : values) {
    if (!isCotangent(name)) continue;
    // "cotangent", "cotangent.<path of a state>" or "cotangent.<number of an output>".
    std::string output = "output";
    if (absl::string_view path = name; absl::ConsumePrefix(&path, "cotangent."))
      output = absl::StrCat(a.count(absl::StrCat("state.", path)) ? "state." : "output.", path);
    const HostTensor &left = a.at(output), &right = b.at(output);
    for (int64_t i = 0, n = left.spec().NumElements(); i < n; ++i)
      sum += cotangent.Number(i) * (left.Number(i) - right.Number(i));
  }
  return sum;
}

class DirectionalDerivatives {
 public:
  DirectionalDerivatives(Bench& bench, const Build& build, const Tensors& values)
      : bench(bench), build(build), values(values) {}

  /// |numeric - analytic| over the size of the derivative. Large steps drown rounding where the
  /// derivative is tiny, small ones fit between kinks: the best of several counts.
  absl::StatusOr<double> error(const std::string& leaf, const HostTensor& gradient, int direction) {
    HostTensor along(values.at(leaf).spec());
    double analytic = 0, size = 0;
    for (int64_t i = 0, n = along.spec().NumElements(); i < n; ++i) {
      double component = drawUniform(leaf, i, 1 + direction);
      setNumber(along, i, component);
      analytic += gradient.Number(i) * component;
      size += gradient.Number(i) * gradient.Number(i) / 3;  // the variance of a component
    }
    double best = INFINITY;
    for (double step : {1e-3, 1e-2, 1e-1, 1e-4, 1e-5}) {
      absl::StatusOr<double> numeric = difference(leaf, along, step);
      if (!numeric.ok()) return numeric.status();
      double distance = std::abs(*numeric - analytic);
      double scale = std::max({std::abs(*numeric), std::abs(analytic), std::sqrt(size)});
      best = std::min(best, distance == 0 ? 0 : distance / scale);
      if (best < kTolerance / 100) break;
    }
    return best;
  }

 private:
  /// Fourth order: (8 (f(h) - f(-h)) - (f(2h) - f(-2h))) / 12 h.
  absl::StatusOr<double> difference(const std::string& leaf, const HostTensor& along, double step) {
    double numeric = 0;
    for (auto [place, weight] : {std::pair<int, int>{1, 8}, {2, -1}}) {
      absl::StatusOr<Tensors> plus = at(leaf, along, place * step);
      if (!plus.ok()) return plus.status();
      absl::StatusOr<Tensors> minus = at(leaf, along, -place * step);
      if (!minus.ok()) return minus.status();
      numeric += weight * weighedChange(values, *plus, *minus) / (12 * step);
    }
    return numeric;
  }

  absl::StatusOr<Tensors> at(const std::string& leaf, const HostTensor& along, double distance) {
    Tensors moved = values;
    HostTensor& tensor = moved.at(leaf);
    for (int64_t i = 0, n = tensor.spec().NumElements(); i < n; ++i)
      setNumber(tensor, i, tensor.Number(i) + distance * along.Number(i));
    return bench.run(build, "run", moved);
  }

  Bench& bench;
  const Build& build;
  const Tensors& values;
};

/// What a gradient is of, as the values call it.
std::string leafOf(const std::string& gradient, const Tensors& values) {
  if (values.count(gradient)) return gradient;
  absl::string_view name = gradient;
  if (absl::ConsumePrefix(&name, "input.")) return std::string(name);
  if (absl::ConsumePrefix(&name, "state_gradient.")) return absl::StrCat("state.", name);
  return gradient;
}

}  // namespace

absl::StatusOr<Verdict> checkGradients(Bench& bench, const Case& at) {
  Build build{at.batch, at.length};
  absl::StatusOr<Tensors> values = bench.values(build);
  if (!values.ok()) return values.status();
  absl::StatusOr<Tensors> results = bench.run(build, "gradients", *values);
  if (!results.ok()) return results.status();
  for (const auto& [name, tensor] : *results) {
    Difference numbers = compare(tensor, tensor, name, 1);
    if (numbers.error > 0) return fail(absl::StrCat(numbers.place, " is no finite number"));
  }
  DirectionalDerivatives derivatives(bench, build, *values);
  double worst = 0;
  std::string where;
  int leaves = 0;
  for (const auto& [name, gradient] : *results) {
    if (name == "output" || isState(name) || absl::StartsWith(name, "output.")) continue;
    std::string leaf = leafOf(name, *values);
    if (!values->count(leaf)) return fail(absl::StrCat("there is a gradient of nothing: ", name));
    ++leaves;
    for (int direction = 0; direction < kDirections; ++direction) {
      absl::StatusOr<double> error = derivatives.error(leaf, gradient, direction);
      if (!error.ok()) return error.status();
      // A NaN is the worst of all.
      if (*error <= worst) continue;
      worst = std::isnan(*error) ? INFINITY : *error;
      where = leaf;
    }
  }
  // Every state, input and parameter must have one.
  for (const auto& [leaf, value] : *values) {
    if (isInteger(value.spec()) || isCotangent(leaf)) continue;
    bool isThere = results->count(leaf) || results->count(absl::StrCat("input.", leaf)) ||
                   (isState(leaf) && results->count(absl::StrCat(
                                         "state_gradient.", absl::StripPrefix(leaf, "state."))));
    if (!isThere) return fail(absl::StrCat("there is no gradient of ", leaf));
  }
  std::string detail =
      absl::StrFormat("%.1e (%s), at most %.0e; %d tensors", worst, where, kTolerance, leaves);
  return worst <= kTolerance ? pass(detail) : fail(detail);
}

}  // namespace weir::check
