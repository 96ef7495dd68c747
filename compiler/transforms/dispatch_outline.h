// Turns a group of ops into a kernel function and a launch.

#ifndef WEIR_COMPILER_TRANSFORMS_DISPATCH_OUTLINE_H_
#define WEIR_COMPILER_TRANSFORMS_DISPATCH_OUTLINE_H_

#include "mlir/IR/PatternMatch.h"
#include "mlir/IR/SymbolTable.h"

#include "compiler/transforms/dispatch_groups.h"

namespace weir {

/// Moves `group` to the end of its block (before the terminator): as it is if it is of the host,
/// else as a launch of a new function in `symbols`. Groups must be handed over in the order in
/// which they can run.
void outlineGroup(const DispatchGroup& group, mlir::SymbolTable& symbols,
                  mlir::RewriterBase& rewriter);

}  // namespace weir

#endif  // WEIR_COMPILER_TRANSFORMS_DISPATCH_OUTLINE_H_
