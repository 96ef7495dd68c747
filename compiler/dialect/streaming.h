// What step forms (StreamableOpInterface) are made with.

#ifndef WEIR_COMPILER_DIALECT_STREAMING_H_
#define WEIR_COMPILER_DIALECT_STREAMING_H_

#include "compiler/dialect/linalg_builder.h"
#include "compiler/dialect/sequence_interfaces.h"

namespace weir {

/// The attribute by which `expand` tells an op that mixes along time where in the model it is:
/// "layer.0", or "" in the model itself.
inline constexpr llvm::StringLiteral kScopeAttr = "weir.scope";

/// Whether the op's first states come from a `weir.state`, directly or by way of other ops: the
/// layer carries them then. Fails with a diagnostic at `op` where they come from tokens instead, as
/// those of later calls can't.
mlir::FailureOr<bool> isCarriedByLayer(mlir::Operation* op, mlir::ValueRange initial);

/// The state that counts at the first new token of each row: `state` (batch first), or zeros where
/// another document begins.
mlir::Value keepWithinSegment(LinalgBuilder& l, const StreamArguments& arguments,
                              mlir::Value state);

/// `initial` before the first token of the row, `state` after it.
mlir::Value startFrom(LinalgBuilder& l, const StreamArguments& arguments, mlir::Value initial,
                      mlir::Value state);

}  // namespace weir

#endif  // WEIR_COMPILER_DIALECT_STREAMING_H_
