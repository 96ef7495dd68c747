// Attention, full and chunked (attention_ops.td).

#ifndef WEIR_COMPILER_DIALECT_ATTENTION_OPS_H_
#define WEIR_COMPILER_DIALECT_ATTENTION_OPS_H_

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
#include "compiler/dialect/attention_ops.h.inc"

namespace weir {

class LinalgBuilder;

/// The bias of `rows` queries and `columns` keys, of which the last `rows` are the queries' tokens,
/// from the 2 L - 1 diagonals of an L x L matrix; zero where it has none.
mlir::Value toeplitzBias(LinalgBuilder& l, mlir::Value diagonals, int64_t rows, int64_t columns);

}  // namespace weir

#endif  // WEIR_COMPILER_DIALECT_ATTENTION_OPS_H_
