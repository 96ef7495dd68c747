// Cloning an op with more precise operand types: its result types, and those in its regions, follow
// from its operands. Expansion (feature sizes become known) and specialization (batch and time too)
// are made of this.

#ifndef WEIR_COMPILER_TRANSFORMS_INFER_TYPES_H_
#define WEIR_COMPILER_TRANSFORMS_INFER_TYPES_H_

#include "mlir/IR/Builders.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/Operation.h"

namespace weir {

/// Sets the result types of `op` from its operands, by InferTypeOpInterface; elementwise ops and
/// casts without it keep their element type and take the shape of their operands; results whose
/// types are static stay. Any other op is reported: it can't be in a layer.
mlir::LogicalResult inferResultTypes(mlir::Operation* op);

/// Clones `op` at the builder, with operands from `mapping`, at `loc`, and maps its results.
///
/// Regions of an op with RegionArgumentsOpInterface get new arguments, and `cloneInner` is called
/// for each op in them, with the builder at its place; other regions are copied. `beforeInference`
/// sees the clone when it has operands and regions but not yet its result types. The result is null
/// if the op is a cast that says nothing any more, whose operand takes its place. Diagnostics have
/// been emitted on failure.
mlir::FailureOr<mlir::Operation*> cloneWithInference(
    mlir::OpBuilder& builder, mlir::Operation* op, mlir::IRMapping& mapping, mlir::Location loc,
    llvm::function_ref<mlir::LogicalResult(mlir::Operation*)> cloneInner,
    llvm::function_ref<mlir::LogicalResult(mlir::Operation*)> beforeInference);

}  // namespace weir

#endif  // WEIR_COMPILER_TRANSFORMS_INFER_TYPES_H_
