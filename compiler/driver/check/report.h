// Runs kinds of checks on a subject, makes failures small, and prints the table.

#ifndef WEIR_COMPILER_DRIVER_CHECK_REPORT_H_
#define WEIR_COMPILER_DRIVER_CHECK_REPORT_H_

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "compiler/driver/check/kind.h"

namespace weir::check {

struct CheckSettings {
  /// Empty: all kinds.
  std::set<std::string> only;
  /// Instead of each kind's own.
  std::optional<int64_t> batch, length;
  /// Whether to look for the smallest case that fails.
  bool shrink = true;
};

struct Row {
  std::string kind;
  Case at;
  Verdict verdict;
  /// The first failure of a kind has the smallest case found that fails too, with its own detail.
  bool isExplained = false;
  Case smallest;
  std::string smallestDetail;
};

/// Makes the subject with another number of features; for a layer.
using Resize = std::function<absl::StatusOr<CheckSubject>(int64_t features)>;

/// Runs the kinds; `seen` gets each row as it is done, and may be null.
std::vector<Row> runChecks(Workspace& workspace, const CheckSubject& subject, const Resize& resize,
                           const CheckSettings& settings,
                           const std::function<void(const Row&)>& seen);

/// A line of the table.
std::string str(const Row& row);

/// Of a failure that is explained: the smallest case and the command that repeats it.
std::string explain(const CheckSubject& subject, const Row& row);

}  // namespace weir::check

#endif  // WEIR_COMPILER_DRIVER_CHECK_REPORT_H_
