// Work that a function does on many tensors alike, as an optimizer does on parameters: one kernel
// that sweeps over all of them, however many there are.

#ifndef WEIR_COMPILER_TRANSFORMS_SWEEPS_H_
#define WEIR_COMPILER_TRANSFORMS_SWEEPS_H_

#include "mlir/IR/Block.h"
#include "mlir/IR/PatternMatch.h"

namespace weir {

/// On the ops of a kernel that sweeps: the number of the sweep in the function they come from. Each
/// is a linalg.generic that walks tensors of one shape from the first element to the last, and
/// scalars (tensors of rank 0): elementwise, or a sum over everything. The bodies are few, the ops
/// may be many.
inline constexpr llvm::StringLiteral kSweepAttr = "weir.sweep";

bool isPartOfSweep(mlir::Operation* op);

/// Finds what one kernel can sweep over and marks it: elementwise ops on arguments of the function
/// whose results are all returned (two that follow each other become one op), and sums over
/// arguments. None of them waits for another, and no tensor lives longer for it.
void markSweeps(mlir::Block& block, mlir::RewriterBase& rewriter);

}  // namespace weir

#endif  // WEIR_COMPILER_TRANSFORMS_SWEEPS_H_
