// What functions compute from parameters alone (their values in bf16, for one) is computed once:
// when parameters change.

#ifndef WEIR_COMPILER_ENTRY_POINTS_PREPARE_H_
#define WEIR_COMPILER_ENTRY_POINTS_PREPARE_H_

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"

namespace weir {

/// The attribute of arguments and results that are such values: the name of the variable.
inline constexpr llvm::StringLiteral kPreparedAttr = "weir.prepared";

/// Adds the entry point `prepare`, which computes what `functions` compute from parameters alone
/// and keeps it in variables `prepared.N`; the functions take it as arguments (kPreparedAttr)
/// instead. Views, and what is larger than the parameters it comes from, stay. Without such work,
/// nothing changes, and there is no entry point.
mlir::func::FuncOp addPrepareEntry(mlir::ModuleOp module,
                                   llvm::ArrayRef<mlir::func::FuncOp> functions);

/// Has `update`, some of whose results are new values of parameters (`weir.param`), compute what
/// `prepare` does from these: further results, with kPreparedAttr.
void prepareInUpdate(mlir::func::FuncOp prepare, mlir::func::FuncOp update);

}  // namespace weir

#endif  // WEIR_COMPILER_ENTRY_POINTS_PREPARE_H_
