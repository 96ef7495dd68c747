#include "runtime/generation/text.h"

#include <cstdio>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/base/file.h"

namespace weir::runtime {
namespace {

// After token i comes token i + 1.
class Successor : public TokenModel {
 public:
  Successor(int64_t sequences, int64_t classes)
      : sequences_(sequences), classes_(classes), logits_(sequences * classes) {}

  int64_t sequences() const override { return sequences_; }
  int64_t position() const override { return position_; }
  int64_t block() const override { return 5; }
  absl::StatusOr<absl::Span<const double>> Read(absl::Span<const int32_t> tokens) override {
    int64_t n = static_cast<int64_t>(tokens.size()) / sequences_;
    position_ += n;
    std::fill(logits_.begin(), logits_.end(), 0.0);
    for (int64_t row = 0; row < sequences_; ++row)
      logits_[row * classes_ + (tokens[row * n + n - 1] + 1) % classes_] = 1e6;
    return absl::MakeConstSpan(logits_);
  }

 private:
  int64_t sequences_, classes_, position_ = 0;
  std::vector<double> logits_;
};

struct Written {
  absl::StatusOr<GenerationResult> result;
  std::string text;
};

Written Continue(const std::vector<std::string>& prompts, int64_t samples, int64_t tokens,
                 const std::vector<int32_t>& unread = {}) {
  Vocabulary vocabulary = Vocabulary::Characters("\nabcdefg");
  Successor model(static_cast<int64_t>(prompts.size()) * samples, vocabulary.size());
  std::string path = testing::TempDir() + "/text";
  std::FILE* file = std::fopen(path.c_str(), "w");
  TextOptions options;
  options.prompts = prompts;
  options.samples = samples;
  options.unread = unread;
  options.generation.tokens = tokens;
  Written written{GenerateText(model, vocabulary, options, file), ""};
  std::fclose(file);
  written.text = ReadFile(path).value();
  return written;
}

TEST(Text, OneTextIsWrittenAsItIs) {
  EXPECT_EQ(Continue({"ab"}, 1, 3).text, "cde\n");
  EXPECT_EQ(Continue({"de"}, 1, 3).text, "fg\n");
  EXPECT_EQ(Continue({"e"}, 1, 5).text, "fg\nab\n");
  EXPECT_EQ(Continue({"e"}, 1, 0).text, "");
}

TEST(Text, SeveralComeInLines) {
  std::string text = Continue({"ef", "a"}, 2, 4).text;
  EXPECT_EQ(text, "[1] g\n[2] g\n[1] ab\n[2] ab\n[3] bcde\n[4] bcde\n");
}

TEST(Text, GoesOnAfterUnreadTokens) {
  EXPECT_EQ(Continue({""}, 1, 2, {3}).text, "de\n");
  EXPECT_EQ(Continue({"ga"}, 1, 2, {3}).text, "bc\n");
  EXPECT_EQ(Continue({"a"}, 2, 2, {3}).result.status().message(),
            "the state is of 1 sequences, and there are 2 to continue");
}

TEST(Text, Errors) {
  EXPECT_EQ(Continue({"ab", "axe"}, 1, 2).result.status().message(),
            "prompt 2: byte 1 of the text, 'x', isn't among the 8 bytes that the model knows");
  std::FILE* full = std::fopen("/dev/full", "w");
  TextWriter writer(full, 1);
  EXPECT_EQ(writer.Put(0, 'a').message(), "cannot write the text: No space left on device");
  std::fclose(full);
}

TEST(Text, Report) {
  GenerationResult result;
  result.read_tokens = 1000;
  result.read_seconds = 0.25;
  result.generated_tokens = 1;
  result.generation_seconds = 0.5;
  EXPECT_EQ(SpeedReport(result),
            "read: 1000 tokens in 0.25 s, 4000 tokens/s\n"
            "generated: 1 token in 0.50 s, 2 tokens/s\n");
}

}  // namespace
}  // namespace weir::runtime
