// What a stream computes from its parameters alone (their values in bf16, for one) is computed
// once.

#ifndef WEIR_COMPILER_ENTRY_POINTS_PREPARE_H_
#define WEIR_COMPILER_ENTRY_POINTS_PREPARE_H_

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"

namespace weir {

/// The attribute of arguments that take such values: the name of the variable.
inline constexpr llvm::StringLiteral kPreparedAttr = "weir.prepared";

/// Adds the entry point `prepare`, which computes what `functions` compute from parameters alone
/// and keeps it in variables `prepared.N`; the functions take it as arguments (kPreparedAttr)
/// instead. Views, and what is larger than the parameters it comes from, stay. Without such work,
/// nothing changes.
void addPrepareEntry(mlir::ModuleOp module, llvm::ArrayRef<mlir::func::FuncOp> functions);

}  // namespace weir

#endif  // WEIR_COMPILER_ENTRY_POINTS_PREPARE_H_
