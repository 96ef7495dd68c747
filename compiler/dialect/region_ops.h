// The terminator of the dialect's regions (region_ops.td), and how a region of an op is written.

#ifndef WEIR_COMPILER_DIALECT_REGION_OPS_H_
#define WEIR_COMPILER_DIALECT_REGION_OPS_H_

#include "compiler/dialect/dialect.h"
#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/Interfaces/ControlFlowInterfaces.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

#define GET_OP_CLASSES
#include "compiler/dialect/region_ops.h.inc"

namespace weir {

/// custom<OptionalRegion>("\"keyword\"", $region): `keyword { ... }`, or nothing for an empty
/// region.
mlir::ParseResult parseOptionalRegion(mlir::OpAsmParser& parser, llvm::StringRef keyword,
                                      mlir::Region& region);
void printOptionalRegion(mlir::OpAsmPrinter& printer, mlir::Operation* op, llvm::StringRef keyword,
                         mlir::Region& region);

}  // namespace weir

#endif  // WEIR_COMPILER_DIALECT_REGION_OPS_H_
