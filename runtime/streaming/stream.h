// A model that reads tokens as they come and carries its state from call to call, in memory that
// doesn't grow: generation, prompts of any length, streams without end.
//
//   auto session = Session::Create(*std::move(program), device, {});
//   absl::StatusOr<Stream> stream = Stream::Create(**session);
//   stream->Prefill({prompt}, Stream::Outputs::kLast, &outputs);     // batch x n tokens
//   stream->Step({next}, &outputs);                                  // batch x 1
//   stream->SaveState("after_prompt.safetensors");
//
// A stream program has the entry points `reset` (the states begin), `step` (one token of each row)
// and, if it was compiled with a prefill size, `prefill` (that many tokens at once, which costs
// less). Inputs and outputs have the batch as their first dimension and time as their second.
#ifndef WEIR_RUNTIME_STREAMING_STREAM_H_
#define WEIR_RUNTIME_STREAMING_STREAM_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "runtime/program/program.h"
#include "runtime/program/session.h"
#include "runtime/program/tensor.h"

namespace weir::runtime {

// Used by one thread at a time, as its session is; streams on sessions that share a program may run
// at once.
class Stream {
 public:
  // What Prefill hands back: the outputs of the last token (batch x 1 x ...), or of all of them.
  enum class Outputs { kLast, kAll };

  // Resets the states. The session must outlive the stream, and its states change by the stream
  // alone. FailedPrecondition says what the program lacks if it is none for streams.
  static absl::StatusOr<Stream> Create(Session& session);

  // Inputs and outputs of Step: dimension 1, time, is 1.
  const std::vector<TensorSpec>& inputs() const { return step_->inputs; }
  const std::vector<TensorSpec>& outputs() const { return step_->outputs; }
  // Tokens of `prefill`; 0 without one.
  int64_t prefill_size() const { return prefill_size_; }
  // Tokens of each row since the reset.
  int64_t position() const { return position_; }
  // Bytes of all states.
  int64_t state_bytes() const;

  // The states as they are before the first token.
  absl::Status Reset();

  // One token of each row. On an error nothing has changed.
  absl::Status Step(absl::Span<const HostTensor> inputs, std::vector<HostTensor>* outputs);

  // Any number of tokens, at least one: as many at once as `prefill` takes, and what is left one by
  // one. All inputs are equally long (dimension 1). What doesn't fit is refused before anything is
  // read.
  absl::Status Prefill(absl::Span<const HostTensor> inputs, Outputs which,
                       std::vector<HostTensor>* outputs);

  // The states as safetensors, without the prefix "state.", with fingerprints of the model and of
  // its parameters, and with more metadata if there are any. Written whole or not at all.
  absl::Status SaveState(const std::string& path,
                         const std::map<std::string, std::string>& more = {}) const;

  // Goes on where SaveState was called, in any program of the same model, with the same parameters
  // and batch; the states of one row serve any number of rows. Anything else is refused with a
  // message that says what differs, and nothing has changed then.
  absl::Status LoadState(const std::string& path);

 private:
  explicit Stream(Session& session) : session_(&session) {}

  absl::Status CheckProgram();
  absl::Status Run(const EntryPoint& entry, int64_t tokens, absl::Span<const HostTensor> inputs,
                   std::vector<HostTensor>* outputs);
  absl::StatusOr<int64_t> Length(absl::Span<const HostTensor> inputs) const;

  Session* session_;
  const EntryPoint* step_ = nullptr;
  const EntryPoint* prefill_ = nullptr;  // may be null
  int64_t prefill_size_ = 0;
  int64_t position_ = 0;
  std::vector<HostTensor> piece_, piece_outputs_;  // of Prefill
};

// The prefix of the variables that are states.
inline constexpr char kStatePrefix[] = "state.";

}  // namespace weir::runtime

#endif  // WEIR_RUNTIME_STREAMING_STREAM_H_
