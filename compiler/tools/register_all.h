// One list of dialects and passes for every tool.

#ifndef WEIR_COMPILER_TOOLS_REGISTER_ALL_H_
#define WEIR_COMPILER_TOOLS_REGISTER_ALL_H_

#include "mlir/IR/DialectRegistry.h"

namespace weir {

/// Adds every upstream dialect, extension and LLVM IR translation, and the dialect weir with its
/// external models.
void registerAllDialects(mlir::DialectRegistry& registry);

/// Registers every upstream pass and every pass and pipeline of ours by name. Call once.
void registerAllPasses();

}  // namespace weir

#endif  // WEIR_COMPILER_TOOLS_REGISTER_ALL_H_
