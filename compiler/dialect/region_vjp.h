// Reverse mode of one straight-line region, as the body of linalg.generic,
// weir.scan or an attention score has it.
//
//   // body: ^bb0(%x, %y): ... yield %z
//   RegionVjp vjp(builder, body, /*args=*/{x, y});           // clones the
//   body: the primal values are recomputed SmallVector<Value> dArgs; if
//   (failed(vjp.pullBack(/*yieldCotangents=*/{dz}, /*needed=*/{true, false},
//   dArgs))) return failure();
//   ... use vjp.yield(0), dArgs[0]; create the terminator ...
//   eraseDeadOps(*builder.getBlock());                       // primal values
//   that no adjoint reads disappear
//
// Every op in between answers DifferentiableOpInterface itself; branches that
// carry a zero are skipped.

#ifndef WEIR_COMPILER_DIALECT_REGION_VJP_H_
#define WEIR_COMPILER_DIALECT_REGION_VJP_H_

#include "mlir/IR/Builders.h"
#include "mlir/IR/IRMapping.h"

namespace weir {

class RegionVjp {
 public:
  /// Clones `body` without its terminator at the builder's insertion point,
  /// with `args` (one value per block argument, of its type) in place of the
  /// block's arguments.
  RegionVjp(mlir::OpBuilder& builder, mlir::Block& body, mlir::ValueRange args);

  /// The cloned value of terminator operand i.
  mlir::Value yield(unsigned i) const;
  /// The cloned counterpart of a value of the body (or the value itself where
  /// it is defined outside).
  mlir::Value primal(mlir::Value original) const { return mapping.lookupOrDefault(original); }

  /// Emits the adjoint. `yieldCotangents`: one per terminator operand, null for
  /// zero. `needed`: one flag per block argument. Appends one cotangent per
  /// block argument, null where it is zero or not needed. Values captured from
  /// outside the region are constants. Fails, after a diagnostic at the op, on
  /// an op without a rule.
  llvm::LogicalResult pullBack(mlir::ValueRange yieldCotangents, llvm::ArrayRef<bool> needed,
                               llvm::SmallVectorImpl<mlir::Value>& argCotangents);

 private:
  mlir::OpBuilder& builder;
  mlir::Block& body;
  mlir::IRMapping mapping;
};

/// Sums two cotangents of one value at `builder`; either may be null.
mlir::Value addCotangents(mlir::OpBuilder& builder, mlir::Location loc, mlir::Value a,
                          mlir::Value b);

/// Erases, last to first, the ops of `block` that have no effect and no use.
void eraseDeadOps(mlir::Block& block);

/// Whether a value can carry a gradient: a float or complex scalar, or a shaped
/// type of them.
bool isDifferentiableType(mlir::Type type);

/// Ops with this unit attribute are constants to differentiation.
inline constexpr llvm::StringLiteral kStopGradient = "weir.stop_gradient";

}  // namespace weir

#endif  // WEIR_COMPILER_DIALECT_REGION_VJP_H_
