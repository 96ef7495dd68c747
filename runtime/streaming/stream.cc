#include "runtime/streaming/stream.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"

namespace weir::runtime {
namespace {

absl::Status NotForStreams(absl::string_view reason) {
  return absl::FailedPreconditionError(absl::StrCat("this is no program for streams: ", reason));
}

// The spec with `length` as its extent in time.
TensorSpec WithLength(TensorSpec spec, int64_t length) {
  spec.shape[1] = length;
  return spec;
}

// That the specs are those of `step` but for their length, which all share.
absl::Status CheckLengths(const EntryPoint& step, const EntryPoint& other, int64_t* length) {
  auto check = [&](const std::vector<TensorSpec>& ours, const std::vector<TensorSpec>& theirs) {
    if (ours.size() != theirs.size()) return false;
    for (size_t i = 0; i < ours.size(); ++i) {
      if (ours[i].shape.size() < 2 || ours[i].shape[1] != 1 || theirs[i].shape.size() < 2) {
        return false;
      }
      if (*length == 0) *length = theirs[i].shape[1];
      if (ours[i].name != theirs[i].name || *length < 1 ||
          !SameLayout(WithLength(ours[i], *length), theirs[i])) {
        return false;
      }
    }
    return !ours.empty();
  };
  if (check(step.inputs, other.inputs) && check(step.outputs, other.outputs)) {
    return absl::OkStatus();
  }
  return NotForStreams(absl::StrCat("the inputs and outputs of '", other.name,
                                    "' aren't batch x time x ... with the same time everywhere"));
}

// Copies `length` tokens of each row.
void CopyTokens(const HostTensor& source, int64_t source_begin, HostTensor& target,
                int64_t target_begin, int64_t length) {
  int64_t rows = source.spec().shape[0];
  if (rows == 0 || source.bytes().empty()) return;
  int64_t source_row = source.bytes().size() / rows, target_row = target.bytes().size() / rows;
  int64_t token = source_row / source.spec().shape[1];
  for (int64_t row = 0; row < rows; ++row) {
    std::memcpy(target.bytes().data() + row * target_row + target_begin * token,
                source.bytes().data() + row * source_row + source_begin * token, length * token);
  }
}

}  // namespace

absl::StatusOr<Stream> Stream::Create(Session& session) {
  Stream stream(session);
  if (absl::Status status = stream.CheckProgram(); !status.ok()) return status;
  if (absl::Status status = stream.Reset(); !status.ok()) return status;
  return stream;
}

absl::Status Stream::CheckProgram() {
  const Program& program = session_->program();
  const EntryPoint* reset = program.FindEntryPoint("reset");
  step_ = program.FindEntryPoint("step");
  prefill_ = program.FindEntryPoint("prefill");
  if (step_ == nullptr) return NotForStreams("it has no entry point 'step'");
  if (reset == nullptr) return NotForStreams("it has no entry point 'reset'");
  if (!reset->inputs.empty()) return NotForStreams("'reset' has inputs");
  int64_t one = 1;
  if (absl::Status status = CheckLengths(*step_, *step_, &one); !status.ok()) return status;
  if (prefill_ == nullptr) return absl::OkStatus();
  return CheckLengths(*step_, *prefill_, &prefill_size_);
}

int64_t Stream::state_bytes() const {
  int64_t bytes = 0;
  for (const Variable& variable : session_->program().variables) {
    if (variable.role == Role::kState) bytes += variable.spec.NumBytes();
  }
  return bytes;
}

absl::Status Stream::Reset() {
  std::vector<HostTensor> none;
  if (absl::Status status = session_->Run("reset", {}, &none); !status.ok()) return status;
  position_ = 0;
  return absl::OkStatus();
}

absl::Status Stream::Run(const EntryPoint& entry, int64_t tokens,
                         absl::Span<const HostTensor> inputs, std::vector<HostTensor>* outputs) {
  if (absl::Status status = session_->Run(entry.name, inputs, outputs); !status.ok()) return status;
  position_ += tokens;
  return absl::OkStatus();
}

absl::Status Stream::Step(absl::Span<const HostTensor> inputs, std::vector<HostTensor>* outputs) {
  return Run(*step_, 1, inputs, outputs);
}

absl::StatusOr<int64_t> Stream::Length(absl::Span<const HostTensor> inputs) const {
  const std::vector<TensorSpec>& specs = step_->inputs;
  if (inputs.size() != specs.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the model has ", specs.size(), " inputs; it was given ", inputs.size()));
  }
  int64_t length = -1;
  for (size_t i = 0; i < specs.size(); ++i) {
    const TensorSpec& given = inputs[i].spec();
    if (given.shape.size() < 2 || !SameLayout(WithLength(specs[i], given.shape[1]), given)) {
      return absl::InvalidArgumentError(absl::StrCat("the model wants ", specs[i].ToString(),
                                                     " with any second extent, not ",
                                                     given.ToString()));
    }
    if (length < 0) length = given.shape[1];
    if (given.shape[1] != length) {
      return absl::InvalidArgumentError(absl::StrCat(
          "the inputs differ in length: ", inputs[0].spec().ToString(), ", ", given.ToString()));
    }
  }
  if (length < 1) return absl::InvalidArgumentError("there are no tokens to read");
  return length;
}

absl::Status Stream::Prefill(absl::Span<const HostTensor> inputs, Outputs which,
                             std::vector<HostTensor>* outputs) {
  absl::StatusOr<int64_t> length = Length(inputs);
  if (!length.ok()) return length.status();
  outputs->resize(step_->outputs.size());
  for (size_t i = 0; i < outputs->size(); ++i) {
    TensorSpec spec = WithLength(step_->outputs[i], which == Outputs::kAll ? *length : 1);
    HostTensor& output = (*outputs)[i];
    if (!SameLayout(output.spec(), spec) || output.spec().name != spec.name) {
      output = HostTensor(std::move(spec));
    }
  }
  for (int64_t done = 0, size; done < *length; done += size) {
    bool whole = prefill_ != nullptr && *length - done >= prefill_size_;
    const EntryPoint& entry = whole ? *prefill_ : *step_;
    size = whole ? prefill_size_ : 1;
    piece_.resize(inputs.size());
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (!SameLayout(piece_[i].spec(), entry.inputs[i])) piece_[i] = HostTensor(entry.inputs[i]);
      CopyTokens(inputs[i], done, piece_[i], 0, size);
    }
    absl::Status status = Run(entry, size, piece_, &piece_outputs_);
    if (!status.ok()) return status;
    for (size_t i = 0; i < outputs->size(); ++i) {
      if (which == Outputs::kAll) {
        CopyTokens(piece_outputs_[i], 0, (*outputs)[i], done, size);
      } else if (done + size == *length) {
        CopyTokens(piece_outputs_[i], size - 1, (*outputs)[i], 0, 1);
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace weir::runtime
