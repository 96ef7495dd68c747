// A subject's stream, from a state, over given tokens.

#ifndef WEIR_COMPILER_DRIVER_CHECK_STREAM_RUN_H_
#define WEIR_COMPILER_DRIVER_CHECK_STREAM_RUN_H_

#include <memory>
#include <string>
#include <vector>

#include "compiler/driver/check/bench.h"

namespace weir::check {

/// Whether an error says that there is no step form, which is no fault.
bool hasNoStepForm(const absl::Status& status);

class StreamRun {
 public:
  /// With the parameters that `values` holds.
  static absl::StatusOr<StreamRun> create(Bench& bench, const StreamBuild& build,
                                          const Tensors& values);

  /// All states as they begin, then those that `states` holds under "state.<path>".
  absl::Status begin(const Tensors& states);

  /// Reads times [from, from + count) of the inputs in `values`: by `prefill` if `count` is its
  /// size and `chunks` is set, else one by one. Appends to the output.
  absl::Status read(const Tensors& values, int64_t from, int64_t count, bool chunks);

  /// What came out since `begin`, batch x time x ...; empty before anything is read.
  const runtime::HostTensor& output() const { return output_; }
  absl::StatusOr<Tensors> states() const;

 private:
  absl::Status readPiece(const char* entry, const Tensors& values, int64_t from, int64_t count);

  std::unique_ptr<runtime::Session> session_;
  int64_t chunk_ = 0;
  bool isEmpty_ = true;
  runtime::HostTensor output_;
};

}  // namespace weir::check

#endif  // WEIR_COMPILER_DRIVER_CHECK_STREAM_RUN_H_
