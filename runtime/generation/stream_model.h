// A compiled model that is read token by token, as the generator sees it.
#ifndef WEIR_RUNTIME_GENERATION_STREAM_MODEL_H_
#define WEIR_RUNTIME_GENERATION_STREAM_MODEL_H_

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "runtime/generation/generate.h"
#include "runtime/streaming/stream.h"

namespace weir::runtime {

class StreamModel : public TokenModel {
 public:
  // InvalidArgument if what the stream reads isn't token numbers, or what it gives isn't a number
  // for each token that may follow.
  static absl::StatusOr<StreamModel> Create(Stream stream);

  int64_t sequences() const override { return stream_.inputs()[0].shape[0]; }
  int64_t position() const override { return stream_.position(); }
  int64_t block() const override { return std::max<int64_t>(16 * stream_.prefill_size(), 256); }
  absl::StatusOr<absl::Span<const double>> Read(absl::Span<const int32_t> tokens) override;

  // The states, and the last token of each sequence, which hasn't been read: a file from which
  // another model goes on as if there had been no stop. Errors are those of Stream; Load gives no
  // tokens for a file that Stream wrote.
  absl::Status Save(const std::string& path, absl::Span<const int32_t> unread) const;
  absl::Status Load(const std::string& path, std::vector<int32_t>* unread);

  int64_t state_bytes() const { return stream_.state_bytes(); }  // of all sequences

 private:
  explicit StreamModel(Stream stream) : stream_(std::move(stream)) {}

  int64_t classes() const { return stream_.outputs()[0].shape[2]; }

  Stream stream_;
  std::vector<HostTensor> inputs_, outputs_;
  std::vector<double> logits_;
};

}  // namespace weir::runtime

#endif  // WEIR_RUNTIME_GENERATION_STREAM_MODEL_H_
