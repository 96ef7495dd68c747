#include "runtime/training/checkpoint.h"

#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "runtime/checkpoint/safetensors.h"

namespace weir::runtime {
namespace {

using Metadata = std::map<std::string, std::string>;

constexpr char kFormatKey[] = "weir.checkpoint";
constexpr char kFormat[] = "1";

// What is prepared follows from the parameters.
bool IsSaved(const Variable& variable, bool parameters_only) {
  if (parameters_only) return variable.role == Role::kParameter;
  return variable.role != Role::kPrepared;
}

absl::StatusOr<std::vector<HostTensor>> ReadVariables(const Session& session,
                                                      bool parameters_only) {
  std::vector<HostTensor> tensors;
  for (const Variable& variable : session.program().variables) {
    if (!IsSaved(variable, parameters_only)) continue;
    absl::StatusOr<HostTensor> value = session.ReadVariable(variable.spec.name);
    if (!value.ok()) return value.status();
    tensors.push_back(*std::move(value));
  }
  return tensors;
}

absl::Status WriteVariables(Session& session, const SafetensorsFile& file, const std::string& path,
                            bool parameters_only) {
  for (const Variable& variable : session.program().variables) {
    if (!IsSaved(variable, parameters_only)) continue;
    absl::StatusOr<HostTensor> value = file.Read(variable.spec.name);
    if (!value.ok()) return value.status();
    absl::Status status = session.WriteVariable(variable.spec.name, *value);
    if (!status.ok())
      return absl::Status(status.code(), absl::StrCat(path, ": ", status.message()));
  }
  return absl::OkStatus();
}

Metadata ToMetadata(const TrainingState& state) {
  Metadata metadata = {{kFormatKey, kFormat},
                       {"step", absl::StrCat(state.step)},
                       {"seed", absl::StrCat(state.seed)},
                       {"tokens", absl::StrCat(state.tokens)},
                       {"seconds", absl::StrFormat("%.17g", state.seconds)},
                       {"evaluations_without_gain", absl::StrCat(state.evaluations_without_gain)}};
  if (state.evaluation_pending) metadata["evaluation_pending"] = "true";
  if (state.has_best) {
    metadata["best_loss"] = absl::StrFormat("%.17g", state.best_loss);
    metadata["best_step"] = absl::StrCat(state.best_step);
  }
  state.text.AddTo(&metadata);
  return metadata;
}

bool FromMetadata(const Metadata& metadata, TrainingState* state) {
  auto text = [&](const char* key) {
    auto it = metadata.find(key);
    return it == metadata.end() ? std::string() : it->second;
  };
  state->has_best = metadata.count("best_loss") > 0;
  state->evaluation_pending = metadata.count("evaluation_pending") > 0;
  absl::StatusOr<Vocabulary> vocabulary = Vocabulary::FromMetadata(metadata);
  if (vocabulary.ok()) state->text = *std::move(vocabulary);
  return text(kFormatKey) == kFormat && absl::SimpleAtoi(text("step"), &state->step) &&
         absl::SimpleAtoi(text("seed"), &state->seed) &&
         absl::SimpleAtoi(text("tokens"), &state->tokens) &&
         absl::SimpleAtod(text("seconds"), &state->seconds) &&
         absl::SimpleAtoi(text("evaluations_without_gain"), &state->evaluations_without_gain) &&
         (!state->has_best || (absl::SimpleAtod(text("best_loss"), &state->best_loss) &&
                               absl::SimpleAtoi(text("best_step"), &state->best_step)));
}

}  // namespace

absl::Status SaveCheckpoint(const Session& session, const TrainingState& state,
                            const std::string& path) {
  absl::StatusOr<std::vector<HostTensor>> tensors = ReadVariables(session, false);
  if (!tensors.ok()) return tensors.status();
  return WriteSafetensors(path, *tensors, ToMetadata(state));
}

absl::StatusOr<TrainingState> LoadCheckpoint(Session& session, const std::string& path) {
  absl::StatusOr<SafetensorsFile> file = SafetensorsFile::Open(path);
  if (!file.ok()) return file.status();
  TrainingState state;
  if (!FromMetadata(file->metadata(), &state)) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": this is no checkpoint of a run: its metadata lacks the run's state"));
  }
  if (absl::Status status = WriteVariables(session, *file, path, false); !status.ok()) {
    return status;
  }
  return state;
}

absl::Status SaveParameters(const Session& session, const std::string& path,
                            const Metadata& metadata) {
  absl::StatusOr<std::vector<HostTensor>> tensors = ReadVariables(session, true);
  if (!tensors.ok()) return tensors.status();
  return WriteSafetensors(path, *tensors, metadata);
}

absl::Status LoadParameters(Session& session, const std::string& path) {
  absl::StatusOr<SafetensorsFile> file = SafetensorsFile::Open(path);
  if (!file.ok()) return file.status();
  return WriteVariables(session, *file, path, true);
}

absl::StatusOr<Vocabulary> LoadVocabulary(const std::string& path) {
  absl::StatusOr<SafetensorsFile> file = SafetensorsFile::Open(path);
  if (!file.ok()) return file.status();
  absl::StatusOr<Vocabulary> vocabulary = Vocabulary::FromMetadata(file->metadata());
  if (absl::IsNotFound(vocabulary.status())) {
    return absl::FailedPreconditionError(absl::StrCat(
        path,
        ": doesn't say which byte each token stands for, as checkpoints of the task 'text' "
        "do"));
  }
  if (!vocabulary.ok())
    return absl::Status(vocabulary.status().code(),
                        absl::StrCat(path, ": ", vocabulary.status().message()));
  return vocabulary;
}

absl::Status CheckVocabulary(const std::string& path, const Vocabulary& task) {
  absl::StatusOr<Vocabulary> vocabulary = LoadVocabulary(path);
  if (absl::IsFailedPrecondition(vocabulary.status()) || task.empty()) return absl::OkStatus();
  if (!vocabulary.ok()) return vocabulary.status();
  if (*vocabulary == task) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(path, ": was trained on a text of ", vocabulary->size(),
                   " different bytes, which aren't the ", task.size(), " of the task's data"));
}

absl::Status InitializeVariables(Session& session, int64_t seed) {
  if (session.program().FindVariable("rng") >= 0) {
    HostTensor rng({"rng", ElementType::kI64, {2}});
    rng.As<int64_t>()[0] = seed;
    if (absl::Status status = session.WriteVariable("rng", rng); !status.ok()) return status;
  }
  std::vector<HostTensor> outputs;
  return session.Run("init", {}, &outputs);
}

}  // namespace weir::runtime
