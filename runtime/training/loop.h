// The training loop. All arithmetic of a step (accumulation, clipping, schedule, optimizer) is in
// the compiled program; the loop feeds it, watches it and writes down what happens.
//
//   TrainingOptions options;
//   options.steps = 20000;
//   options.directory = "runs/mingru";
//   absl::StatusOr<TrainingResult> result = Train(*session, *task, options);
//
// A run that was killed at any moment and goes on with `resume` has the same losses, bit by bit, as
// one that wasn't: batches depend on (seed, step) alone, random numbers of the model on the
// variable `rng`, and a checkpoint holds every variable. Where the program carries states (it has
// an entry point `reset`), they are variables too, and are reset where the task's streams begin.
#ifndef WEIR_RUNTIME_TRAINING_LOOP_H_
#define WEIR_RUNTIME_TRAINING_LOOP_H_

#include <cstdint>
#include <cstdio>
#include <functional>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "runtime/data/task.h"
#include "runtime/program/session.h"
#include "runtime/training/evaluate.h"

namespace weir::runtime {

struct TrainingOptions {
  int64_t steps = 0;       // of the whole run, those before a resume included
  int64_t seed = 1;        // of parameters, dropout and batches
  int64_t eval_every = 0;  // steps between evaluations; 0: only after the last step
  int64_t patience = 0;   // stop after so many evaluations in a row without a better loss; 0: never
  int64_t log_every = 1;  // steps between lines of metrics.jsonl

  // Receives metrics.jsonl, experiment.mlir, checkpoint.safetensors and best.safetensors; empty:
  // nothing is written.
  std::string directory;
  std::string experiment;  // the text of experiment.mlir
  bool resume = false;     // go on from the directory's checkpoint; without one, begin
  // A checkpoint is written after each evaluation, at the end, on SIGINT, and when the last is so
  // many seconds old.
  double checkpoint_seconds = 60;

  std::FILE* progress = stderr;  // null: silent

  // Asked why a step with these inputs isn't finite, where the program left its variables as they
  // were before the step; the answer becomes part of the error. May be null.
  std::function<std::string(absl::Span<const HostTensor> inputs)> explain;

  // Called after each step with the number of steps done; an error ends the run as it stands. For
  // tests.
  std::function<absl::Status(int64_t step)> after_step;
};

struct TrainingResult {
  int64_t steps = 0;  // done, those before a resume included
  double train_loss = 0;
  std::optional<EvaluationResult> last_evaluation;  // of this session
  std::optional<double> best_loss;                  // of all evaluations
  int64_t best_step = 0;
  double seconds = 0;
  bool interrupted = false;    // by SIGINT or SIGTERM; the checkpoint is written
  bool stopped_early = false;  // for lack of gain
};

// Runs `init` (or loads the checkpoint) and then `train_step` and `eval` of the session's program.
// Errors: FailedPrecondition if the directory holds a run and `resume` is off, InvalidArgument if
// task or checkpoint don't fit the program, Internal if loss or gradient norm aren't finite: the
// message names the step. A program with the output `finite` of `train_step` promises to change no
// variable where that is 0; the checkpoint is then that of the step before.
absl::StatusOr<TrainingResult> Train(Session& session, const Task& task,
                                     const TrainingOptions& options);

}  // namespace weir::runtime

#endif  // WEIR_RUNTIME_TRAINING_LOOP_H_
