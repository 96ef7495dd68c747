// Tokens and targets from a safetensors file, for data that was prepared elsewhere, with segment
// ids if rows hold several documents. Row i of one belongs to row i of the others; the last rows
// are held out. Targets are taken as they are: -1 where a document's last token predicts nothing.
#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "runtime/checkpoint/safetensors.h"
#include "runtime/data/random.h"
#include "runtime/data/segments.h"
#include "runtime/data/task_registry.h"

namespace weir::runtime {
namespace {

constexpr char kName[] = "tensors";
constexpr char kSegments[] = "segments";
constexpr uint32_t kTrainStream = 4;

class Tensors : public Task {
 public:
  Tensors(HostTensor tokens, HostTensor targets, std::optional<HostTensor> segments,
          int64_t train_rows, int64_t batch, int64_t vocabulary)
      : tokens_(std::move(tokens)),
        targets_(std::move(targets)),
        segments_(std::move(segments)),
        train_rows_(train_rows) {
    spec_.tokens = tokens_.spec();
    spec_.targets = targets_.spec();
    spec_.tokens.shape[0] = spec_.targets.shape[0] = batch;
    spec_.tokens.name = "tokens";
    spec_.targets.name = "targets";
    if (segments_) spec_.segments = {"segments", ElementType::kI32, spec_.targets.shape};
    spec_.vocabulary = vocabulary;
    spec_.accuracy = spec_.sequence_accuracy = true;
  }

  const TaskSpec& spec() const override { return spec_; }

  absl::Status FillTrain(int64_t seed, int64_t index, const TaskBatch& out) const override {
    for (int64_t row = 0; row < batch(); ++row) {
      RandomSequence random(seed, kTrainStream, index * batch() + row);
      FillRow(random.Below(train_rows_), row, out);
    }
    return absl::OkStatus();
  }

  int64_t eval_batches() const override { return (rows() - train_rows_ + batch() - 1) / batch(); }

  absl::Status FillEval(int64_t index, const TaskBatch& out) const override {
    for (int64_t row = 0; row < batch(); ++row) {
      int64_t source = train_rows_ + index * batch() + row;
      FillRow(std::min(source, rows() - 1), row, out);
      if (source >= rows()) {
        size_t bytes = out.targets.size() / batch();
        // -1 in every byte is -1 in every element.
        std::memset(out.targets.data() + row * bytes, 0xff, bytes);
      }
    }
    return absl::OkStatus();
  }

 private:
  int64_t batch() const { return spec_.tokens.shape[0]; }
  int64_t rows() const { return tokens_.spec().shape[0]; }

  void FillRow(int64_t source, int64_t row, const TaskBatch& out) const {
    auto copy = [&](const HostTensor& from, absl::Span<char> to) {
      size_t bytes = to.size() / batch();
      std::memcpy(to.data() + row * bytes, from.bytes().data() + source * bytes, bytes);
    };
    copy(tokens_, out.tokens);
    copy(targets_, out.targets);
    if (segments_) copy(*segments_, out.segments);
  }

  TaskSpec spec_;
  HostTensor tokens_, targets_;
  std::optional<HostTensor> segments_;
  int64_t train_rows_;
};

// Reads a tensor; integers become i32. `largest` is raised to the largest integer seen.
absl::StatusOr<HostTensor> ReadAsTokens(const SafetensorsFile& file, const std::string& path,
                                        const std::string& name, int64_t smallest_allowed,
                                        int64_t* largest) {
  absl::StatusOr<HostTensor> read = file.Read(name);
  if (!read.ok()) return read.status();
  TensorSpec spec = read->spec();
  if (spec.shape.empty() || spec.NumElements() == 0) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": tensor '", name, "' has no rows"));
  }
  if (spec.type == ElementType::kF32 || spec.type == ElementType::kF64 ||
      spec.type == ElementType::kBF16) {
    return read;
  }
  spec.type = ElementType::kI32;
  HostTensor result(spec);
  for (int64_t i = 0; i < spec.NumElements(); ++i) {
    int64_t value = read->spec().type == ElementType::kI64 ? read->As<int64_t>()[i]
                                                           : static_cast<int64_t>(read->Number(i));
    if (value < smallest_allowed || value > INT32_MAX) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": tensor '", name, "' holds ", value, ", which is no ",
                       smallest_allowed < 0 ? "target (-1 masks a position)" : "token"));
    }
    *largest = std::max(*largest, value);
    result.As<int32_t>()[i] = static_cast<int32_t>(value);
  }
  return result;
}

// The ids, as i32 of the shape of `targets`; nothing if the file has none and none were asked for.
absl::StatusOr<std::optional<HostTensor>> ReadSegments(const SafetensorsFile& file,
                                                       const std::string& path,
                                                       const std::string& name,
                                                       const TensorSpec& targets) {
  if (name == kSegments && file.Find(name) == nullptr) return std::nullopt;
  absl::StatusOr<HostTensor> read = file.Read(name);
  if (!read.ok()) return read.status();
  const ElementType type = read->spec().type;
  if ((type != ElementType::kI32 && type != ElementType::kI64) ||
      read->spec().shape != targets.shape || targets.shape.size() != 2) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": segment ids must be integers, one for each of ", targets.ToString(),
                     ", not ", read->spec().ToString()));
  }
  HostTensor ids({kSegments, ElementType::kI32, targets.shape});
  for (int64_t i = 0; i < ids.spec().NumElements(); ++i) {
    int64_t id = type == ElementType::kI64 ? read->As<int64_t>()[i] : read->As<int32_t>()[i];
    if (id < INT32_MIN || id > INT32_MAX) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": the segment id ", id, " doesn't fit 32 bits"));
    }
    ids.As<int32_t>()[i] = static_cast<int32_t>(id);
  }
  absl::Status status = CheckSegments(ids.As<int32_t>(), targets.shape[1]);
  if (!status.ok()) return absl::InvalidArgumentError(absl::StrCat(path, ": ", status.message()));
  return ids;
}

absl::StatusOr<std::unique_ptr<Task>> Create(const OptionMap& options) {
  for (auto [option, low, high] :
       {std::tuple<const char*, int64_t, int64_t>{"batch", 1, int64_t{1} << 20},
        {"vocabulary", 0, int64_t{1} << 30}}) {
    absl::Status status = CheckRange(kName, options, option, low, high);
    if (!status.ok()) return status;
  }
  const std::string& path = TextOption(options, "data");
  if (path.empty()) {
    return absl::InvalidArgumentError(
        "the task 'tensors' needs the option 'data', the path of a safetensors file");
  }
  double validation = RealOption(options, "validation");
  if (!(validation > 0 && validation < 1)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the option 'validation' of the task 'tensors' must be between 0 and 1, not ", validation));
  }
  absl::StatusOr<SafetensorsFile> file = SafetensorsFile::Open(path);
  if (!file.ok()) return file.status();
  int64_t largest = 0;
  auto tokens = ReadAsTokens(*file, path, TextOption(options, "tokens"), 0, &largest);
  if (!tokens.ok()) return tokens.status();
  auto targets = ReadAsTokens(*file, path, TextOption(options, "targets"), -1, &largest);
  if (!targets.ok()) return targets.status();
  if (targets->spec().type != ElementType::kI32) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": targets must be integers, not ", targets->spec().ToString()));
  }
  int64_t rows = tokens->spec().shape[0];
  if (targets->spec().shape[0] != rows) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": ", tokens->spec().ToString(), " and ",
                                                   targets->spec().ToString(),
                                                   " don't have the same number of rows"));
  }
  absl::StatusOr<std::optional<HostTensor>> segments =
      ReadSegments(*file, path, TextOption(options, kSegments), targets->spec());
  if (!segments.ok()) return segments.status();
  int64_t vocabulary = IntegerOption(options, "vocabulary");
  if (vocabulary == 0) vocabulary = largest + 1;
  if (largest >= vocabulary) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": holds ", largest, ", but the vocabulary is ", vocabulary));
  }
  int64_t train_rows = static_cast<int64_t>(rows * (1 - validation));
  if (train_rows < 1 || train_rows == rows) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": ", rows, " rows are too few to hold some out"));
  }
  return std::make_unique<Tensors>(*std::move(tokens), *std::move(targets), *std::move(segments),
                                   train_rows, IntegerOption(options, "batch"), vocabulary);
}

}  // namespace

TaskInfo TensorsTask() {
  return {kName,
          "tokens and targets from a safetensors file",
          "built in",
          {{"data", std::string(), "the file (needed)"},
           {"tokens", std::string("tokens"), "name of the tensor of inputs, rows first"},
           {"targets", std::string("targets"), "name of the tensor of classes; -1 masks"},
           {kSegments, std::string(kSegments),
            "name of the tensor of segment ids, if rows hold several documents"},
           {"batch", int64_t{16}, "rows in a batch"},
           {"vocabulary", int64_t{0}, "number of tokens; 0: the largest that occurs, plus 1"},
           {"validation", 0.1, "share of the rows, the last ones, that is held out"}},
          Create};
}

}  // namespace weir::runtime
