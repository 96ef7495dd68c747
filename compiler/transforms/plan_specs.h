// From types and attributes of IR to what a program says of its tensors.

#ifndef WEIR_COMPILER_TRANSFORMS_PLAN_SPECS_H_
#define WEIR_COMPILER_TRANSFORMS_PLAN_SPECS_H_

#include <optional>
#include <string>

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"

#include "compiler/transforms/plan_entry.h"

namespace weir {

/// The type of a program's elements; nothing if programs have none like it.
std::optional<runtime::ElementType> elementType(mlir::Type type);

/// Errors, reported at `entry`: a type that is no static tensor of an element type that programs
/// have.
mlir::FailureOr<runtime::TensorSpec> tensorSpec(mlir::func::FuncOp entry, mlir::StringAttr name,
                                                mlir::Type type);

/// The number of the variable `name` in `shared`, which gets it if it is new. Without a role (null)
/// it is told from the name: `rng` is a counter, `optimizer.*` the optimizer's, `state.*` a state,
/// anything else a parameter. Errors, reported at `entry`: two types for one variable, an unknown
/// role.
mlir::FailureOr<int64_t> variableNumber(mlir::func::FuncOp entry, mlir::StringAttr name,
                                        mlir::StringAttr role, mlir::Type type, PlanShared& shared);

/// The constant's bytes as a kernel reads them.
mlir::FailureOr<std::string> constantBytes(mlir::arith::ConstantOp constant);

}  // namespace weir

#endif  // WEIR_COMPILER_TRANSFORMS_PLAN_SPECS_H_
