// The kinds of checks: a file each, and a line each in kinds.cpp.

#ifndef WEIR_COMPILER_DRIVER_CHECK_KIND_H_
#define WEIR_COMPILER_DRIVER_CHECK_KIND_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "compiler/driver/check/bench.h"

namespace weir::check {

/// What a check is done at. Together with the subject it says everything: all numbers are drawn
/// from names.
struct Case {
  int64_t batch = 2, length = 13;
  /// Of a layer's inputs; 0 for a model, which says it itself.
  int64_t features = 0;

  /// "batch 2, length 13, features 8".
  std::string str() const;
};

struct Verdict {
  enum class Outcome { Pass, Fail, Skip };
  Outcome outcome = Outcome::Pass;
  /// A figure with its tolerance, or what was wrong, or why there was nothing to check.
  std::string detail;
};

Verdict pass(std::string detail);
Verdict fail(std::string detail);
Verdict skip(std::string why);
/// Whether the difference is at most `tolerance`; `what` comes first in the detail.
Verdict within(const Difference& difference, double tolerance, const std::string& what = "");

struct Kind {
  const char* name;
  const char* summary;
  /// The lengths that it is checked at; `block` is the subject's largest chunk or window.
  std::function<std::vector<int64_t>(int64_t block)> lengths;
  /// Whether a failing case can be made smaller (else its length is its own matter).
  bool shrinks;
  /// An error is a failure whose detail is its message.
  std::function<absl::StatusOr<Verdict>(Bench&, const Case&)> run;
};

const std::vector<Kind>& kinds();

/// The subject's largest chunk or window, as its ops have it in attributes `..._size`; 16 if they
/// have none.
int64_t blockOf(mlir::func::FuncOp function);

/// An op that may look ahead, or null.
mlir::Operation* findLookingAhead(mlir::func::FuncOp function);

absl::StatusOr<Verdict> checkText(Bench& bench, const Case& at);
absl::StatusOr<Verdict> checkFused(Bench& bench, const Case& at);
absl::StatusOr<Verdict> checkGradients(Bench& bench, const Case& at);
absl::StatusOr<Verdict> checkStreaming(Bench& bench, const Case& at);
absl::StatusOr<Verdict> checkPacking(Bench& bench, const Case& at);
absl::StatusOr<Verdict> checkCausality(Bench& bench, const Case& at);
absl::StatusOr<Verdict> checkLength(Bench& bench, const Case& at);
absl::StatusOr<Verdict> checkPoison(Bench& bench, const Case& at);
absl::StatusOr<Verdict> checkBf16(Bench& bench, const Case& at);
absl::StatusOr<Verdict> checkBits(Bench& bench, const Case& at);
absl::StatusOr<Verdict> checkCost(Bench& bench, const Case& at);
absl::StatusOr<Verdict> checkDegree(Bench& bench, const Case& at);

}  // namespace weir::check

#endif  // WEIR_COMPILER_DRIVER_CHECK_KIND_H_
