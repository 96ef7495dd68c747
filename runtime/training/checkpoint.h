// A session's variables in safetensors files.
#ifndef WEIR_RUNTIME_TRAINING_CHECKPOINT_H_
#define WEIR_RUNTIME_TRAINING_CHECKPOINT_H_

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/data/vocabulary.h"
#include "runtime/program/session.h"

namespace weir::runtime {

// Where a run stands, beside its variables.
struct TrainingState {
  int64_t step = 0;  // steps done
  int64_t seed = 0;
  int64_t tokens = 0;
  double seconds = 0;
  bool has_best = false;
  double best_loss = 0;  // of evaluations
  int64_t best_step = 0;
  int64_t evaluations_without_gain = 0;
  bool evaluation_pending = false;  // the one due after `step` was interrupted
  Vocabulary text;                  // of the task; empty where its tokens are no text
};

// Writes all variables and the state, whole or not at all.
absl::Status SaveCheckpoint(const Session& session, const TrainingState& state,
                            const std::string& path);

// Reads what SaveCheckpoint wrote. Errors name the file and what doesn't fit; the session may then
// hold some of it.
absl::StatusOr<TrainingState> LoadCheckpoint(Session& session, const std::string& path);

// Parameters only: to a file of their own, and from any file that has them (others of its tensors
// are ignored).
absl::Status SaveParameters(const Session& session, const std::string& path,
                            const std::map<std::string, std::string>& metadata);
absl::Status LoadParameters(Session& session, const std::string& path);

// The vocabulary that a file of parameters was written with. FailedPrecondition if it holds none.
absl::StatusOr<Vocabulary> LoadVocabulary(const std::string& path);

// FailedPrecondition if both the file and the task say what their tokens stand for, and differ: the
// parameters were trained on a text of other bytes.
absl::Status CheckVocabulary(const std::string& path, const Vocabulary& task);

// Sets the variable `rng` to (seed, step 0), where there is one, and runs `init`.
absl::Status InitializeVariables(Session& session, int64_t seed);

}  // namespace weir::runtime

#endif  // WEIR_RUNTIME_TRAINING_CHECKPOINT_H_
