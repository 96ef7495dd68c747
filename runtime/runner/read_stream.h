// Reads a file of tokens by a program for streams: what `weir_run --stream` does.
#ifndef WEIR_RUNTIME_RUNNER_READ_STREAM_H_
#define WEIR_RUNTIME_RUNNER_READ_STREAM_H_

#include <string>

#include "absl/status/statusor.h"
#include "runtime/program/session.h"

namespace weir::runtime {

struct StreamRequest {
  std::string inputs;        // safetensors with the model's inputs, batch x any length x ...
  std::string outputs;       // where the outputs go; empty: nowhere
  bool all_outputs = false;  // of all tokens, not of the last alone
  std::string state;         // the states to go on from; empty: from the beginning
  std::string save_state;    // where the states go at the end; empty: nowhere
};

// Does it. Returns a report for people: how many tokens, how long it took, where the stream is.
absl::StatusOr<std::string> ReadStream(Session& session, const StreamRequest& request);

}  // namespace weir::runtime

#endif  // WEIR_RUNTIME_RUNNER_READ_STREAM_H_
