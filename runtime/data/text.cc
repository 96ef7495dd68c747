// The bytes of a text file, to be predicted one by one. The file's end is held out; the split is
// nanoGPT's: the first floor(n (1 - validation)) bytes train. A training batch has windows at
// random places; an evaluation goes through the whole held-out part in windows that don't overlap,
// with nothing carried from one to the next.
#include <algorithm>
#include <memory>
#include <string>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/base/file.h"
#include "runtime/data/random.h"
#include "runtime/data/task_registry.h"

namespace weir::runtime {
namespace {

constexpr char kName[] = "text";
constexpr uint32_t kTrainStream = 3;

class Text : public Task {
 public:
  // `ids`: the text as token ids.
  Text(std::string ids, int64_t train_size, Vocabulary vocabulary, int64_t batch, int64_t context)
      : text_(std::move(ids)), train_size_(train_size) {
    spec_.tokens = {"tokens", ElementType::kI32, {batch, context}};
    spec_.targets = {"targets", ElementType::kI32, {batch, context}};
    spec_.vocabulary = vocabulary.size();
    spec_.text = std::move(vocabulary);
    spec_.accuracy = true;
  }

  const TaskSpec& spec() const override { return spec_; }

  absl::Status FillTrain(int64_t seed, int64_t index, absl::Span<char> tokens,
                         absl::Span<char> targets) const override {
    for (int64_t row = 0; row < batch(); ++row) {
      RandomSequence random(seed, kTrainStream, index * batch() + row);
      FillRow(random.Below(train_size_ - context()), train_size_, row, tokens, targets);
    }
    return absl::OkStatus();
  }

  int64_t eval_batches() const override {
    int64_t predicted = static_cast<int64_t>(text_.size()) - train_size_ - 1;
    int64_t windows = (predicted + context() - 1) / context();
    return (windows + batch() - 1) / batch();
  }

  absl::Status FillEval(int64_t index, absl::Span<char> tokens,
                        absl::Span<char> targets) const override {
    for (int64_t row = 0; row < batch(); ++row) {
      FillRow(train_size_ + (index * batch() + row) * context(), text_.size(), row, tokens,
              targets);
    }
    return absl::OkStatus();
  }

 private:
  int64_t batch() const { return spec_.tokens.shape[0]; }
  int64_t context() const { return spec_.tokens.shape[1]; }

  // The window at `begin`; positions whose next byte isn't before `end` are masked.
  void FillRow(int64_t begin, int64_t end, int64_t row, absl::Span<char> tokens,
               absl::Span<char> targets) const {
    int32_t* token = reinterpret_cast<int32_t*>(tokens.data()) + row * context();
    int32_t* target = reinterpret_cast<int32_t*>(targets.data()) + row * context();
    for (int64_t t = 0; t < context(); ++t) {
      bool inside = begin + t + 1 < end;
      token[t] = inside ? static_cast<unsigned char>(text_[begin + t]) : 0;
      target[t] = inside ? static_cast<unsigned char>(text_[begin + t + 1]) : -1;
    }
  }

  TaskSpec spec_;
  std::string text_;
  int64_t train_size_;
};

absl::StatusOr<std::unique_ptr<Task>> Create(const OptionMap& options) {
  for (auto [option, low, high] :
       {std::tuple<const char*, int64_t, int64_t>{"context", 1, int64_t{1} << 30},
        {"batch", 1, int64_t{1} << 20}}) {
    absl::Status status = CheckRange(kName, options, option, low, high);
    if (!status.ok()) return status;
  }
  const std::string& path = TextOption(options, "data");
  const std::string& vocabulary = TextOption(options, "vocabulary");
  double validation = RealOption(options, "validation");
  if (path.empty()) {
    return absl::InvalidArgumentError(
        "the task 'text' needs the option 'data', the path of a text file");
  }
  if (!(validation > 0 && validation < 1)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the option 'validation' of the task 'text' must be between 0 and 1, not ", validation));
  }
  if (vocabulary != "characters" && vocabulary != "bytes") {
    return absl::InvalidArgumentError(absl::StrCat(
        "the option 'vocabulary' of the task 'text' must be \"characters\" or \"bytes\", not \"",
        vocabulary, "\""));
  }
  absl::StatusOr<std::string> text = ReadFile(path);
  if (!text.ok()) return text.status();
  int64_t size = text->size(), context = IntegerOption(options, "context");
  auto train_size = static_cast<int64_t>(size * (1 - validation));
  if (train_size < context + 1 || size - train_size < 2) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", path, "' is too short: of its ", size, " bytes ", train_size,
                     " are for training, and a window takes ", context + 1));
  }
  Vocabulary known = vocabulary == "bytes" ? Vocabulary::Bytes() : Vocabulary::Characters(*text);
  for (char& c : *text) c = static_cast<char>(known.Number(c));
  return std::make_unique<Text>(*std::move(text), train_size, std::move(known),
                                IntegerOption(options, "batch"), context);
}

}  // namespace

TaskInfo TextTask() {
  return {kName,
          "predict the next byte of a text file",
          "built in",
          {{"data", std::string(), "the file (needed)"},
           {"context", int64_t{256}, "bytes in a window"},
           {"batch", int64_t{64}, "windows in a batch"},
           {"validation", 0.1, "share of the file, at its end, that is held out"},
           {"vocabulary", std::string("characters"),
            "\"characters\": the distinct bytes of the file; \"bytes\": all 256"}},
          Create};
}

}  // namespace weir::runtime
