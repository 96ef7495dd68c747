// The first values of parameters, as a function of the seed.

#ifndef WEIR_COMPILER_ENTRY_POINTS_INITIALIZE_H_
#define WEIR_COMPILER_ENTRY_POINTS_INITIALIZE_H_

#include <string>

#include "compiler/dialect/linalg_builder.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace weir {

struct ParameterInit {
  std::string name;
  mlir::RankedTensorType type;
  /// zeros, ones, constant(x), normal(std), uniform(bound).
  std::string init;
};

/// The parameters that a model's function takes.
llvm::SmallVector<ParameterInit> parametersOf(mlir::func::FuncOp model);

/// The states that a model's function takes, by the names of their variables.
llvm::SmallVector<ParameterInit> statesOf(mlir::func::FuncOp model);

/// What a state begins as: zeros, ones or constant(x). Anything else is a diagnostic at `loc`.
mlir::FailureOr<mlir::Value> initialState(LinalgBuilder& l, mlir::Location loc,
                                          llvm::StringRef name, llvm::StringRef init,
                                          mlir::RankedTensorType type);

/// Adds the entry point `reset`: no inputs; sets the variables of states to what they begin as.
mlir::LogicalResult addResetEntry(mlir::ModuleOp module, llvm::ArrayRef<ParameterInit> states);

/// Adds the entry point `init` to the module: reads the variable `rng` and sets each parameter, and
/// each tensor of `zeroed` (optimizer state) to zero. The numbers depend on the seed, the
/// parameter's place in the list and the element's index.
mlir::LogicalResult addInitEntry(mlir::ModuleOp module, llvm::ArrayRef<ParameterInit> parameters,
                                 llvm::ArrayRef<ParameterInit> zeroed);

}  // namespace weir

#endif  // WEIR_COMPILER_ENTRY_POINTS_INITIALIZE_H_
