// Continues sequences of tokens, many at once.
//
//   GenerationOptions options;
//   options.tokens = 500;
//   auto result = Generate(model, prompts, options, [](int64_t sequence, int32_t token) {...});
#ifndef WEIR_RUNTIME_GENERATION_GENERATE_H_
#define WEIR_RUNTIME_GENERATION_GENERATE_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "runtime/generation/sampler.h"

namespace weir::runtime {

// A model that reads tokens in order and says what may follow: several sequences side by side, of
// which each has read as many tokens as the others.
class TokenModel {
 public:
  virtual ~TokenModel() = default;

  virtual int64_t sequences() const = 0;
  // Tokens that each sequence has read.
  virtual int64_t position() const = 0;
  // How many tokens of each sequence it is best given at once, if there are that many.
  virtual int64_t block() const = 0;
  // Reads `tokens` (sequences x n, row-major, n > 0) and gives the logits for what follows the last
  // of them: sequences x classes, valid until the next call.
  virtual absl::StatusOr<absl::Span<const double>> Read(absl::Span<const int32_t> tokens) = 0;
};

struct GenerationOptions {
  int64_t tokens = 0;      // for each sequence
  int64_t vocabulary = 0;  // tokens are below it; 0: as many as there are logits
  SamplingOptions sampling;
};

struct GenerationResult {
  // Tokens of all sequences together that were read at once, as far as the shortest prompt goes,
  // and the time for it; tokens that were drawn, and the time for everything after.
  int64_t read_tokens = 0, generated_tokens = 0;
  double read_seconds = 0, generation_seconds = 0;
  // The last token of each sequence, which the model hasn't read: what comes first when it goes on.
  std::vector<int32_t> last;
};

// Reads the prompts and appends `tokens` to each. Prompts may differ in length: a shorter one's
// sequence goes on while the longer ones are still being read. `emit` sees each new token as it
// comes, those of one position in the order of the sequences. A token depends on its sequence's
// text, number and position alone, so that the same seed gives the same text however it is split
// into calls and whatever runs beside it.
//
// InvalidArgument if there aren't as many prompts as the model has sequences, if one is empty, or
// if logits are no numbers; what `emit` returns ends the run.
absl::StatusOr<GenerationResult> Generate(
    TokenModel& model, absl::Span<const std::vector<int32_t>> prompts,
    const GenerationOptions& options,
    const std::function<absl::Status(int64_t sequence, int32_t token)>& emit);

}  // namespace weir::runtime

#endif  // WEIR_RUNTIME_GENERATION_GENERATE_H_
