#include "compiler/dialect/dispatch_ops.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/Interfaces/FunctionInterfaces.h"

#define GET_OP_CLASSES
#include "compiler/dialect/dispatch_ops.cpp.inc"

namespace weir {

mlir::LogicalResult LaunchOp::verifySymbolUses(mlir::SymbolTableCollection& tables) {
  auto function = tables.lookupNearestSymbolFrom<mlir::FunctionOpInterface>(*this, getKernelAttr());
  if (!function) return emitOpError() << "(C1) '" << getKernel() << "' is no function";
  if (!function->hasAttr(kKernelAttr)) {
    return emitOpError() << "(C1) '" << getKernel() << "' lacks the attribute " << kKernelAttr;
  }
  if (function.getArgumentTypes() !=
      llvm::ArrayRef<mlir::Type>(llvm::to_vector(getOperandTypes()))) {
    return emitOpError() << "(C2) operands differ in type from the arguments of '" << getKernel()
                         << "'";
  }
  if (function.getResultTypes() != llvm::ArrayRef<mlir::Type>(llvm::to_vector(getResultTypes()))) {
    return emitOpError() << "(C2) results differ in type from those of '" << getKernel() << "'";
  }
  return mlir::success();
}

void registerDispatchOps(WeirDialect& dialect) {
  dialect.registerOps<
#define GET_OP_LIST
#include "compiler/dialect/dispatch_ops.cpp.inc"
      >();
}

}  // namespace weir
