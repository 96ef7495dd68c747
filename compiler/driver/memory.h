// The memory that training a model takes.

#ifndef WEIR_COMPILER_DRIVER_MEMORY_H_
#define WEIR_COMPILER_DRIVER_MEMORY_H_

#include "absl/status/status.h"

#include "compiler/driver/load.h"

namespace weir {

/// Prints the memory of an experiment's training program, from its plan: variables by their roles,
/// and each entry point's activations.
absl::Status printMemory(Workspace& workspace, const LoadedModel& loaded,
                         const runtime::Task& task);

}  // namespace weir

#endif  // WEIR_COMPILER_DRIVER_MEMORY_H_
