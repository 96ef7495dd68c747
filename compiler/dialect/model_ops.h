// The ops of the model level: layers, models, options, parameters, states (model_ops.td).

#ifndef WEIR_COMPILER_DIALECT_MODEL_OPS_H_
#define WEIR_COMPILER_DIALECT_MODEL_OPS_H_

#include <string>

#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/Interfaces/ControlFlowInterfaces.h"
#include "mlir/Interfaces/InferTypeOpInterface.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

#include "compiler/dialect/dialect.h"

#define GET_OP_CLASSES
#include "compiler/dialect/model_ops.h.inc"

#endif  // WEIR_COMPILER_DIALECT_MODEL_OPS_H_
