#include "runtime/generation/generate.h"

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"

namespace weir::runtime {
namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// One call of Generate().
class Run {
 public:
  Run(TokenModel& model, absl::Span<const std::vector<int32_t>> prompts,
      const GenerationOptions& options, Sampler sampler,
      const std::function<absl::Status(int64_t, int32_t)>& emit)
      : model_(model),
        prompts_(prompts),
        options_(options),
        sampler_(std::move(sampler)),
        emit_(emit),
        rows_(static_cast<int64_t>(prompts.size())) {}

  absl::StatusOr<GenerationResult> Execute() {
    shortest_ = longest_ = prompts_[0].size();
    for (const std::vector<int32_t>& prompt : prompts_) {
      shortest_ = std::min(shortest_, static_cast<int64_t>(prompt.size()));
      longest_ = std::max(longest_, static_cast<int64_t>(prompt.size()));
    }
    first_ = model_.position();
    auto start = Clock::now();
    if (absl::Status status = ReadPrompts(); !status.ok()) return status;
    result_.read_seconds = SecondsSince(start);
    start = Clock::now();
    // All sequences are at the same place; the one with the longest prompt is the last to end.
    for (int64_t place = shortest_; place < longest_ + options_.tokens; ++place) {
      if (absl::Status status = ChooseTokens(place); !status.ok()) return status;
      if (place + 1 == longest_ + options_.tokens) break;
      if (absl::Status status = Read(result_.last); !status.ok()) return status;
    }
    result_.generation_seconds = SecondsSince(start);
    return std::move(result_);
  }

 private:
  // What all prompts have; but if nothing is to follow, the last token stays unread.
  absl::Status ReadPrompts() {
    int64_t count = shortest_ == longest_ && options_.tokens == 0 ? shortest_ - 1 : shortest_;
    result_.last.resize(rows_);
    for (int64_t row = 0; row < rows_; ++row) result_.last[row] = prompts_[row][shortest_ - 1];
    result_.read_tokens = rows_ * count;
    std::vector<int32_t> tokens;
    for (int64_t begin = 0, n; begin < count; begin += n) {
      n = std::min(model_.block(), count - begin);
      tokens.resize(rows_ * n);
      for (int64_t row = 0; row < rows_; ++row)
        std::copy_n(prompts_[row].begin() + begin, n, tokens.begin() + row * n);
      if (absl::Status status = Read(tokens); !status.ok()) return status;
    }
    return absl::OkStatus();
  }

  absl::Status Read(const std::vector<int32_t>& tokens) {
    absl::StatusOr<absl::Span<const double>> logits = model_.Read(tokens);
    if (!logits.ok()) return logits.status();
    logits_ = *logits;
    int64_t classes = static_cast<int64_t>(logits_.size()) / rows_;
    if (options_.vocabulary > classes) {
      return absl::InvalidArgumentError(absl::StrCat("the model has ", classes,
                                                     " outputs, too few for a vocabulary of ",
                                                     options_.vocabulary));
    }
    return absl::OkStatus();
  }

  // The token at `place` of each sequence, counted from the prompt's beginning: from the prompt
  // where it is that long, else drawn.
  absl::Status ChooseTokens(int64_t place) {
    for (int64_t row = 0; row < rows_; ++row) {
      auto length = static_cast<int64_t>(prompts_[row].size());
      if (place < length) {
        result_.last[row] = prompts_[row][place];
        continue;
      }
      // A sequence that has ended goes on unseen until the others have.
      if (place >= length + options_.tokens) continue;
      int64_t classes = static_cast<int64_t>(logits_.size()) / rows_;
      int64_t allowed = options_.vocabulary > 0 ? options_.vocabulary : classes;
      absl::StatusOr<int32_t> token =
          sampler_.Sample(logits_.subspan(row * classes, allowed), row, first_ + place);
      if (!token.ok()) return token.status();
      result_.last[row] = *token;
      ++result_.generated_tokens;
      if (absl::Status status = emit_(row, *token); !status.ok()) return status;
    }
    return absl::OkStatus();
  }

  TokenModel& model_;
  absl::Span<const std::vector<int32_t>> prompts_;
  const GenerationOptions& options_;
  Sampler sampler_;
  const std::function<absl::Status(int64_t, int32_t)>& emit_;
  int64_t rows_;
  int64_t shortest_ = 0, longest_ = 0;
  int64_t first_ = 0;  // the position of the prompts' first token
  absl::Span<const double> logits_;
  GenerationResult result_;
};

}  // namespace

absl::StatusOr<GenerationResult> Generate(
    TokenModel& model, absl::Span<const std::vector<int32_t>> prompts,
    const GenerationOptions& options,
    const std::function<absl::Status(int64_t sequence, int32_t token)>& emit) {
  if (options.tokens < 0)
    return absl::InvalidArgumentError(
        absl::StrCat("the number of tokens can't be ", options.tokens));
  if (prompts.empty() || static_cast<int64_t>(prompts.size()) != model.sequences()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "there are ", prompts.size(), " prompts for a model of ", model.sequences(), " sequences"));
  }
  for (size_t i = 0; i < prompts.size(); ++i) {
    if (prompts[i].empty())
      return absl::InvalidArgumentError(
          absl::StrCat("prompt ", i, " is empty: there is nothing to go on from"));
  }
  absl::StatusOr<Sampler> sampler = Sampler::Create(options.sampling);
  if (!sampler.ok()) return sampler.status();
  return Run(model, prompts, options, *std::move(sampler), emit).Execute();
}

}  // namespace weir::runtime
