// What a model carries from token to token when it is streamed.

#ifndef WEIR_COMPILER_DRIVER_STATES_H_
#define WEIR_COMPILER_DRIVER_STATES_H_

#include "absl/status/status.h"

#include "compiler/driver/load.h"

namespace weir {

/// Prints the bytes of state for a sequence, by layer and op, and whether they are constant or grow
/// with --context. Of a model that can't be streamed, prints which op is in the way, and why.
absl::Status printStates(Workspace& workspace, const LoadedModel& loaded);

}  // namespace weir

#endif  // WEIR_COMPILER_DRIVER_STATES_H_
