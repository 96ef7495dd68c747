#include "runtime/generation/generate.h"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace weir::runtime {
namespace {

using Tokens = std::vector<int32_t>;

// What follows depends on all that a sequence has read, by a hash of it.
class HashModel : public TokenModel {
 public:
  HashModel(int64_t sequences, int64_t classes)
      : hashes_(sequences, 1), logits_(sequences * classes) {}

  int64_t sequences() const override { return static_cast<int64_t>(hashes_.size()); }
  int64_t position() const override { return position_; }
  int64_t block() const override { return 3; }
  absl::StatusOr<absl::Span<const double>> Read(absl::Span<const int32_t> tokens) override {
    int64_t n = static_cast<int64_t>(tokens.size()) / sequences();
    int64_t classes = static_cast<int64_t>(logits_.size()) / sequences();
    for (int64_t row = 0; row < sequences(); ++row) {
      uint64_t& hash = hashes_[row];
      for (int64_t i = 0; i < n; ++i)
        hash = (hash ^ static_cast<uint64_t>(tokens[row * n + i] + 1)) * 0x9E3779B97F4A7C15;
      for (int64_t c = 0; c < classes; ++c)
        logits_[row * classes + c] = std::sin(static_cast<double>(hash >> 40) * (c + 1));
    }
    if (position_ <= poisoned_ && poisoned_ < position_ + n) logits_[0] = std::nan("");
    position_ += n;
    reads_.push_back(n);
    return absl::MakeConstSpan(logits_);
  }

  const std::vector<int64_t>& reads() const { return reads_; }
  // The token at this position gives a logit that is NaN.
  void Poison(int64_t position) { poisoned_ = position; }

 private:
  std::vector<uint64_t> hashes_;
  std::vector<double> logits_;
  std::vector<int64_t> reads_;
  int64_t position_ = 0, poisoned_ = -1;
};

struct Result {
  std::vector<Tokens> texts;
  GenerationResult result;
};

Result Continue(TokenModel& model, const std::vector<Tokens>& prompts, int64_t tokens,
                int64_t vocabulary = 0) {
  GenerationOptions options;
  options.tokens = tokens;
  options.vocabulary = vocabulary;
  Result all;
  all.texts.resize(prompts.size());
  all.result = Generate(model, prompts, options, [&](int64_t sequence, int32_t token) {
                 all.texts[sequence].push_back(token);
                 return absl::OkStatus();
               }).value();
  return all;
}

TEST(Generate, ReadsThePromptInBlocksAndThenEachToken) {
  HashModel model(1, 10);
  Result all = Continue(model, {{1, 2, 3, 4}}, 3);
  EXPECT_EQ(model.reads(), (std::vector<int64_t>{3, 1, 1, 1}));
  EXPECT_EQ(all.texts[0].size(), 3u);
  EXPECT_EQ(all.result.read_tokens, 4);
  EXPECT_EQ(all.result.generated_tokens, 3);
  EXPECT_EQ(all.result.last, (Tokens{all.texts[0][2]}));
}

TEST(Generate, SequencesOfDifferentLengthsAreAsAlone) {
  std::vector<Tokens> prompts = {{1, 2, 3, 4, 5, 6, 7}, {1, 2}, {9, 8, 7, 6}, {1, 2}};
  HashModel model(4, 10);
  Result all = Continue(model, prompts, 6);
  EXPECT_EQ(model.reads()[0], 2);
  EXPECT_EQ(model.reads().size(), 1u + 5 + 5);
  EXPECT_EQ(all.result.generated_tokens, 24);
  // Sequence `row` alone: as row `row` of a batch of its own prompt.
  for (size_t row = 0; row < 4; ++row) {
    HashModel same(4, 10);
    EXPECT_EQ(Continue(same, std::vector<Tokens>(4, prompts[row]), 6).texts[row], all.texts[row]);
  }
  // Equal prompts, different numbers.
  EXPECT_NE(all.texts[1], all.texts[3]);
}

TEST(Generate, GoesOnWhereItStopped) {
  std::vector<Tokens> prompts = {{5, 6, 7}, {1, 1, 2}};
  HashModel whole(2, 10), parts(2, 10);
  Result all = Continue(whole, prompts, 9);
  Result first = Continue(parts, prompts, 0);
  EXPECT_EQ(parts.position(), 2);
  EXPECT_EQ(first.result.last, (Tokens{7, 2}));
  Result second = Continue(parts, {{7}, {2}}, 4);
  Result third = Continue(parts, {{second.result.last[0]}, {second.result.last[1]}}, 5);
  for (int row = 0; row < 2; ++row) {
    Tokens joined = second.texts[row];
    joined.insert(joined.end(), third.texts[row].begin(), third.texts[row].end());
    EXPECT_EQ(joined, all.texts[row]);
  }
}

TEST(Generate, StaysInTheVocabulary) {
  HashModel model(1, 1000);
  Result all = Continue(model, {{1}}, 200, 3);
  for (int32_t token : all.texts[0]) EXPECT_LT(token, 3);
  HashModel small(1, 2);
  GenerationOptions options;
  options.tokens = 1;
  options.vocabulary = 3;
  std::vector<Tokens> prompts = {{1}};
  auto ignore = [](int64_t, int32_t) { return absl::OkStatus(); };
  EXPECT_EQ(Generate(small, prompts, options, ignore).status().message(),
            "the model has 2 outputs, too few for a vocabulary of 3");
}

TEST(Generate, Errors) {
  auto error = [](const std::vector<Tokens>& prompts, int64_t tokens) {
    HashModel model(2, 4);
    model.Poison(4);
    GenerationOptions options;
    options.tokens = tokens;
    return std::string(
        Generate(model, prompts, options, [](int64_t, int32_t) { return absl::OkStatus(); })
            .status()
            .message());
  };
  EXPECT_EQ(error({{1}}, 1), "there are 1 prompts for a model of 2 sequences");
  EXPECT_EQ(error({{1}, {}}, 1), "prompt 1 is empty: there is nothing to go on from");
  EXPECT_EQ(error({{1}, {1}}, -1), "the number of tokens can't be -1");
  EXPECT_EQ(error({{1, 2, 3}, {1}}, 5), "the logit of token 0 is nan at position 5 of sequence 0");
  HashModel model(1, 4);
  GenerationOptions options;
  options.tokens = 5;
  int count = 0;
  std::vector<Tokens> prompts = {{1}};
  absl::Status stopped = Generate(model, prompts, options, [&](int64_t, int32_t) {
                           return ++count == 3 ? absl::CancelledError("enough") : absl::OkStatus();
                         }).status();
  EXPECT_EQ(stopped.message(), "enough");
  EXPECT_EQ(count, 3);
}

}  // namespace
}  // namespace weir::runtime
