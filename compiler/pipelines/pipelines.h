// The named pipelines: what happens to a model, in order. Each is a list of passes.

#ifndef WEIR_COMPILER_PIPELINES_PIPELINES_H_
#define WEIR_COMPILER_PIPELINES_PIPELINES_H_

#include "mlir/Pass/PassManager.h"

namespace weir {

/// Before differentiation: ops that have no gradient of their own become ops that have one, and gates move into scans.
void addSimplify(mlir::OpPassManager& passes);

/// From functions on static tensors to launches of kernels. For functions that hold a forward or a
/// backward pass, but not both.
void addFormKernels(mlir::OpPassManager& passes);

/// Makes the pipelines known by name (weir-simplify, weir-form-kernels) to tools. Call once.
void registerPipelines();

}  // namespace weir

#endif  // WEIR_COMPILER_PIPELINES_PIPELINES_H_
