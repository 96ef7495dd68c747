// The first values of parameters, as a function of the seed.

#ifndef WEIR_COMPILER_ENTRY_POINTS_INITIALIZE_H_
#define WEIR_COMPILER_ENTRY_POINTS_INITIALIZE_H_

#include <string>

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

/// Adds the entry point `init` to the module: reads the variable `rng` and sets each parameter, and
/// each tensor of `zeroed` (optimizer state) to zero. The numbers depend on the seed, the
/// parameter's place in the list and the element's index.
mlir::LogicalResult addInitEntry(mlir::ModuleOp module, llvm::ArrayRef<ParameterInit> parameters,
                                 llvm::ArrayRef<ParameterInit> zeroed);

}  // namespace weir

#endif  // WEIR_COMPILER_ENTRY_POINTS_INITIALIZE_H_
