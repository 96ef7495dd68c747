// Losses (loss_ops.td).

#ifndef WEIR_COMPILER_DIALECT_LOSS_OPS_H_
#define WEIR_COMPILER_DIALECT_LOSS_OPS_H_

#include "compiler/dialect/assembly.h"
#include "compiler/dialect/dialect.h"
#include "compiler/dialect/interfaces.h"
#include "compiler/dialect/sequence_interfaces.h"
#include "compiler/dialect/sizes.h"
#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/Interfaces/InferTypeOpInterface.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

#define GET_OP_CLASSES
#include "compiler/dialect/loss_ops.h.inc"

namespace weir {

/// The results of weir.cross_entropy, in their order, from what weir.logit_statistics gives for its
/// logits.
llvm::SmallVector<mlir::Value> crossEntropyOf(mlir::OpBuilder& b, mlir::Location loc,
                                              mlir::Value targets, mlir::Value logSum,
                                              mlir::Value peak, mlir::Value picked);

}  // namespace weir

#endif  // WEIR_COMPILER_DIALECT_LOSS_OPS_H_
