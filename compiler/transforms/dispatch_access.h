// Which loop of an op walks which dimension of a tensor, for structured ops and views alike.
//
// Views take part as if they were loops over their result: a dimension that a view hands on
// unchanged is the loop with the number of that dimension of the result.

#ifndef WEIR_COMPILER_TRANSFORMS_DISPATCH_ACCESS_H_
#define WEIR_COMPILER_TRANSFORMS_DISPATCH_ACCESS_H_

#include "llvm/ADT/SmallVector.h"
#include "mlir/IR/Operation.h"

namespace weir {

/// Dimensions that are walked by no single loop.
inline constexpr int kNoLoop = -1;

/// For each dimension of the tensor that `operand` of its op reads: the loop that walks it, or
/// kNoLoop.
llvm::SmallVector<int> loopsOfOperand(mlir::OpOperand& operand);

/// The same for what the op writes.
llvm::SmallVector<int> loopsOfResult(mlir::OpResult result);

/// The loops that can be rows of a kernel that has `op` in it, in the order of the op's first
/// result: parallel, and for products only those that walk the operand with the rows rather than
/// the weights. Empty for ops that can't share a kernel with others.
llvm::SmallVector<int> rowLoopsOf(mlir::Operation* op);

/// Iterations of a loop of `op`.
int64_t loopExtent(mlir::Operation* op, int loop);

/// Values from outside that the op reads, by its operands or in its regions, each once.
llvm::SmallVector<mlir::Value> valuesRead(mlir::Operation* op);

}  // namespace weir

#endif  // WEIR_COMPILER_TRANSFORMS_DISPATCH_ACCESS_H_
