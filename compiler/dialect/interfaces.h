#ifndef WEIR_COMPILER_DIALECT_INTERFACES_H_
#define WEIR_COMPILER_DIALECT_INTERFACES_H_

#include "mlir/IR/Builders.h"
#include "mlir/IR/OpDefinition.h"

#include "compiler/dialect/interfaces.h.inc"

#endif  // WEIR_COMPILER_DIALECT_INTERFACES_H_
