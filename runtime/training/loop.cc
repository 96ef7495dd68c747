#include "runtime/training/loop.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "runtime/base/file.h"
#include "runtime/training/checkpoint.h"
#include "runtime/training/interrupt.h"
#include "runtime/training/metrics.h"
#include "runtime/training/progress.h"

namespace weir::runtime {
namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::optional<double> FiniteOnly(std::optional<double> value) {
  return value && std::isfinite(*value) ? value : std::nullopt;
}

// A NaN's sign says nothing.
double WithoutSignOfNan(double value) { return std::isnan(value) ? std::abs(value) : value; }

// One call of Train().
class Run {
 public:
  Run(Session& session, const Task& task, const TrainingOptions& options)
      : session_(session),
        task_(task),
        options_(options),
        progress_(options.progress, options.steps) {}

  absl::StatusOr<TrainingResult> Execute() {
    if (absl::Status status = Begin(); !status.ok()) return status;
    absl::StatusOr<BatchFeeder> feeder = BatchFeeder::Create(session_, "train_step", task_);
    if (!feeder.ok()) return feeder.status();
    if (state_.evaluation_pending) {
      if (absl::Status status = EvaluateAndSave(); !status.ok()) return status;
    }
    while (state_.step < options_.steps && !result_.stopped_early && !result_.interrupted) {
      if (interrupt_.requested()) {
        result_.interrupted = true;
        break;
      }
      if (absl::Status status = Step(*feeder); !status.ok()) return status;
    }
    if (absl::Status status = Finish(); !status.ok()) return status;
    return result_;
  }

 private:
  std::string File(const char* name) const { return absl::StrCat(options_.directory, "/", name); }
  bool writes() const { return !options_.directory.empty(); }
  double Seconds() const { return seconds_before_ + SecondsSince(start_); }

  absl::Status Begin() {
    if (options_.steps < 0) return absl::InvalidArgumentError("the number of steps is negative");
    bool resumed = false;
    if (writes()) {
      if (absl::Status status = MakeDirectories(options_.directory); !status.ok()) return status;
      bool has_checkpoint = FileExists(File("checkpoint.safetensors"));
      if (!options_.resume && (has_checkpoint || FileExists(File("metrics.jsonl")))) {
        return absl::FailedPreconditionError(
            absl::StrCat("'", options_.directory,
                         "' already holds a run; resume it with --resume, or name another one"));
      }
      resumed = options_.resume && has_checkpoint;
      RemoveLeftovers();
    } else if (options_.resume) {
      return absl::InvalidArgumentError("there is nothing to resume: no output directory is given");
    }
    if (absl::Status status = resumed ? Resume() : Start(); !status.ok()) return status;
    if (writes()) {
      absl::Status status = WriteFileAtomically(File("experiment.mlir"), {options_.experiment});
      if (!status.ok()) return status;
      absl::StatusOr<std::unique_ptr<MetricsLog>> log =
          MetricsLog::Open(File("metrics.jsonl"), state_.step);
      if (!log.ok()) return log.status();
      log_ = *std::move(log);
    }
    Describe();
    seconds_before_ = state_.seconds;
    first_step_ = state_.step;
    start_ = last_checkpoint_ = Clock::now();
    return absl::OkStatus();
  }

  // What a kill in the middle of an atomic write left: its temporary file.
  void RemoveLeftovers() const {
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator(options_.directory, ignored)) {
      std::string name = entry.path().filename().string();
      for (const char* file : {"checkpoint.safetensors", "best.safetensors", "experiment.mlir"}) {
        if (absl::StartsWith(name, absl::StrCat(file, ".tmp."))) {
          std::filesystem::remove(entry.path(), ignored);
        }
      }
    }
  }

  absl::Status Start() {
    state_.seed = options_.seed;
    state_.text = task_.spec().text;
    return InitializeVariables(session_, options_.seed);
  }

  absl::Status Resume() {
    std::string path = File("checkpoint.safetensors");
    absl::Status status = CheckVocabulary(path, task_.spec().text);
    if (!status.ok()) return status;
    absl::StatusOr<TrainingState> state = LoadCheckpoint(session_, path);
    if (!state.ok()) return state.status();
    if (state->seed != options_.seed) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": this run began with seed ", state->seed, ", not ", options_.seed));
    }
    state_ = *state;
    state_.text = task_.spec().text;
    result_.stopped_early = LacksGain();
    progress_.Say(absl::StrCat("resuming after step ", state_.step));
    return absl::OkStatus();
  }

  void Describe() {
    int64_t parameters = 0;
    for (const Variable& variable : session_.program().variables) {
      if (variable.role == Role::kParameter) parameters += variable.spec.NumElements();
    }
    progress_.Say(absl::StrFormat(
        "%s parameters, %s of memory planned, %d thread%s, %s; a batch is %s",
        HumanCount(parameters), HumanBytes(session_.memory_bytes()), session_.threads(),
        session_.threads() == 1 ? "" : "s", session_.isa(), task_.spec().tokens.ToString()));
  }

  absl::Status Step(BatchFeeder& feeder) {
    auto begin = Clock::now();
    absl::Status status = feeder.FillTrain(options_.seed, state_.step);
    if (!status.ok()) return status;
    if (feeder.BeginsStreams(state_.step) && session_.HasEntryPoint("reset")) {
      status = session_.Run("reset", {}, &outputs_);
      if (!status.ok()) return status;
    }
    status = session_.Run("train_step", feeder.inputs(), &outputs_);
    if (!status.ok()) return status;
    std::optional<double> loss = ScalarOutput(outputs_, "loss");
    if (!loss) return absl::InvalidArgumentError("'train_step' has no output 'loss'");
    result_.train_loss = *loss;
    std::optional<double> finite = ScalarOutput(outputs_, "finite");
    if (finite ? *finite == 0 : !std::isfinite(*loss)) {
      return Diverged(feeder, *loss, /*unchanged=*/finite.has_value());
    }
    ++state_.step;
    int64_t tokens = feeder.inputs()[1].spec().NumElements();
    state_.tokens += tokens;
    tokens_since_record_ += tokens;
    double seconds = SecondsSince(begin);
    seconds_since_record_ += seconds;
    // Over about the last fifty steps.
    average_seconds_ = average_seconds_ == 0 ? seconds : average_seconds_ * 0.98 + seconds * 0.02;

    if (absl::Status status = Record(feeder, *loss); !status.ok()) return status;
    if (options_.after_step) {
      if (absl::Status status = options_.after_step(state_.step); !status.ok()) return status;
    }
    bool due = options_.eval_every > 0 && state_.step % options_.eval_every == 0;
    if (due || state_.step == options_.steps) return EvaluateAndSave();
    if (SecondsSince(last_checkpoint_) >= options_.checkpoint_seconds) return Save();
    return absl::OkStatus();
  }

  // The error for a step that isn't finite. `unchanged`: variables are as they were before it.
  absl::Status Diverged(const BatchFeeder& feeder, double loss, bool unchanged) {
    std::string text =
        absl::StrFormat("the loss is %f at step %d", WithoutSignOfNan(loss), state_.step + 1);
    if (auto norm = ScalarOutput(outputs_, "gradient_norm")) {
      absl::StrAppendFormat(&text, " (gradient norm %g)", WithoutSignOfNan(*norm));
    }
    if (unchanged && options_.explain)
      absl::StrAppend(&text, ": ", options_.explain(feeder.inputs()));
    if (!writes()) return absl::InternalError(text);
    if (unchanged && saved_step_ != state_.step) {
      if (absl::Status status = Save(); !status.ok()) return status;
    }
    if (FileExists(File("checkpoint.safetensors"))) {
      absl::StrAppend(&text, "; '", File("checkpoint.safetensors"), "' is of ",
                      unchanged ? absl::StrCat("step ", state_.step) : "an earlier step");
    }
    return absl::InternalError(text);
  }

  absl::Status Record(const BatchFeeder& feeder, double loss) {
    MetricsRecord record;
    record.step = state_.step;
    record.split = "train";
    record.loss = loss;
    std::optional<double> correct = ScalarOutput(outputs_, "correct");
    double targets = static_cast<double>(feeder.Targets());
    if (task_.spec().accuracy && correct && targets > 0) record.accuracy = *correct / targets;
    record.gradient_norm = FiniteOnly(ScalarOutput(outputs_, "gradient_norm"));
    record.learning_rate = FiniteOnly(ScalarOutput(outputs_, "learning_rate"));
    record.tokens = state_.tokens;
    record.tokens_per_second =
        static_cast<double>(feeder.inputs()[1].spec().NumElements()) / average_seconds_;
    record.seconds = Seconds();
    // Evaluations and checkpoints count too, so this goes by the clock.
    double wall_seconds = SecondsSince(start_) / static_cast<double>(state_.step - first_step_);
    progress_.Step(record, wall_seconds * static_cast<double>(options_.steps - state_.step));
    if (state_.step % std::max<int64_t>(1, options_.log_every) != 0 &&
        state_.step != options_.steps) {
      return absl::OkStatus();
    }
    record.tokens_per_second =
        static_cast<double>(tokens_since_record_) / std::max(seconds_since_record_, 1e-9);
    tokens_since_record_ = 0;
    seconds_since_record_ = 0;
    return log_ ? log_->Append(record) : absl::OkStatus();
  }

  bool LacksGain() const {
    return options_.patience > 0 && state_.evaluations_without_gain >= options_.patience;
  }

  absl::Status EvaluateAndSave() {
    if (session_.HasEntryPoint("eval") && task_.eval_batches() > 0) {
      absl::StatusOr<EvaluationResult> evaluation =
          Evaluate(session_, task_, [this] { return interrupt_.requested(); });
      if (absl::IsCancelled(evaluation.status())) {
        // The resumed run begins with this evaluation.
        result_.interrupted = true;
        state_.evaluation_pending = true;
        return Save();
      }
      if (!evaluation.ok()) return evaluation.status();
      state_.evaluation_pending = false;
      if (absl::Status status = TakeEvaluation(*evaluation); !status.ok()) return status;
    }
    return Save();
  }

  absl::Status TakeEvaluation(const EvaluationResult& evaluation) {
    if (!std::isfinite(evaluation.loss)) {
      return absl::InternalError(
          absl::StrFormat("the held-out loss is %f after step %d", evaluation.loss, state_.step));
    }
    result_.last_evaluation = evaluation;
    MetricsRecord record;
    record.step = state_.step;
    record.split = "eval";
    record.loss = evaluation.loss;
    record.accuracy = evaluation.accuracy;
    record.sequence_accuracy = evaluation.sequence_accuracy;
    record.tokens = state_.tokens;
    record.tokens_per_second =
        static_cast<double>(evaluation.tokens) / std::max(evaluation.seconds, 1e-9);
    record.seconds = Seconds();
    bool best = !state_.has_best || evaluation.loss < state_.best_loss;
    if (best) {
      state_.has_best = true;
      state_.best_loss = evaluation.loss;
      state_.best_step = state_.step;
      state_.evaluations_without_gain = 0;
    } else {
      ++state_.evaluations_without_gain;
    }
    progress_.Evaluation(record, best);
    result_.stopped_early = LacksGain();
    if (log_) {
      if (absl::Status status = log_->Append(record); !status.ok()) return status;
    }
    if (!best || !writes()) return absl::OkStatus();
    std::map<std::string, std::string> metadata = {
        {"step", absl::StrCat(state_.step)}, {"loss", absl::StrFormat("%.17g", evaluation.loss)}};
    state_.text.AddTo(&metadata);
    return SaveParameters(session_, File("best.safetensors"), metadata);
  }

  absl::Status Save() {
    last_checkpoint_ = Clock::now();
    saved_step_ = state_.step;
    if (!writes()) return absl::OkStatus();
    state_.seconds = Seconds();
    if (absl::Status status = log_->Sync(); !status.ok()) return status;
    return SaveCheckpoint(session_, state_, File("checkpoint.safetensors"));
  }

  absl::Status Finish() {
    if (result_.interrupted && saved_step_ != state_.step) {
      if (absl::Status status = Save(); !status.ok()) return status;
    }
    if (result_.stopped_early) {
      progress_.Say(absl::StrCat("no gain in ", options_.patience, " evaluations: stopped"));
    }
    result_.steps = state_.step;
    if (state_.has_best) {
      result_.best_loss = state_.best_loss;
      result_.best_step = state_.best_step;
    }
    result_.seconds = Seconds();
    return absl::OkStatus();
  }

  Session& session_;
  const Task& task_;
  const TrainingOptions& options_;
  Progress progress_;
  InterruptGuard interrupt_;
  std::unique_ptr<MetricsLog> log_;
  TrainingState state_;
  TrainingResult result_;
  std::vector<HostTensor> outputs_;
  Clock::time_point start_ = Clock::now(), last_checkpoint_ = start_;
  double seconds_before_ = 0;
  double average_seconds_ = 0;  // of a step
  double seconds_since_record_ = 0;
  int64_t tokens_since_record_ = 0;
  int64_t first_step_ = 0;  // of this session
  int64_t saved_step_ = -1;
};

}  // namespace

absl::StatusOr<TrainingResult> Train(Session& session, const Task& task,
                                     const TrainingOptions& options) {
  return Run(session, task, options).Execute();
}

}  // namespace weir::runtime
