#include "runtime/plugin/plugin_task.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <memory>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "runtime/data/segments.h"
#include "runtime/plugin/layer_text.h"

namespace weir::runtime {
namespace {

constexpr char kBatch[] = "batch";
constexpr char kEvalSequences[] = "eval_sequences";

class OptionParser {
 public:
  explicit OptionParser(absl::string_view text) : text_(text) {}

  absl::StatusOr<std::vector<TaskOption>> Parse() {
    std::vector<TaskOption> options;
    SkipSpace();
    if (rest().empty()) return options;
    while (true) {
      TaskOption option;
      option.name = std::string(Word());
      if (!IsValidName(option.name)) return Error("expected an option's name");
      if (!Consume('=')) return Error("expected '='");
      absl::StatusOr<OptionValue> value = Value();
      if (!value.ok()) return value.status();
      option.default_value = *std::move(value);
      for (const TaskOption& other : options) {
        if (other.name == option.name) return Error(absl::StrCat("'", option.name, "' again"));
      }
      options.push_back(std::move(option));
      if (Consume(',')) continue;
      if (rest().empty()) return options;
      return Error("expected ','");
    }
  }

 private:
  absl::string_view rest() const { return text_.substr(position_); }

  void SkipSpace() {
    while (position_ < text_.size() && absl::ascii_isspace(text_[position_])) ++position_;
  }

  bool Consume(char c) {
    SkipSpace();
    if (rest().empty() || rest().front() != c) return false;
    ++position_;
    SkipSpace();
    return true;
  }

  // Up to a space, '=' or ','.
  absl::string_view Word() {
    SkipSpace();
    const size_t begin = position_;
    while (position_ < text_.size() && !absl::ascii_isspace(text_[position_]) &&
           text_[position_] != '=' && text_[position_] != ',') {
      ++position_;
    }
    return text_.substr(begin, position_ - begin);
  }

  absl::Status Error(absl::string_view what) const {
    return absl::InvalidArgumentError(
        absl::StrCat("options \"", text_, "\": ", what, " at column ", position_ + 1));
  }

  absl::StatusOr<OptionValue> Value() {
    if (absl::StartsWith(rest(), "\"")) return Text();
    const absl::string_view word = Word();
    if (word == "true") return OptionValue(true);
    if (word == "false") return OptionValue(false);
    int64_t integer;
    if (absl::SimpleAtoi(word, &integer)) return OptionValue(integer);
    double real;
    if (absl::SimpleAtod(word, &real)) return OptionValue(real);
    return Error("expected a number, true, false, or text in quotes");
  }

  absl::StatusOr<OptionValue> Text() {
    std::string value;
    for (++position_; position_ < text_.size(); ++position_) {
      char c = text_[position_];
      if (c == '"') {
        ++position_;
        SkipSpace();
        return OptionValue(std::move(value));
      }
      if (c == '\\' && position_ + 1 < text_.size()) c = text_[++position_];
      value += c;
    }
    return Error("text that doesn't end");
  }

  absl::string_view text_;
  size_t position_ = 0;
};

// Streams of training have odd seeds, the held-out one an even seed: they never meet.
constexpr uint64_t kEvalSeed = 0;
uint64_t TrainSeed(int64_t seed) { return 2 * static_cast<uint64_t>(seed) + 1; }

class PluginTaskInstance : public Task {
 public:
  PluginTaskInstance(std::string name, const WeirTask& functions, void* user, int64_t batch,
                     int64_t eval_sequences)
      : name_(std::move(name)),
        functions_(functions),
        user_(user),
        batch_(batch),
        eval_sequences_(eval_sequences) {}

  ~PluginTaskInstance() override {
    if (functions_.destroy != nullptr) functions_.destroy(user_);
  }

  // What the instance says of itself, checked.
  absl::Status Init() {
    length_ = functions_.length(user_);
    const int64_t vocabulary = functions_.vocabulary(user_);
    if (length_ < 1 || length_ > std::numeric_limits<int32_t>::max() / batch_) {
      return absl::InvalidArgumentError(
          absl::StrCat("task '", name_, "': its length is ", length_));
    }
    if (vocabulary < 1 || vocabulary > std::numeric_limits<int32_t>::max()) {
      return absl::InvalidArgumentError(
          absl::StrCat("task '", name_, "': its vocabulary is ", vocabulary));
    }
    spec_.tokens = {"tokens", ElementType::kI32, {batch_, length_}};
    spec_.targets = {"targets", ElementType::kI32, {batch_, length_}};
    if (functions_.fill_packed != nullptr) {
      spec_.segments = {"segments", ElementType::kI32, {batch_, length_}};
    }
    spec_.vocabulary = vocabulary;
    spec_.accuracy = spec_.sequence_accuracy = true;
    return absl::OkStatus();
  }

  const TaskSpec& spec() const override { return spec_; }

  absl::Status FillTrain(int64_t seed, int64_t index, const TaskBatch& out) const override {
    return Fill(TrainSeed(seed), index, std::numeric_limits<int64_t>::max(), out);
  }

  int64_t eval_batches() const override { return (eval_sequences_ + batch_ - 1) / batch_; }

  absl::Status FillEval(int64_t index, const TaskBatch& out) const override {
    return Fill(kEvalSeed, index, eval_sequences_, out);
  }

 private:
  // Rows from sequence number `sequences` on are filled too, but masked.
  absl::Status Fill(uint64_t seed, int64_t index, int64_t sequences, const TaskBatch& out) const {
    for (int64_t row = 0; row < batch_; ++row) {
      const int64_t sequence = index * batch_ + row;
      const auto RowOf = [&](absl::Span<char> bytes) {
        return reinterpret_cast<int32_t*>(bytes.data()) + row * length_;
      };
      int32_t* token = RowOf(out.tokens);
      int32_t* target = RowOf(out.targets);
      const auto number = static_cast<uint64_t>(sequence);
      const int32_t result =
          functions_.fill_packed != nullptr
              ? functions_.fill_packed(user_, seed, number, token, target, RowOf(out.segments))
              : functions_.fill(user_, seed, number, token, target);
      if (result != 0) {
        return absl::InternalError(absl::StrCat("task '", name_, "': ", FillName(), " returned ",
                                                result, " for sequence ", sequence));
      }
      // Kernels index by these: a token out of range must not get there.
      const auto inside = [this](int64_t low, const int32_t* values) {
        return std::all_of(values, values + length_,
                           [&](int32_t value) { return value >= low && value < spec_.vocabulary; });
      };
      if (!inside(0, token) || !inside(-1, target)) {
        return absl::OutOfRangeError(absl::StrCat("task '", name_, "': sequence ", sequence,
                                                  " has a token or target outside the vocabulary"
                                                  " of ",
                                                  spec_.vocabulary));
      }
      if (functions_.fill_packed != nullptr) {
        absl::Status status = CheckSegments(absl::MakeSpan(RowOf(out.segments), length_), length_);
        if (!status.ok()) {
          return absl::InvalidArgumentError(
              absl::StrCat("task '", name_, "': sequence ", sequence, ": ", status.message()));
        }
      }
      if (sequence >= sequences) std::fill(target, target + length_, -1);
    }
    return absl::OkStatus();
  }

  const char* FillName() const {
    return functions_.fill_packed != nullptr ? "fill_packed()" : "fill()";
  }

  std::string name_;
  WeirTask functions_;
  void* user_;
  int64_t batch_, eval_sequences_, length_ = 0;
  TaskSpec spec_;
};

// The options that differ from their defaults, as text.
std::string ChangedOptions(const std::vector<TaskOption>& options, const OptionMap& values) {
  std::string text;
  for (const TaskOption& option : options) {
    const OptionValue& value = values.find(option.name)->second;
    if (value == option.default_value) continue;
    absl::StrAppend(&text, text.empty() ? "" : ", ", option.name, " = ", OptionText(value));
  }
  return text;
}

absl::StatusOr<std::unique_ptr<Task>> CreateTask(const std::string& name, const WeirTask& functions,
                                                 const std::vector<TaskOption>& own_options,
                                                 const OptionMap& values) {
  absl::Status status = CheckRange(name, values, kBatch, 1, int64_t{1} << 20);
  if (status.ok()) status = CheckRange(name, values, kEvalSequences, 1, int64_t{1} << 30);
  if (!status.ok()) return status;
  const std::string options = ChangedOptions(own_options, values);
  void* user = nullptr;
  char error[1024] = "";
  if (functions.create(options.c_str(), &user, error, sizeof(error)) != 0) {
    error[sizeof(error) - 1] = '\0';
    return absl::InvalidArgumentError(absl::StrCat("task '", name, "': ", error));
  }
  auto task = std::make_unique<PluginTaskInstance>(
      name, functions, user, IntegerOption(values, kBatch), IntegerOption(values, kEvalSequences));
  status = task->Init();
  if (!status.ok()) return status;
  return task;
}

}  // namespace

absl::StatusOr<std::vector<TaskOption>> ParseTaskOptions(absl::string_view text) {
  return OptionParser(text).Parse();
}

absl::Status AddPluginTasks(const Registry& registry, TaskRegistry& tasks) {
  for (const auto& [name, registered] : registry.tasks()) {
    const auto refuse = [&, &name = name, &source = registered.source](absl::string_view reason) {
      return absl::InvalidArgumentError(absl::StrCat(source, ": task '", name, "': ", reason));
    };
    absl::StatusOr<std::vector<TaskOption>> own = ParseTaskOptions(registered.task.options);
    if (!own.ok()) return refuse(own.status().message());
    TaskInfo info;
    info.name = name;
    info.doc = registered.task.doc;
    info.source = registered.source;
    info.options = *own;
    for (const TaskOption& option : {TaskOption{kBatch, int64_t{16}, "sequences in a batch"},
                                     {kEvalSequences, int64_t{1024}, "held-out sequences"}}) {
      for (const TaskOption& other : *own) {
        if (other.name == option.name) {
          return refuse(absl::StrCat("the option '", option.name, "' is the host's"));
        }
      }
      info.options.push_back(option);
    }
    info.create = [name = name, functions = registered.task.functions, own = *own](
                      const OptionMap& values) { return CreateTask(name, functions, own, values); };
    absl::Status status = tasks.Add(std::move(info));
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace weir::runtime
