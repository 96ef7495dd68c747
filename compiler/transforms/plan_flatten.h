// Puts the launches of an entry point into one list.

#ifndef WEIR_COMPILER_TRANSFORMS_PLAN_FLATTEN_H_
#define WEIR_COMPILER_TRANSFORMS_PLAN_FLATTEN_H_

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/SymbolTable.h"

namespace weir {

/// Replaces every call in `entry` by the body of the function called (forward, backward,
/// optimizer), and calls in those as well. After dispatch that is safe: nothing that folds or
/// merges ops runs any more. Errors: recursion, a function without a body or with several blocks.
mlir::LogicalResult flattenCalls(mlir::func::FuncOp entry, mlir::SymbolTable& symbols);

}  // namespace weir

#endif  // WEIR_COMPILER_TRANSFORMS_PLAN_FLATTEN_H_
