// Feeds a task's batches to a program's entry points, and evaluates.
#ifndef WEIR_RUNTIME_TRAINING_EVALUATE_H_
#define WEIR_RUNTIME_TRAINING_EVALUATE_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/data/task.h"
#include "runtime/program/session.h"

namespace weir::runtime {

// The inputs (tokens, targets, and segments if the task has them) of an entry point, filled from a
// task. An entry point may take
// several of the task's batches at once (a step that accumulates gradients): tensors whose size is
// a multiple of the task's.
class BatchFeeder {
 public:
  // InvalidArgument if the entry point isn't there, doesn't take the task's tensors, or takes more
  // batches at once than the task's streams have.
  static absl::StatusOr<BatchFeeder> Create(const Session& session, const std::string& entry_point,
                                            const Task& task);

  // Whether training call `call` reads the beginning of the task's streams. Where a pass through
  // them is no whole number of calls, its last batches are left out.
  bool BeginsStreams(int64_t call) const {
    return task_->spec().stream_batches > 0 &&
           call % (task_->spec().stream_batches / batches_) == 0;
  }

  // The task's batches in one call of the entry point.
  int64_t batches() const { return batches_; }
  // Calls needed for all held-out batches.
  int64_t eval_calls() const { return (task_->eval_batches() + batches_ - 1) / batches_; }

  // Errors are the task's, and InvalidArgument for segment ids that break the rule
  // (data/segments.h); messages name the batch.
  absl::Status FillTrain(int64_t seed, int64_t call);
  absl::Status FillEval(int64_t call);

  const std::vector<HostTensor>& inputs() const { return inputs_; }
  // Rows of the batch with a target that isn't masked.
  int64_t SequencesWithTargets() const;
  // Targets that aren't masked.
  int64_t Targets() const;

 private:
  template <typename Fill>
  absl::Status FillEach(Fill fill);
  int64_t TrainBatch(int64_t call, int64_t i) const;

  const Task* task_ = nullptr;
  int64_t batches_ = 1;
  std::vector<HostTensor> inputs_;
};

// The output of that name, or null.
const HostTensor* FindOutput(const std::vector<HostTensor>& outputs, absl::string_view name);
// Element 0 of the output of that name, or nothing.
std::optional<double> ScalarOutput(const std::vector<HostTensor>& outputs, absl::string_view name);

struct EvaluationResult {
  double loss = 0;  // mean over all targets that aren't masked
  std::optional<double> accuracy;
  std::optional<double> sequence_accuracy;
  int64_t targets = 0;
  int64_t tokens = 0;  // positions, masked ones included
  double seconds = 0;
};

// Runs `eval` on all held-out batches of the task. States that the program carries begin as `reset`
// leaves them, and are afterwards as they were before. `cancelled` (may be null) is asked between
// batches; if it says so, the result is Cancelled.
absl::StatusOr<EvaluationResult> Evaluate(Session& session, const Task& task,
                                          const std::function<bool()>& cancelled);

}  // namespace weir::runtime

#endif  // WEIR_RUNTIME_TRAINING_EVALUATE_H_
