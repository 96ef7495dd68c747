// What the gradient of a scan keeps of a chunk between its two sweeps.
//
// The sweep that goes forward recomputes the states of a chunk; the one that comes back carries the
// cotangent. Both need values of the inputs alone, such as gates: those that are dear are evaluated
// once and kept in scratch memory, cheap ones are computed again from what is kept. Which ones is a
// minimum cut through the expressions of all three regions, equal ones taken together.

#ifndef WEIR_COMPILER_CONVERSION_CPU_SCAN_SWEEPS_H_
#define WEIR_COMPILER_CONVERSION_CPU_SCAN_SWEEPS_H_

#include "compiler/dialect/scan_ops.h"

namespace weir {

/// Scalar code of the two sweeps.
struct ScanSweeps {
  /// Of the inputs: the decay a and the term b of h = a h' + b, then the values that are kept.
  mlir::Block forward;
  /// Of the inputs, the values that are kept, the state and the output cotangents: the decay, dh,
  /// and the adjoint epilogue's share of each gradient.
  mlir::Block direct;
  /// Of the inputs, the values that are kept, da and db: the adjoint prologue's share of each
  /// gradient.
  mlir::Block through;
  llvm::SmallVector<mlir::Type> kept;
};

/// Costs of a value that a sweep leaves to the other one, in vector operations.
struct KeepCosts {
  /// Storing 32 bits of each lane in scratch memory, and loading them.
  int64_t scratch;
  /// Loading an input of the forward sweep again.
  int64_t reload;
};

/// Splits the regions of `op`, whose ops are scalar arithmetic, for the gradients of these numbers.
/// `isCheap` says of an input that reading it again costs next to nothing. Arguments of a block
/// that have no uses need no value.
void splitSweeps(ScanVjpOp op, llvm::ArrayRef<unsigned> gradients, KeepCosts costs,
                 llvm::function_ref<bool(unsigned)> isCheap, ScanSweeps& sweeps);

}  // namespace weir

#endif  // WEIR_COMPILER_CONVERSION_CPU_SCAN_SWEEPS_H_
