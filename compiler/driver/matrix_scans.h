// Which scans of a model are computed by products over chunks.

#ifndef WEIR_COMPILER_DRIVER_MATRIX_SCANS_H_
#define WEIR_COMPILER_DRIVER_MATRIX_SCANS_H_

#include "absl/status/status.h"

#include "compiler/driver/load.h"

namespace weir {

/// Prints the scans with matrix states, if there are any, and what becomes of them at these sizes.
absl::Status printMatrixScans(Workspace& workspace, const LoadedModel& loaded, int64_t batch,
                              int64_t length);

}  // namespace weir

#endif  // WEIR_COMPILER_DRIVER_MATRIX_SCANS_H_
