// Selective copying (Gu & Dao, "Mamba", 2023, and the generator released with minGRU): data tokens
// stand at random places among noise; after them come markers, at which the data tokens must be
// repeated in order.
#include <algorithm>
#include <memory>
#include <tuple>
#include <utility>

#include "runtime/data/random.h"
#include "runtime/data/task_registry.h"

namespace weir::runtime {
namespace {

constexpr char kName[] = "selective_copy";
constexpr int32_t kMarker = 0;
constexpr uint32_t kTrainStream = 1, kEvalStream = 2;
// The held-out sequences are the same for every run.
constexpr int64_t kEvalSeed = 0;

class SelectiveCopy : public Task {
 public:
  explicit SelectiveCopy(const OptionMap& options)
      : length_(IntegerOption(options, "length")),
        copied_(IntegerOption(options, "tokens")),
        eval_sequences_(IntegerOption(options, "eval_sequences")) {
    int64_t batch = IntegerOption(options, "batch");
    spec_.tokens = {"tokens", ElementType::kI32, {batch, length_ + copied_}};
    spec_.targets = {"targets", ElementType::kI32, {batch, length_ + copied_}};
    spec_.vocabulary = IntegerOption(options, "vocabulary");
    spec_.accuracy = spec_.sequence_accuracy = true;
  }

  const TaskSpec& spec() const override { return spec_; }

  absl::Status FillTrain(int64_t seed, int64_t index, const TaskBatch& out) const override {
    for (int64_t row = 0; row < batch(); ++row) {
      FillRow(RandomSequence(seed, kTrainStream, index * batch() + row), row, out);
    }
    return absl::OkStatus();
  }

  int64_t eval_batches() const override { return (eval_sequences_ + batch() - 1) / batch(); }

  absl::Status FillEval(int64_t index, const TaskBatch& out) const override {
    for (int64_t row = 0; row < batch(); ++row) {
      int64_t sequence = index * batch() + row;
      FillRow(RandomSequence(kEvalSeed, kEvalStream, sequence), row, out);
      if (sequence >= eval_sequences_) {
        int32_t* target = reinterpret_cast<int32_t*>(out.targets.data()) + row * row_length();
        std::fill(target, target + row_length(), -1);
      }
    }
    return absl::OkStatus();
  }

 private:
  int64_t batch() const { return spec_.tokens.shape[0]; }
  int64_t row_length() const { return length_ + copied_; }

  void FillRow(RandomSequence random, int64_t row, const TaskBatch& out) const {
    int32_t* token = reinterpret_cast<int32_t*>(out.tokens.data()) + row * row_length();
    int32_t* target = reinterpret_cast<int32_t*>(out.targets.data()) + row * row_length();
    const int32_t noise = static_cast<int32_t>(spec_.vocabulary) - 1;
    int64_t placed = 0;
    for (int64_t t = 0; t < length_; ++t) {
      target[t] = -1;
      token[t] = noise;
      // Selection sampling: each set of places is as likely as any other.
      if (random.Below(length_ - t) < copied_ - placed) {
        token[t] = 1 + static_cast<int32_t>(random.Below(spec_.vocabulary - 2));
        target[length_ + placed++] = token[t];
      }
    }
    std::fill(token + length_, token + row_length(), kMarker);
  }

  TaskSpec spec_;
  int64_t length_, copied_, eval_sequences_;
};

absl::StatusOr<std::unique_ptr<Task>> Create(const OptionMap& options) {
  for (auto [option, low, high] :
       {std::tuple<const char*, int64_t, int64_t>{"length", 1, int64_t{1} << 30},
        {"tokens", 1, IntegerOption(options, "length")},
        {"vocabulary", 3, int64_t{1} << 30},
        {"batch", 1, int64_t{1} << 20},
        {"eval_sequences", 1, int64_t{1} << 30}}) {
    absl::Status status = CheckRange(kName, options, option, low, high);
    if (!status.ok()) return status;
  }
  return std::make_unique<SelectiveCopy>(options);
}

}  // namespace

TaskInfo SelectiveCopyTask() {
  return {kName,
          "repeat the data tokens found among noise, in order",
          "built in",
          {{"length", int64_t{4096},
            "positions with data and noise; as many markers as `tokens` follow"},
           {"tokens", int64_t{16}, "data tokens in a sequence"},
           {"vocabulary", int64_t{16}, "0 is the marker, the last is noise, data is between"},
           {"batch", int64_t{64}, "sequences in a batch"},
           {"eval_sequences", int64_t{1024}, "held-out sequences"}},
          Create};
}

}  // namespace weir::runtime
