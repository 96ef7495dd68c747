// Caches of streams (ring_ops.td), and what step forms do with them.

#ifndef WEIR_COMPILER_DIALECT_RING_OPS_H_
#define WEIR_COMPILER_DIALECT_RING_OPS_H_

#include "compiler/dialect/dialect.h"
#include "compiler/dialect/interfaces.h"
#include "compiler/dialect/linalg_builder.h"
#include "compiler/dialect/sequence_interfaces.h"
#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

#define GET_OP_CLASSES
#include "compiler/dialect/ring_ops.h.inc"

namespace weir {

/// The type of a ring for the last `size` of `tokens`, batch x n x features, which products read.
mlir::RankedTensorType ringType(const StreamContext& context, mlir::Value tokens, int64_t size);

/// `tokens` in the type of the rows of `ring`.
mlir::Value inTypeOf(LinalgBuilder& l, mlir::Value ring, mlir::Value tokens);

/// tensor<i64>: the row of `ring` in which the token number `start` is.
mlir::Value placeInRing(LinalgBuilder& l, mlir::Value ring, mlir::Value start);

/// The ring after tokens (of its type) of which the first is number `start`; any number of them.
mlir::Value writeRing(LinalgBuilder& l, mlir::Value ring, mlir::Value tokens, mlir::Value start);

/// The `count` tokens before number `start`, which `ring` holds, and then `tokens`, in their type.
/// Tokens that have never been are what the ring holds in their places.
mlir::Value withTokensBefore(LinalgBuilder& l, mlir::Value ring, mlir::Value tokens,
                             mlir::Value start, int64_t count);

/// A token of each row, and the rings that it looks back on, which hold it already.
struct RingQuery {
  /// batch x 1 x heads * p; `heads` heads side by side.
  mlir::Value query;
  /// Batch x R x heads * p, and batch x R x heads * e.
  mlir::Value keys, values;
  int64_t heads = 1;
  /// tensor<i64>: the row of the rings in which the token is.
  mlir::Value place;
  /// Keys farther away than this are not seen: tensor<i64>, and tensor<batch x i64> or null.
  mlir::Value farthest, farthestOfRow;
  /// Diagonals of a Toeplitz matrix, as weir.attention has them, or null.
  mlir::Value bias;
  /// "softmax" or an activation, of scale * (query . key) + bias.
  llvm::StringRef kernel;
  double scale = 1;
};

/// The sums of values under the weights of that kernel: batch x 1 x heads * e, not rounded.
mlir::Value attendToRing(LinalgBuilder& l, const RingQuery& q);

}  // namespace weir

#endif  // WEIR_COMPILER_DIALECT_RING_OPS_H_
