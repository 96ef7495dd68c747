// Draws a token from logits.
//
//   absl::StatusOr<Sampler> sampler = Sampler::Create({.temperature = 0.8, .top_k = 40});
//   absl::StatusOr<int32_t> token = sampler->Sample(logits, /*sequence=*/0, /*position=*/17);
#ifndef WEIR_RUNTIME_GENERATION_SAMPLER_H_
#define WEIR_RUNTIME_GENERATION_SAMPLER_H_

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace weir::runtime {

// Applied in this order: logits are divided by the temperature; the top_k likeliest tokens stay; of
// these, the fewest likeliest whose probabilities add up to top_p stay. Equally likely tokens are
// ordered by their numbers.
struct SamplingOptions {
  double temperature = 1;  // 0: the likeliest token, always
  int64_t top_k = 0;       // 0: all
  double top_p = 1;        // in (0, 1]
  int64_t seed = 1;
};

class Sampler {
 public:
  // InvalidArgument names the option that is out of range.
  static absl::StatusOr<Sampler> Create(const SamplingOptions& options);

  // A token in [0, logits.size()). It depends on (seed, sequence, position) and the logits alone:
  // not on what was drawn before, nor on who draws. `position` is the token's place in its
  // sequence. A logit may be -inf (its token is never drawn); InvalidArgument if one is NaN or
  // +inf, or if there is none above -inf.
  absl::StatusOr<int32_t> Sample(absl::Span<const double> logits, int64_t sequence,
                                 int64_t position);

 private:
  explicit Sampler(const SamplingOptions& options) : options_(options) {}

  // Leaves the candidates that top_k and top_p let through, likeliest first.
  void Restrict();

  SamplingOptions options_;
  std::vector<std::pair<double, int32_t>> candidates_;  // weight, token; kept for its memory
};

}  // namespace weir::runtime

#endif  // WEIR_RUNTIME_GENERATION_SAMPLER_H_
