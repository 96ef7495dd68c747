#include "runtime/data/random_tokens.h"

#include <algorithm>
#include <utility>

#include "runtime/data/random.h"

namespace weir::runtime {
namespace {

constexpr uint32_t kTrainStream = 6, kEvalStream = 7;

class Random : public Task {
 public:
  explicit Random(TaskSpec spec) : spec_(std::move(spec)) {}

  const TaskSpec& spec() const override { return spec_; }
  int64_t eval_batches() const override { return 1; }

  absl::Status FillTrain(int64_t seed, int64_t index, const TaskBatch& batch) const override {
    Fill(RandomSequence(seed, kTrainStream, index), batch);
    return absl::OkStatus();
  }

  absl::Status FillEval(int64_t index, const TaskBatch& batch) const override {
    Fill(RandomSequence(0, kEvalStream, index), batch);
    return absl::OkStatus();
  }

 private:
  void Fill(RandomSequence random, const TaskBatch& batch) const {
    for (absl::Span<char> bytes : {batch.tokens, batch.targets}) {
      int32_t* begin = reinterpret_cast<int32_t*>(bytes.data());
      std::generate(begin, begin + bytes.size() / sizeof(int32_t),
                    [&] { return static_cast<int32_t>(random.Below(spec_.vocabulary)); });
    }
    std::fill(batch.segments.begin(), batch.segments.end(), 0);
  }

  TaskSpec spec_;
};

}  // namespace

std::unique_ptr<Task> RandomTokens(TaskSpec spec) {
  return std::make_unique<Random>(std::move(spec));
}

}  // namespace weir::runtime
