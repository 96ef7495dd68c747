// The kernels of an entry point, without running them.

#ifndef WEIR_COMPILER_DRIVER_KERNELS_H_
#define WEIR_COMPILER_DRIVER_KERNELS_H_

#include "absl/status/status.h"

#include "compiler/driver/load.h"

namespace weir {

/// Prints the kernels of --entry: what each computes and moves, what its code loads and stores, and
/// the tensors that go through memory between two of them, with the reason; as a table, or with
/// --json as an object.
absl::Status printKernels(Workspace& workspace, const LoadedModel& loaded);

}  // namespace weir

#endif  // WEIR_COMPILER_DRIVER_KERNELS_H_
