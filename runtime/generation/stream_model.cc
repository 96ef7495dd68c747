#include "runtime/generation/stream_model.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "runtime/checkpoint/safetensors.h"

namespace weir::runtime {
namespace {

constexpr char kUnread[] = "weir.unread";

std::string Listed(const std::vector<TensorSpec>& specs) {
  return absl::StrJoin(specs, ", ", [](std::string* text, const TensorSpec& spec) {
    absl::StrAppend(text, spec.ToString());
  });
}

}  // namespace

absl::StatusOr<StreamModel> StreamModel::Create(Stream stream) {
  const std::vector<TensorSpec>&inputs = stream.inputs(), &outputs = stream.outputs();
  if (inputs.size() != 1 || inputs[0].type != ElementType::kI32 || inputs[0].shape.size() != 2) {
    return absl::InvalidArgumentError(absl::StrCat("the model doesn't read text: it takes ",
                                                   Listed(inputs),
                                                   ", where text is token numbers, batch x time"));
  }
  if (outputs.size() != 1 || outputs[0].shape.size() != 3) {
    return absl::InvalidArgumentError(
        absl::StrCat("the model doesn't write text: it gives ", Listed(outputs),
                     ", not a number for each token that may follow, batch x time x tokens"));
  }
  return StreamModel(std::move(stream));
}

absl::StatusOr<absl::Span<const double>> StreamModel::Read(absl::Span<const int32_t> tokens) {
  TensorSpec spec = stream_.inputs()[0];
  spec.shape[1] = static_cast<int64_t>(tokens.size()) / sequences();
  if (inputs_.empty() || !SameLayout(inputs_[0].spec(), spec))
    inputs_.assign(1, HostTensor(std::move(spec)));
  std::copy(tokens.begin(), tokens.end(), inputs_[0].As<int32_t>().begin());
  absl::Status status = stream_.Prefill(inputs_, Stream::Outputs::kLast, &outputs_);
  if (!status.ok()) return status;
  logits_.resize(sequences() * classes());
  for (size_t i = 0; i < logits_.size(); ++i)
    logits_[i] = outputs_[0].Number(static_cast<int64_t>(i));
  return absl::MakeConstSpan(logits_);
}

absl::Status StreamModel::Save(const std::string& path, absl::Span<const int32_t> unread) const {
  return stream_.SaveState(path, {{kUnread, absl::StrJoin(unread, ",")}});
}

absl::Status StreamModel::Load(const std::string& path, std::vector<int32_t>* unread) {
  absl::StatusOr<SafetensorsFile> file = SafetensorsFile::Open(path);
  if (!file.ok()) return file.status();
  unread->clear();
  auto text = file->metadata().find(kUnread);
  if (text != file->metadata().end()) {
    for (absl::string_view number : absl::StrSplit(text->second, ',', absl::SkipEmpty())) {
      int32_t token;
      if (!absl::SimpleAtoi(number, &token) || token < 0 || token >= classes())
        return absl::InvalidArgumentError(
            absl::StrCat(path, ": '", number, "' is no token of the model"));
      unread->push_back(token);
    }
  }
  if (unread->size() == 1) unread->resize(sequences(), (*unread)[0]);
  return stream_.LoadState(path);
}

}  // namespace weir::runtime
