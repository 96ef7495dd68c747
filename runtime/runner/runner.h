// Runs an entry point of a saved program on tensors from files: what weir_run does, and a whole
// deployment of a model (nothing here needs a compiler).
#ifndef WEIR_RUNTIME_RUNNER_RUNNER_H_
#define WEIR_RUNTIME_RUNNER_RUNNER_H_

#include <cstdint>
#include <cstdio>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/generation/run.h"
#include "runtime/program/program.h"
#include "runtime/runner/read_stream.h"

namespace weir::runtime {

struct RunnerOptions {
  std::string program;      // file
  std::string entry_point;  // empty: only `init`, if `seed` is given
  bool initialize = false;  // set `rng` to (seed, 0) and run `init` first
  int64_t seed = 1;
  std::string params;       // safetensors with variables, read before the run; empty: none
  std::string inputs;       // safetensors with the inputs by name; empty: the entry point has none
  std::string outputs;      // where the outputs go; empty: nowhere
  std::string params_out;   // where all variables go after the run; empty: nowhere
  int64_t repeat = 1;       // runs of the entry point
  int threads = 0;          // 0: all cores
  std::string isa;          // "avx2", "avx512", "amx"; empty: the best there is
  std::string machine_isa;  // as if the machine had nothing beyond this; empty: what it has
  bool profile = false;     // report the time of each kernel
};

// Does it. Returns a report for people: what ran where, the time per run, scalar outputs, and the
// profile.
absl::StatusOr<std::string> RunProgram(const RunnerOptions& options);

// The same for a program for streams, whose states go from and to files: reads the tokens of
// `request`. Uses `program`, `initialize`, `seed`, `params`, `threads` and the instruction sets.
absl::StatusOr<std::string> StreamProgram(const RunnerOptions& options,
                                          const StreamRequest& request);

// Goes on with texts, by a program for streams: the text to `out`, figures to `log` (null:
// nowhere). Uses `program`, `initialize`, `seed`, `params`, `threads` and `isa`. Errors: those of
// RunGeneration, and FailedPrecondition if neither program nor parameters say what tokens stand
// for.
absl::Status GenerateWithProgram(const RunnerOptions& options, const GenerationRequest& request,
                                 std::FILE* out, std::FILE* log);

// A program's entry points with inputs and outputs, variables, code and sizes, for people.
std::string DescribeProgram(const Program& program);

}  // namespace weir::runtime

#endif  // WEIR_RUNTIME_RUNNER_RUNNER_H_
