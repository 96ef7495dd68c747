#include "runtime/generation/text.h"

#include <cerrno>
#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace weir::runtime {

absl::Status TextWriter::Write(const std::string& bytes) {
  errno = 0;
  if (std::fwrite(bytes.data(), 1, bytes.size(), file_) == bytes.size() && std::fflush(file_) == 0)
    return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("cannot write the text: ", std::strerror(errno)));
}

absl::Status TextWriter::Put(int64_t text, char byte) {
  std::string& line = lines_[text];
  if (lines_.size() == 1) {
    line = std::string(1, byte);
    return Write(line);
  }
  line += byte;
  if (byte != '\n') return absl::OkStatus();
  absl::Status status = Write(absl::StrCat("[", text + 1, "] ", line));
  line.clear();
  return status;
}

absl::Status TextWriter::Finish() {
  if (lines_.size() == 1)
    return lines_[0].empty() || lines_[0] == "\n" ? absl::OkStatus() : Write("\n");
  for (size_t text = 0; text < lines_.size(); ++text) {
    if (lines_[text].empty()) continue;
    if (absl::Status status = Put(static_cast<int64_t>(text), '\n'); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::StatusOr<GenerationResult> GenerateText(TokenModel& model, const Vocabulary& vocabulary,
                                              TextOptions options, std::FILE* out) {
  std::vector<std::vector<int32_t>> prompts;
  for (size_t i = 0; i < options.prompts.size(); ++i) {
    absl::StatusOr<std::vector<int32_t>> tokens = vocabulary.Encode(options.prompts[i]);
    if (!tokens.ok())
      return absl::InvalidArgumentError(
          absl::StrCat("prompt ", i + 1, ": ", tokens.status().message()));
    for (int64_t sample = 1; sample < options.samples; ++sample) prompts.push_back(*tokens);
    prompts.push_back(*std::move(tokens));
    // A prompt may be a book.
    std::string().swap(options.prompts[i]);
  }
  if (!options.unread.empty()) {
    if (options.unread.size() != prompts.size()) {
      return absl::InvalidArgumentError(absl::StrCat("the state is of ", options.unread.size(),
                                                     " sequences, and there are ", prompts.size(),
                                                     " to continue"));
    }
    for (size_t i = 0; i < prompts.size(); ++i)
      prompts[i].insert(prompts[i].begin(), options.unread[i]);
  }
  options.generation.vocabulary = vocabulary.size();
  TextWriter writer(out, static_cast<int64_t>(prompts.size()));
  absl::StatusOr<GenerationResult> result =
      Generate(model, prompts, options.generation, [&](int64_t sequence, int32_t token) {
        return writer.Put(sequence, vocabulary.Decode(token));
      });
  // What has come so far is shown whatever stopped the rest.
  absl::Status finished = writer.Finish();
  if (!result.ok() || finished.ok()) return result;
  return finished;
}

std::string SpeedReport(const GenerationResult& result) {
  std::string report;
  auto add = [&](const char* what, int64_t tokens, double seconds) {
    if (tokens == 0) return;
    absl::StrAppendFormat(&report, "%s: %d token%s in %.2f s, %.0f tokens/s\n", what, tokens,
                          tokens == 1 ? "" : "s", seconds,
                          static_cast<double>(tokens) / std::max(seconds, 1e-9));
  };
  add("read", result.read_tokens, result.read_seconds);
  add("generated", result.generated_tokens, result.generation_seconds);
  return report;
}

}  // namespace weir::runtime
