// The dialect of planted.td.

#ifndef WEIR_COMPILER_DRIVER_CHECK_TESTS_PLANTED_H_
#define WEIR_COMPILER_DRIVER_CHECK_TESTS_PLANTED_H_

#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/Interfaces/InferTypeOpInterface.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

#include "compiler/dialect/dialect.h"
#include "compiler/dialect/interfaces.h"
#include "compiler/dialect/sequence_interfaces.h"

#include "compiler/driver/check/tests/planted_dialect.h.inc"

#define GET_OP_CLASSES
#include "compiler/driver/check/tests/planted_ops.h.inc"

#endif  // WEIR_COMPILER_DRIVER_CHECK_TESTS_PLANTED_H_
