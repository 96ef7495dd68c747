// States to files and back.
#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "runtime/checkpoint/safetensors.h"
#include "runtime/streaming/fingerprint.h"
#include "runtime/streaming/stream.h"

namespace weir::runtime {
namespace {

constexpr char kFormatKey[] = "weir.state";
constexpr char kFormat[] = "1";
constexpr char kModelKey[] = "weir.model";
constexpr char kParametersKey[] = "weir.parameters";
constexpr char kPositionKey[] = "weir.position";

// The state that counts the tokens, of models that ask for positions.
constexpr char kStartState[] = "stream.start";

std::string FileName(absl::string_view variable) {
  return std::string(absl::StripPrefix(variable, kStatePrefix));
}

std::string Text(const std::map<std::string, std::string>& metadata, const char* key) {
  auto it = metadata.find(key);
  return it == metadata.end() ? std::string() : it->second;
}

// What keeps the states of a file from being those of the session's program; the values by the
// names of the variables.
class StateReader {
 public:
  StateReader(const Session& session, const SafetensorsFile& file, const std::string& path)
      : session_(session), file_(file), path_(path) {}

  absl::Status Read() {
    const auto& metadata = file_.metadata();
    std::string format = Text(metadata, kFormatKey);
    if (format.empty()) return Refuse("this is no file of states");
    if (format != kFormat) {
      return Refuse("states of format ", format, "; this Weir reads format ", kFormat);
    }
    if (absl::Status status = ReadTensors(); !status.ok()) return status;
    if (Text(metadata, kModelKey) != ModelFingerprint(session_.program())) {
      return Refuse("these are states of another model");
    }
    absl::StatusOr<std::string> parameters = ParameterFingerprint(session_);
    if (!parameters.ok()) return parameters.status();
    if (Text(metadata, kParametersKey) != *parameters) {
      return Refuse("these states were made with other parameters");
    }
    if (!absl::SimpleAtoi(Text(metadata, kPositionKey), &position_) || position_ < 0) {
      return Refuse("it doesn't say at which token the states are");
    }
    for (const HostTensor& value : values_) {
      if (FileName(value.spec().name) != kStartState) continue;
      if (value.spec().type == ElementType::kI64 && value.As<int64_t>()[0] != position_) {
        return Refuse("it says that the states are at token ", position_, ", but '", kStartState,
                      "' is ", value.As<int64_t>()[0]);
      }
    }
    return absl::OkStatus();
  }

  const std::vector<HostTensor>& values() const { return values_; }
  int64_t position() const { return position_; }

 private:
  template <typename... Parts>
  absl::Status Refuse(const Parts&... parts) const {
    return absl::FailedPreconditionError(absl::StrCat(path_, ": ", parts...));
  }

  absl::Status ReadTensors() {
    for (const Variable& variable : session_.program().variables) {
      if (variable.role != Role::kState) continue;
      const std::string name = FileName(variable.spec.name);
      const SafetensorsEntry* entry = file_.Find(name);
      if (entry == nullptr) return Refuse("lacks the state '", name, "'");
      const std::vector<int64_t>& shape = variable.spec.shape;
      TensorSpec one_row = variable.spec;
      if (!shape.empty()) one_row.shape[0] = 1;
      if (!SameLayout(entry->spec, variable.spec) && !SameLayout(entry->spec, one_row)) {
        TensorSpec wanted = variable.spec;
        wanted.name = name;
        return Refuse("holds ", entry->spec.ToString(), "; the program has ", wanted.ToString());
      }
      HostTensor value(variable.spec);
      // Once, or for each row.
      for (size_t done = 0; done < value.bytes().size(); done += entry->data.size())
        std::copy(entry->data.begin(), entry->data.end(), value.bytes().begin() + done);
      values_.push_back(std::move(value));
    }
    if (values_.size() == file_.entries().size()) return absl::OkStatus();
    std::set<std::string> names;
    for (const HostTensor& value : values_) names.insert(FileName(value.spec().name));
    for (const SafetensorsEntry& entry : file_.entries()) {
      if (names.count(entry.spec.name) > 0) continue;
      return Refuse("holds a state '", entry.spec.name, "' that the program lacks");
    }
    return absl::OkStatus();
  }

  const Session& session_;
  const SafetensorsFile& file_;
  const std::string& path_;
  std::vector<HostTensor> values_;
  int64_t position_ = 0;
};

}  // namespace

absl::Status Stream::SaveState(const std::string& path,
                               const std::map<std::string, std::string>& more) const {
  std::vector<HostTensor> tensors;
  for (const Variable& variable : session_->program().variables) {
    if (variable.role != Role::kState) continue;
    absl::StatusOr<HostTensor> value = session_->ReadVariable(variable.spec.name);
    if (!value.ok()) return value.status();
    value->Rename(FileName(variable.spec.name));
    tensors.push_back(*std::move(value));
  }
  absl::StatusOr<std::string> parameters = ParameterFingerprint(*session_);
  if (!parameters.ok()) return parameters.status();
  std::map<std::string, std::string> metadata = {{kFormatKey, kFormat},
                                                 {kModelKey, ModelFingerprint(session_->program())},
                                                 {kParametersKey, *parameters},
                                                 {kPositionKey, absl::StrCat(position_)}};
  metadata.insert(more.begin(), more.end());
  return WriteSafetensors(path, tensors, metadata);
}

absl::Status Stream::LoadState(const std::string& path) {
  absl::StatusOr<SafetensorsFile> file = SafetensorsFile::Open(path);
  if (!file.ok()) return file.status();
  StateReader reader(*session_, *file, path);
  if (absl::Status status = reader.Read(); !status.ok()) return status;
  for (const HostTensor& value : reader.values()) {
    absl::Status status = session_->WriteVariable(value.spec().name, value);
    if (!status.ok()) return status;
  }
  position_ = reader.position();
  return absl::OkStatus();
}

}  // namespace weir::runtime
