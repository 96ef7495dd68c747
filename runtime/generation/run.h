// What `weir generate` and `weir_run --generate` do once a model is compiled and loaded.
#ifndef WEIR_RUNTIME_GENERATION_RUN_H_
#define WEIR_RUNTIME_GENERATION_RUN_H_

#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/data/vocabulary.h"
#include "runtime/generation/sampler.h"
#include "runtime/program/session.h"

namespace weir::runtime {

// A program's metadata under this key, if there is any, says how many positions the model knows.
inline constexpr char kPositionLimitKey[] = "position_limit";

// The same of how many tokens its attention looks back on at most.
inline constexpr char kContextKey[] = "attention_context";

struct GenerationRequest {
  std::vector<std::string> prompts;
  std::string prompt_file;  // one more prompt; empty: none
  int64_t samples = 1;      // of each prompt
  int64_t tokens = 100;     // new ones, of each sequence
  SamplingOptions sampling;
  // Files of states: read before the prompts, written at the end; empty: none. A file written after
  // a text lets another run go on as if there had been no stop.
  std::string state, save_state;
};

// The prompts, with that of the file at the end; without any, one that is empty, if there is a
// state to go on from. InvalidArgument if there is nothing to go on from.
absl::StatusOr<std::vector<std::string>> PromptsOf(const GenerationRequest& request);

// Continues the prompts: new text to `out`; what the state takes, speed and memory to `log` (null:
// nowhere). The session's program must have as many rows as there are prompts x samples.
// OutOfRange if a text would go beyond the positions that the model knows.
absl::Status RunGeneration(Session& session, const Vocabulary& vocabulary,
                           const GenerationRequest& request, std::FILE* out, std::FILE* log);

}  // namespace weir::runtime

#endif  // WEIR_RUNTIME_GENERATION_RUN_H_
