// The bytes of a text file, to be predicted one by one. The file's end is held out; the split is
// nanoGPT's: the first floor(n (1 - validation)) bytes train. Shuffled, a training batch has
// windows at random places, and an evaluation goes through the whole held-out part in windows that
// don't overlap. As streams, each row of the batch reads a piece of its own in order, window by
// window: all pieces of the training part are equally long, a whole number of windows, and begin
// together again when they have been read, a bit further on or back, so that what is left over is
// read too.
//
// With `documents` the text is cut at a separator into documents, which are packed whole into rows
// (documents.h); the held-out documents are those that begin in the file's end.
#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/base/file.h"
#include "runtime/data/documents.h"
#include "runtime/data/random.h"
#include "runtime/data/task_registry.h"

namespace weir::runtime {
namespace {

constexpr char kName[] = "text";
constexpr uint32_t kTrainStream = 3;
constexpr uint32_t kOffsetStream = 5;

class Text : public Task {
 public:
  // `ids`: the text as token ids.
  Text(std::string ids, int64_t train_size, TaskSpec spec)
      : spec_(std::move(spec)), text_(std::move(ids)), train_size_(train_size) {}

  const TaskSpec& spec() const override { return spec_; }

  absl::Status FillTrain(int64_t seed, int64_t index, const TaskBatch& out) const override {
    if (streams()) {
      int64_t pass = index / spec_.stream_batches, window = index % spec_.stream_batches;
      int64_t piece = spec_.stream_batches * context();
      int64_t offset =
          RandomSequence(seed, kOffsetStream, pass).Below(train_size_ - batch() * piece);
      for (int64_t row = 0; row < batch(); ++row) {
        FillRow(offset + row * piece + window * context(), train_size_, row, out);
      }
      return absl::OkStatus();
    }
    for (int64_t row = 0; row < batch(); ++row) {
      RandomSequence random(seed, kTrainStream, index * batch() + row);
      FillRow(random.Below(train_size_ - context()), train_size_, row, out);
    }
    return absl::OkStatus();
  }

  int64_t eval_batches() const override {
    if (streams()) return (eval_piece() + context() - 1) / context();
    int64_t windows = (held_out() + context() - 1) / context();
    return (windows + batch() - 1) / batch();
  }

  absl::Status FillEval(int64_t index, const TaskBatch& out) const override {
    for (int64_t row = 0; row < batch(); ++row) {
      if (streams()) {
        int64_t begin = train_size_ + row * eval_piece();
        int64_t end = std::min<int64_t>(text_.size(), begin + eval_piece() + 1);
        FillRow(begin + index * context(), end, row, out);
        continue;
      }
      FillRow(train_size_ + (index * batch() + row) * context(), text_.size(), row, out);
    }
    return absl::OkStatus();
  }

 private:
  int64_t batch() const { return spec_.tokens.shape[0]; }
  int64_t context() const { return spec_.tokens.shape[1]; }
  bool streams() const { return spec_.stream_batches > 0; }
  // Held-out bytes that have one before them, and how many of them a row reads.
  int64_t held_out() const { return static_cast<int64_t>(text_.size()) - train_size_ - 1; }
  int64_t eval_piece() const { return (held_out() + batch() - 1) / batch(); }

  // The window at `begin`; positions whose next byte isn't before `end` are masked.
  void FillRow(int64_t begin, int64_t end, int64_t row, const TaskBatch& out) const {
    int32_t* token = reinterpret_cast<int32_t*>(out.tokens.data()) + row * context();
    int32_t* target = reinterpret_cast<int32_t*>(out.targets.data()) + row * context();
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

struct PackedRows {
  std::vector<PackedRow> train, held_out;
};

// The documents of a text in rows.
absl::StatusOr<PackedRows> PackDocuments(const std::string& text, int64_t train_size,
                                         const OptionMap& options) {
  PackedRows rows;
  int64_t context = IntegerOption(options, "context");
  const std::string& separator = TextOption(options, "documents");
  std::vector<Piece> pieces = CutDocuments(text, separator, context);
  // No document is in both parts: the one at the border trains.
  size_t train = 0;
  bool inside = false;
  while (train < pieces.size() && (inside || pieces[train].begin < train_size)) {
    inside = pieces[train++].goes_on;
  }
  if (train == 0 || train == pieces.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", TextOption(options, "data"), "' has ", pieces.size(),
                     " documents or parts of them, none of which ",
                     train == 0 ? "is left for training" : "is held out"));
  }
  Packing how = TextOption(options, "packing") == "fit" ? Packing::kFit : Packing::kOrder;
  absl::Span<const Piece> all(pieces);
  rows.train = PackPieces(all.first(train), context, how);
  rows.held_out = PackPieces(all.subspan(train), context, how);
  return rows;
}

// Errors of the options, the file's place aside.
absl::Status CheckOptions(const OptionMap& options) {
  for (auto [option, low, high] :
       {std::tuple<const char*, int64_t, int64_t>{"context", 1, int64_t{1} << 30},
        {"batch", 1, int64_t{1} << 20}}) {
    absl::Status status = CheckRange(kName, options, option, low, high);
    if (!status.ok()) return status;
  }
  double validation = RealOption(options, "validation");
  if (!(validation > 0 && validation < 1)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the option 'validation' of the task 'text' must be between 0 and 1, not ", validation));
  }
  for (auto [option, one, other] : {std::array<const char*, 3>{"vocabulary", "characters", "bytes"},
                                    {"packing", "fit", "order"},
                                    {"order", "shuffled", "stream"}}) {
    const std::string& given = TextOption(options, option);
    if (given == one || given == other) continue;
    return absl::InvalidArgumentError(absl::StrCat("the option '", option,
                                                   "' of the task 'text' must be \"", one,
                                                   "\" or \"", other, "\", not \"", given, "\""));
  }
  if (TextOption(options, "order") == "stream" && !TextOption(options, "documents").empty()) {
    return absl::InvalidArgumentError(
        "the task 'text' can't read packed 'documents' in the order \"stream\"");
  }
  return absl::OkStatus();
}

absl::StatusOr<TaskSpec> Outline(const OptionMap& options) {
  if (absl::Status status = CheckOptions(options); !status.ok()) return status;
  const int64_t batch = IntegerOption(options, "batch"),
                context = IntegerOption(options, "context");
  TaskSpec spec;
  spec.tokens = {"tokens", ElementType::kI32, {batch, context}};
  spec.targets = {"targets", ElementType::kI32, {batch, context}};
  if (!TextOption(options, "documents").empty()) {
    spec.segments = {"segments", ElementType::kI32, {batch, context}};
  }
  if (TextOption(options, "vocabulary") == "bytes") spec.text = Vocabulary::Bytes();
  spec.vocabulary = spec.text.size();
  spec.accuracy = true;
  if (TextOption(options, "order") == "stream") spec.stream_batches = int64_t{1} << 20;
  return spec;
}

absl::StatusOr<std::unique_ptr<Task>> Create(const OptionMap& options) {
  const std::string& path = TextOption(options, "data");
  if (path.empty()) {
    return absl::InvalidArgumentError(
        "the task 'text' needs the option 'data', the path of a text file");
  }
  absl::StatusOr<TaskSpec> outline = Outline(options);
  if (!outline.ok()) return outline.status();
  TaskSpec spec = *std::move(outline);
  absl::StatusOr<std::string> text = ReadFile(path);
  if (!text.ok()) return text.status();
  int64_t size = text->size(), context = IntegerOption(options, "context");
  auto train_size = static_cast<int64_t>(size * (1 - RealOption(options, "validation")));
  bool packed = spec.segments.has_value();
  if (!packed && (train_size < context + 1 || size - train_size < 2)) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", path, "' is too short: of its ", size, " bytes ", train_size,
                     " are for training, and a window takes ", context + 1));
  }
  int64_t batch = IntegerOption(options, "batch");
  bool streams = spec.stream_batches > 0;
  if (streams && (train_size - 1) / batch < context) {
    return absl::InvalidArgumentError(absl::StrCat(
        "'", path, "' is too short: of its ", size, " bytes ", train_size,
        " are for training, and ", batch, " streams of a window each take ", batch * context + 1));
  }
  absl::StatusOr<PackedRows> rows = PackedRows();
  if (packed) rows = PackDocuments(*text, train_size, options);
  if (!rows.ok()) return rows.status();
  if (spec.text.empty()) spec.text = Vocabulary::Characters(*text);
  spec.vocabulary = spec.text.size();
  for (char& c : *text) c = static_cast<char>(spec.text.Number(c));
  if (streams) spec.stream_batches = (train_size - 1) / batch / context;
  if (packed) {
    return PackedTextTask(*std::move(text), std::move(rows->train), std::move(rows->held_out),
                          std::move(spec));
  }
  return std::make_unique<Text>(*std::move(text), train_size, std::move(spec));
}

}  // namespace

TaskInfo TextTask() {
  return {kName,
          "predict the next byte of a text file",
          "built in",
          {{"data", std::string(), "the file (needed)"},
           {"context", int64_t{256}, "bytes in a window"},
           {"batch", int64_t{64}, "windows in a batch"},
           {"order", std::string("shuffled"),
            "\"shuffled\": windows from random places; \"stream\": each row of a batch continues "
            "that of the batch before it (the default where states are carried)"},
           {"validation", 0.1, "share of the file, at its end, that is held out"},
           {"vocabulary", std::string("characters"),
            "\"characters\": the distinct bytes of the file; \"bytes\": all 256"},
           {"documents", std::string(),
            "what ends a document, such as \"\\n\\n\": rows hold whole documents, each of which is "
            "read as if it were alone; empty: the file is one text"},
           {"packing", std::string("fit"),
            "\"fit\": documents fill rows as well as they can; \"order\": they stay in order"}},
          Create,
          Outline};
}

}  // namespace weir::runtime
