// Cotangents of slices: sums of disjoint pieces, each in a tensor of zeros,
// written as pieces of one tensor.

#ifndef WEIR_COMPILER_TRANSFORMS_SLICES_H_
#define WEIR_COMPILER_TRANSFORMS_SLICES_H_

#include "mlir/IR/Builders.h"

namespace weir {

/// a + b where both are chains of tensor.insert_slice into zeros whose pieces
/// don't overlap: one chain. Null otherwise.
mlir::Value joinDisjointSlices(mlir::OpBuilder& builder, mlir::Location loc, mlir::Value a,
                               mlir::Value b);

/// Replaces chains of insertions into zeros, made by joinDisjointSlices, that
/// cover their tensor along one dimension by tensor.concat. `builder` creates
/// the new ops (its insertion point is moved).
void formConcats(mlir::OpBuilder& builder, mlir::Block& block);

}  // namespace weir

#endif  // WEIR_COMPILER_TRANSFORMS_SLICES_H_
