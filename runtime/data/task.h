// What a model learns from. A task fills a batch of tokens and targets from (seed, index) alone:
// the same pair gives the same batch on every machine, so training needs no state of the data
// beyond the step.
#ifndef WEIR_RUNTIME_DATA_TASK_H_
#define WEIR_RUNTIME_DATA_TASK_H_

#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "runtime/data/vocabulary.h"
#include "runtime/program/program.h"

namespace weir::runtime {

// A batch: `tokens` and `targets`, batch first. Targets are class numbers (i32); -1 masks a
// position. Where rows hold several documents, `segments` (i32, batch x time) says which token is
// of which (segments.h has the rule), and no document's last token has a target of the next one.
struct TaskSpec {
  TensorSpec tokens;
  TensorSpec targets;
  std::optional<TensorSpec> segments;
  int64_t vocabulary = 0;          // tokens and targets are below it
  Vocabulary text;                 // where tokens are the bytes of a text; else empty
  bool accuracy = false;           // whether the share of right targets means something
  bool sequence_accuracy = false;  // and the share of sequences with all targets right

  // Where batches are read in order: row b of batch i continues row b of batch i - 1, but where i
  // is a multiple of this: there all rows begin anew. 0: batches have nothing to do with each
  // other. For held-out batches the beginning is batch 0 alone.
  int64_t stream_batches = 0;

  // Tokens of a batch: its positions, masked or not.
  int64_t TokensPerBatch() const { return targets.NumElements(); }
};

// Where a batch goes: buffers of the sizes of the specs; `segments` is empty if the spec has none.
struct TaskBatch {
  absl::Span<char> tokens, targets, segments;
};

class Task {
 public:
  virtual ~Task() = default;

  virtual const TaskSpec& spec() const = 0;

  // Writes training batch `index` of the run `seed`.
  virtual absl::Status FillTrain(int64_t seed, int64_t index, const TaskBatch& batch) const = 0;

  // Held-out batches: always the same ones, 0 .. eval_batches()-1. What a last batch lacks is
  // masked.
  virtual int64_t eval_batches() const = 0;
  virtual absl::Status FillEval(int64_t index, const TaskBatch& batch) const = 0;
};

}  // namespace weir::runtime

#endif  // WEIR_RUNTIME_DATA_TASK_H_
