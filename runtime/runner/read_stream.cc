#include "runtime/runner/read_stream.h"

#include <chrono>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "runtime/checkpoint/safetensors.h"
#include "runtime/streaming/stream.h"

namespace weir::runtime {

absl::StatusOr<std::string> ReadStream(Session& session, const StreamRequest& request) {
  absl::StatusOr<Stream> stream = Stream::Create(session);
  if (!stream.ok()) return stream.status();
  if (request.inputs.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--stream reads ", stream->inputs()[0].ToString(),
                     " of any second extent; name a file of inputs with --inputs"));
  }
  absl::StatusOr<SafetensorsFile> file = SafetensorsFile::Open(request.inputs);
  if (!file.ok()) return file.status();
  std::vector<HostTensor> inputs, outputs;
  for (const TensorSpec& spec : stream->inputs()) {
    absl::StatusOr<HostTensor> input = file->Read(spec.name);
    if (!input.ok()) return input.status();
    inputs.push_back(*std::move(input));
  }
  if (!request.state.empty()) {
    if (absl::Status status = stream->LoadState(request.state); !status.ok()) return status;
  }
  const int64_t before = stream->position();
  auto start = std::chrono::steady_clock::now();
  absl::Status status = stream->Prefill(
      inputs, request.all_outputs ? Stream::Outputs::kAll : Stream::Outputs::kLast, &outputs);
  if (!status.ok())
    return absl::Status(status.code(), absl::StrCat(request.inputs, ": ", status.message()));
  std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  const int64_t rows = inputs[0].spec().shape[0], tokens = stream->position() - before;
  std::string report = absl::StrFormat(
      "stream: %d tokens of %d row%s in %.3f ms, %.0f tokens/s, %d threads, %s\n"
      "stands at token %d with %d bytes of state\n",
      tokens, rows, rows == 1 ? "" : "s", seconds.count() * 1e3,
      static_cast<double>(tokens * rows) / seconds.count(), session.threads(), session.isa(),
      stream->position(), stream->state_bytes());
  if (!request.save_state.empty()) {
    if (status = stream->SaveState(request.save_state); !status.ok()) return status;
  }
  if (!request.outputs.empty()) {
    if (status = WriteSafetensors(request.outputs, outputs, {}); !status.ok()) return status;
  }
  return report;
}

}  // namespace weir::runtime
