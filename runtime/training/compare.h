// Runs side by side, from what they wrote.
#ifndef WEIR_RUNTIME_TRAINING_COMPARE_H_
#define WEIR_RUNTIME_TRAINING_COMPARE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace weir::runtime {

// A table of the runs whose --out directories are given (steps, best and last held-out loss,
// accuracies of the last evaluation, median tokens/s of training, seconds), and below it their
// losses at a dozen steps. An error names the directory that has no readable metrics.jsonl.
absl::StatusOr<std::string> CompareRuns(const std::vector<std::string>& directories);

}  // namespace weir::runtime

#endif  // WEIR_RUNTIME_TRAINING_COMPARE_H_
