#include "runtime/training/evaluate.h"

#include <chrono>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "runtime/data/segments.h"

namespace weir::runtime {
namespace {

// How often `part` fits into `whole`, or 0 if it doesn't: the same type, and extents that agree but
// for those in front.
int64_t Multiple(const TensorSpec& whole, const TensorSpec& part) {
  if (whole.type != part.type || part.NumElements() == 0) return 0;
  if (whole.NumElements() % part.NumElements() != 0) return 0;
  // [accumulate * batch, time] and [accumulate, batch, time] are the same bytes; the row must be
  // the same.
  size_t row = part.shape.empty() ? 0 : part.shape.size() - 1;
  if (whole.shape.size() < row) return 0;
  for (size_t i = 0; i < row; ++i) {
    if (whole.shape[whole.shape.size() - 1 - i] != part.shape[part.shape.size() - 1 - i]) return 0;
  }
  return whole.NumElements() / part.NumElements();
}

}  // namespace

absl::StatusOr<BatchFeeder> BatchFeeder::Create(const Session& session,
                                                const std::string& entry_point, const Task& task) {
  const EntryPoint* entry = session.program().FindEntryPoint(entry_point);
  if (entry == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("the program has no entry point '", entry_point, "'"));
  }
  const TaskSpec& spec = task.spec();
  std::vector<TensorSpec> parts = {spec.tokens, spec.targets};
  if (spec.segments) parts.push_back(*spec.segments);
  const auto text = [](absl::Span<const TensorSpec> specs) {
    return absl::StrJoin(specs, ", ", [](std::string* out, const TensorSpec& each) {
      absl::StrAppend(out, each.ToString());
    });
  };
  BatchFeeder feeder;
  feeder.task_ = &task;
  bool fits = entry->inputs.size() == parts.size();
  if (fits) feeder.batches_ = Multiple(entry->inputs[0], spec.tokens);
  for (size_t i = 0; fits && i < parts.size(); ++i) {
    fits = feeder.batches_ > 0 && Multiple(entry->inputs[i], parts[i]) == feeder.batches_;
  }
  if (!fits) {
    return absl::InvalidArgumentError(absl::StrCat("the task's batch doesn't fit '", entry_point,
                                                   "': it has ", text(parts),
                                                   ", the program wants ", text(entry->inputs)));
  }
  if (spec.stream_batches > 0 && feeder.batches_ > spec.stream_batches) {
    return absl::InvalidArgumentError(
        absl::StrCat("the task's streams end after ", spec.stream_batches, " batches, but '",
                     entry_point, "' takes ", feeder.batches_, " at once"));
  }
  for (const TensorSpec& input : entry->inputs) feeder.inputs_.emplace_back(input);
  return feeder;
}

template <typename Fill>
absl::Status BatchFeeder::FillEach(Fill fill) {
  for (int64_t i = 0; i < batches_; ++i) {
    const auto part = [&](size_t input) {
      if (input >= inputs_.size()) return absl::Span<char>();
      absl::Span<char> bytes = inputs_[input].bytes();
      size_t size = bytes.size() / batches_;
      return bytes.subspan(i * size, size);
    };
    absl::Status status = fill(i, TaskBatch{part(0), part(1), part(2)});
    if (!status.ok()) return status;
  }
  if (inputs_.size() < 3) return absl::OkStatus();
  return CheckSegments(inputs_[2].As<int32_t>(), task_->spec().segments->shape.back());
}

// The task's batch that is number `i` of a call.
int64_t BatchFeeder::TrainBatch(int64_t call, int64_t i) const {
  int64_t in_pass = task_->spec().stream_batches;
  if (in_pass == 0) return call * batches_ + i;
  int64_t calls = in_pass / batches_;
  return call / calls * in_pass + call % calls * batches_ + i;
}

absl::Status BatchFeeder::FillTrain(int64_t seed, int64_t call) {
  absl::Status status = FillEach([&](int64_t i, const TaskBatch& batch) {
    return task_->FillTrain(seed, TrainBatch(call, i), batch);
  });
  if (status.ok()) return status;
  return absl::Status(status.code(), absl::StrCat("batch ", call, ": ", status.message()));
}

absl::Status BatchFeeder::FillEval(int64_t call) {
  absl::Status status = FillEach([&](int64_t i, const TaskBatch& batch) {
    int64_t index = call * batches_ + i;
    if (index < task_->eval_batches()) return task_->FillEval(index, batch);
    std::memset(batch.tokens.data(), 0, batch.tokens.size());
    std::memset(batch.targets.data(), 0xff, batch.targets.size());  // -1: masked
    if (!batch.segments.empty()) std::memset(batch.segments.data(), 0, batch.segments.size());
    return absl::OkStatus();
  });
  if (status.ok()) return status;
  return absl::Status(status.code(), absl::StrCat("held-out batch ", call, ": ", status.message()));
}

int64_t BatchFeeder::SequencesWithTargets() const {
  absl::Span<const int32_t> targets = inputs_[1].As<int32_t>();
  const TensorSpec& part = task_->spec().targets;
  int64_t length = part.shape.empty() ? 1 : part.NumElements() / part.shape[0];
  int64_t count = 0;
  for (size_t row = 0; row < targets.size(); row += length) {
    bool any = false;
    for (int32_t target : targets.subspan(row, length)) any |= target >= 0;
    count += any;
  }
  return count;
}

int64_t BatchFeeder::Targets() const {
  int64_t count = 0;
  for (int32_t target : inputs_[1].As<int32_t>()) count += target >= 0;
  return count;
}

const HostTensor* FindOutput(const std::vector<HostTensor>& outputs, absl::string_view name) {
  for (const HostTensor& output : outputs) {
    if (output.spec().name == name) return &output;
  }
  return nullptr;
}

std::optional<double> ScalarOutput(const std::vector<HostTensor>& outputs, absl::string_view name) {
  const HostTensor* output = FindOutput(outputs, name);
  if (output == nullptr || output->spec().NumElements() < 1) return std::nullopt;
  return output->Number(0);
}

namespace {

// The values of the states that a program carries.
absl::StatusOr<std::vector<HostTensor>> ReadStates(const Session& session) {
  std::vector<HostTensor> states;
  for (const Variable& variable : session.program().variables) {
    if (variable.role != Role::kState) continue;
    absl::StatusOr<HostTensor> value = session.ReadVariable(variable.spec.name);
    if (!value.ok()) return value.status();
    states.push_back(*std::move(value));
  }
  return states;
}

absl::StatusOr<EvaluationResult> EvaluateFromHere(Session& session, const Task& task,
                                                  const std::function<bool()>& cancelled) {
  absl::StatusOr<BatchFeeder> feeder = BatchFeeder::Create(session, "eval", task);
  if (!feeder.ok()) return feeder.status();
  auto start = std::chrono::steady_clock::now();
  double loss = 0, correct = 0, sequences_correct = 0;
  bool has_correct = task.spec().accuracy, has_sequences = task.spec().sequence_accuracy;
  int64_t sequences = 0;
  EvaluationResult result;
  std::vector<HostTensor> outputs;
  for (int64_t call = 0; call < feeder->eval_calls(); ++call) {
    if (cancelled && cancelled()) return absl::CancelledError("the evaluation was interrupted");
    if (absl::Status status = feeder->FillEval(call); !status.ok()) return status;
    absl::Status status = session.Run("eval", feeder->inputs(), &outputs);
    if (!status.ok()) return status;
    std::optional<double> batch_loss = ScalarOutput(outputs, "loss");
    if (!batch_loss) return absl::InvalidArgumentError("'eval' has no output 'loss'");
    std::optional<double> batch_correct = ScalarOutput(outputs, "correct");
    std::optional<double> batch_sequences = ScalarOutput(outputs, "sequences_correct");
    has_correct &= batch_correct.has_value();
    has_sequences &= batch_sequences.has_value();
    loss += *batch_loss;
    correct += batch_correct.value_or(0);
    sequences_correct += batch_sequences.value_or(0);
    result.targets += feeder->Targets();
    sequences += feeder->SequencesWithTargets();
    result.tokens += feeder->inputs()[1].spec().NumElements();
  }
  if (result.targets == 0) {
    return absl::InvalidArgumentError("the task has no held-out targets to evaluate on");
  }
  result.loss = loss / static_cast<double>(result.targets);
  if (has_correct) result.accuracy = correct / static_cast<double>(result.targets);
  if (has_sequences && sequences > 0) {
    result.sequence_accuracy = sequences_correct / static_cast<double>(sequences);
  }
  std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  result.seconds = seconds.count();
  return result;
}

}  // namespace

absl::StatusOr<EvaluationResult> Evaluate(Session& session, const Task& task,
                                          const std::function<bool()>& cancelled) {
  if (!session.HasEntryPoint("reset")) return EvaluateFromHere(session, task, cancelled);
  absl::StatusOr<std::vector<HostTensor>> states = ReadStates(session);
  if (!states.ok()) return states.status();
  std::vector<HostTensor> none;
  if (absl::Status status = session.Run("reset", {}, &none); !status.ok()) return status;
  absl::StatusOr<EvaluationResult> result = EvaluateFromHere(session, task, cancelled);
  for (const HostTensor& state : *states) {
    absl::Status status = session.WriteVariable(state.spec().name, state);
    if (!status.ok()) return status;
  }
  return result;
}

}  // namespace weir::runtime
