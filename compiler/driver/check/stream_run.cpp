#include "compiler/driver/check/stream_run.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace weir::check {

using runtime::HostTensor;

bool hasNoStepForm(const absl::Status& status) {
  return absl::StrContains(status.message(), "has no step form");
}

absl::StatusOr<StreamRun> StreamRun::create(Bench& bench, const StreamBuild& build,
                                            const Tensors& values) {
  absl::StatusOr<const runtime::Program*> program = bench.stream(build);
  if (!program.ok()) return program.status();
  StreamRun run;
  run.chunk_ = build.chunk;
  auto session = bench.session(**program, {});
  if (!session.ok()) return session.status();
  run.session_ = *std::move(session);
  for (const runtime::Variable& variable : run.session_->program().variables) {
    auto value = values.find(variable.spec.name);
    if (variable.role != runtime::Role::kParameter || value == values.end()) continue;
    absl::Status status =
        run.session_->WriteVariable(variable.spec.name, converted(value->second, variable.spec));
    if (!status.ok()) return status;
  }
  return run;
}

absl::Status StreamRun::begin(const Tensors& states) {
  isEmpty_ = true;
  std::vector<HostTensor> outputs;
  if (absl::Status status = session_->Run("reset", {}, &outputs); !status.ok()) return status;
  for (const auto& [name, value] : states) {
    int64_t index = session_->program().FindVariable(name);
    if (index < 0) return absl::InternalError(absl::StrCat("the stream has no '", name, "'"));
    const runtime::TensorSpec& spec = session_->program().variables[index].spec;
    absl::Status status = session_->WriteVariable(name, converted(value, spec));
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status StreamRun::read(const Tensors& values, int64_t from, int64_t count, bool chunks) {
  if (chunks && count == chunk_) return readPiece("prefill", values, from, count);
  for (int64_t t = from; t < from + count; ++t)
    if (absl::Status status = readPiece("step", values, t, 1); !status.ok()) return status;
  return absl::OkStatus();
}

absl::Status StreamRun::readPiece(const char* entry, const Tensors& values, int64_t from,
                                  int64_t count) {
  const runtime::EntryPoint* point = session_->program().FindEntryPoint(entry);
  if (!point) return absl::InternalError(absl::StrCat("the stream has no '", entry, "'"));
  std::vector<HostTensor> inputs, outputs;
  for (const runtime::TensorSpec& spec : point->inputs)
    inputs.push_back(converted(timesOf(values.at(spec.name), from, count), spec));
  if (absl::Status status = session_->Run(entry, inputs, &outputs); !status.ok()) return status;
  for (size_t i = 0; i < outputs.size(); ++i) {
    const HostTensor& output = outputs[i];
    if (point->outputs[i].name != "output") continue;
    if (isEmpty_) {
      output_ = output;
      isEmpty_ = false;
      continue;
    }
    runtime::TensorSpec spec = output_.spec();
    int64_t before = spec.shape[1];
    spec.shape[1] += count;
    HostTensor longer(spec);
    for (int64_t row = 0; row < spec.shape[0]; ++row) {
      copyTimes(output_, row, 0, longer, row, 0, before);
      copyTimes(output, row, 0, longer, row, before, count);
    }
    output_ = std::move(longer);
  }
  return absl::OkStatus();
}

absl::StatusOr<Tensors> StreamRun::states() const {
  Tensors states;
  for (const runtime::Variable& variable : session_->program().variables) {
    if (variable.role != runtime::Role::kState) continue;
    absl::StatusOr<HostTensor> value = session_->ReadVariable(variable.spec.name);
    if (!value.ok()) return value.status();
    states.emplace(variable.spec.name, *std::move(value));
  }
  return states;
}

}  // namespace weir::check
