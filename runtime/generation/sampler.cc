#include "runtime/generation/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "runtime/data/random.h"

namespace weir::runtime {
namespace {

// Tells these numbers from others of the same seed (data/random.h).
constexpr uint32_t kStream = 0x67656e65;

// Uniform in [0, 1), a multiple of 2^-53.
double Uniform(int64_t seed, int64_t sequence, int64_t position) {
  auto low = [](int64_t x) { return static_cast<uint32_t>(x); };
  auto high = [](int64_t x) { return static_cast<uint32_t>(static_cast<uint64_t>(x) >> 32); };
  std::array<uint32_t, 4> bits =
      Philox({low(position), high(position), low(sequence), kStream}, {low(seed), high(seed)});
  uint64_t joined = uint64_t{bits[0]} << 32 | bits[1];
  return static_cast<double>(joined >> 11) * 0x1p-53;
}

bool Likelier(const std::pair<double, int32_t>& a, const std::pair<double, int32_t>& b) {
  return a.first > b.first || (a.first == b.first && a.second < b.second);
}

}  // namespace

absl::StatusOr<Sampler> Sampler::Create(const SamplingOptions& options) {
  // Written so that NaN is out of range.
  if (!(options.temperature >= 0 && std::isfinite(options.temperature)))
    return absl::InvalidArgumentError(
        absl::StrCat("the temperature must be at least 0, not ", options.temperature));
  if (options.top_k < 0)
    return absl::InvalidArgumentError(
        absl::StrCat("top_k must be at least 1, or 0 for all tokens, not ", options.top_k));
  if (!(options.top_p > 0 && options.top_p <= 1))
    return absl::InvalidArgumentError(
        absl::StrCat("top_p must be above 0 and at most 1, not ", options.top_p));
  return Sampler(options);
}

void Sampler::Restrict() {
  auto size = static_cast<int64_t>(candidates_.size());
  bool cut = options_.top_k > 0 && options_.top_k < size;
  if (!cut && options_.top_p >= 1) return;
  if (cut) {
    std::partial_sort(candidates_.begin(), candidates_.begin() + options_.top_k, candidates_.end(),
                      Likelier);
    candidates_.resize(options_.top_k);
  } else {
    std::sort(candidates_.begin(), candidates_.end(), Likelier);
  }
  if (options_.top_p >= 1) return;
  double total = 0, sum = 0;
  for (const auto& [weight, token] : candidates_) total += weight;
  size_t count = 0;
  while (count < candidates_.size() && sum < options_.top_p * total)
    sum += candidates_[count++].first;
  candidates_.resize(count);
}

absl::StatusOr<int32_t> Sampler::Sample(absl::Span<const double> logits, int64_t sequence,
                                        int64_t position) {
  double largest = -std::numeric_limits<double>::infinity();
  int32_t likeliest = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (std::isnan(logits[i]) || logits[i] == std::numeric_limits<double>::infinity()) {
      return absl::InvalidArgumentError(absl::StrCat("the logit of token ", i, " is ", logits[i],
                                                     " at position ", position, " of sequence ",
                                                     sequence));
    }
    if (logits[i] > largest) {
      largest = logits[i];
      likeliest = static_cast<int32_t>(i);
    }
  }
  if (std::isinf(largest)) {
    return absl::InvalidArgumentError(absl::StrCat("no token is possible at position ", position,
                                                   " of sequence ", sequence,
                                                   ": there is no logit above -inf"));
  }
  if (options_.temperature == 0) return likeliest;
  candidates_.clear();
  for (size_t i = 0; i < logits.size(); ++i) {
    double weight = std::exp((logits[i] - largest) / options_.temperature);
    if (weight > 0) candidates_.emplace_back(weight, static_cast<int32_t>(i));
  }
  Restrict();
  double total = 0;
  for (const auto& [weight, token] : candidates_) total += weight;
  double left = Uniform(options_.seed, sequence, position) * total;
  for (const auto& [weight, token] : candidates_) {
    left -= weight;
    if (left < 0) return token;
  }
  // Rounding of the sums.
  return candidates_.back().second;
}

}  // namespace weir::runtime
