// The ops of the experiment: task, optimizer, schedule, training loop (experiment_ops.td).

#ifndef WEIR_COMPILER_DIALECT_EXPERIMENT_OPS_H_
#define WEIR_COMPILER_DIALECT_EXPERIMENT_OPS_H_

#include <optional>

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
#include "compiler/dialect/experiment_ops.h.inc"

namespace weir {

/// The number of a setting, whether written as `1` or `1.0`; nothing if it is absent or no number.
std::optional<double> getNumber(mlir::DictionaryAttr settings, llvm::StringRef name);
double getNumber(mlir::DictionaryAttr settings, llvm::StringRef name, double otherwise);

}  // namespace weir

#endif  // WEIR_COMPILER_DIALECT_EXPERIMENT_OPS_H_
