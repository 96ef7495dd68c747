// What a model carries from token to token when it is streamed.

#ifndef WEIR_COMPILER_DRIVER_STATES_H_
#define WEIR_COMPILER_DRIVER_STATES_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "compiler/driver/load.h"
#include "compiler/entry_points/programs.h"

namespace weir {

/// Prints the bytes of state for a sequence, by layer and op, and whether they are constant or grow
/// with --context. Of a model that can't be streamed, prints which op is in the way, and why.
absl::Status printStates(Workspace& workspace, const LoadedModel& loaded);

/// How many tokens attention looks back on: settings.context if a state grows with it, 0 if nothing
/// depends on it.
absl::StatusOr<int64_t> attentionContext(Workspace& workspace, const LoadedModel& loaded,
                                         const StreamSettings& settings);

}  // namespace weir

#endif  // WEIR_COMPILER_DRIVER_STATES_H_
