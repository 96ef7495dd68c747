// Text to tokens, and tokens to text as they come.
#ifndef WEIR_RUNTIME_GENERATION_TEXT_H_
#define WEIR_RUNTIME_GENERATION_TEXT_H_

#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/data/vocabulary.h"
#include "runtime/generation/generate.h"

namespace weir::runtime {

// Writes bytes of several texts to one file. A single text is written as it comes; of several, each
// line is written when it is whole, behind the number of its text: "[2] To be,".
class TextWriter {
 public:
  TextWriter(std::FILE* file, int64_t texts) : file_(file), lines_(texts) {}

  // Errors of the file (a full disk, a reader that is gone) end a run.
  absl::Status Put(int64_t text, char byte);
  // Ends the lines that are open.
  absl::Status Finish();

 private:
  absl::Status Write(const std::string& bytes);

  std::FILE* file_;
  std::vector<std::string> lines_;  // open ones; of a single text, only its last byte
};

struct TextOptions {
  std::vector<std::string> prompts;
  int64_t samples = 1;  // of each prompt; neighbours
  // A token for each sequence that comes before its prompt, as GenerationResult::last of an earlier
  // run; may be empty.
  std::vector<int32_t> unread;
  GenerationOptions generation;  // its vocabulary is set by GenerateText
};

// Continues prompts x samples sequences and writes what is new to `out`. Errors: those of Generate;
// InvalidArgument for a prompt with a byte that the vocabulary lacks.
absl::StatusOr<GenerationResult> GenerateText(TokenModel& model, const Vocabulary& vocabulary,
                                              TextOptions options, std::FILE* out);

// "prompt: 1000 tokens in 0.21 s, 4762 tokens/s\ngenerated: ...\n"
std::string SpeedReport(const GenerationResult& result);

}  // namespace weir::runtime

#endif  // WEIR_RUNTIME_GENERATION_TEXT_H_
