// Random tokens where a task's data would be: what a program is timed on, which needs batches of
// the right shape but nothing to learn.
#ifndef WEIR_RUNTIME_DATA_RANDOM_TOKENS_H_
#define WEIR_RUNTIME_DATA_RANDOM_TOKENS_H_

#include <memory>

#include "runtime/data/task.h"

namespace weir::runtime {

// Tokens and targets, each uniform below spec.vocabulary, which must be above 0; no target is
// masked, and with segments each row is one document. There is one held-out batch.
std::unique_ptr<Task> RandomTokens(TaskSpec spec);

}  // namespace weir::runtime

#endif  // WEIR_RUNTIME_DATA_RANDOM_TOKENS_H_
