// Where a training step stopped being finite.

#ifndef WEIR_COMPILER_DRIVER_DIAGNOSE_H_
#define WEIR_COMPILER_DRIVER_DIAGNOSE_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

#include "compiler/driver/load.h"
#include "runtime/program/session.h"

namespace weir {

/// Says which op of the model, in which layer, gave the first result with an infinity or a NaN in
/// the step that `session` would do next with `inputs`: compiles the experiment once more with each
/// op as a kernel of its own, gives it the variables of `session` (which stay as they are) and
/// looks at what every kernel has written. An error if that can't be done, or if all is finite
/// there.
absl::StatusOr<std::string> findFirstNonFinite(Workspace& workspace, const LoadedModel& loaded,
                                               const runtime::Task& task,
                                               const runtime::Session& session,
                                               absl::Span<const runtime::HostTensor> inputs);

}  // namespace weir

#endif  // WEIR_COMPILER_DRIVER_DIAGNOSE_H_
