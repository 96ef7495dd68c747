// The named pipelines: what happens to a model, in order. Each is a list of passes.

#ifndef WEIR_COMPILER_PIPELINES_PIPELINES_H_
#define WEIR_COMPILER_PIPELINES_PIPELINES_H_

#include <cstdint>

#include "mlir/Pass/PassManager.h"

namespace weir {

/// Before differentiation: ops that have no gradient of their own become ops that have one, and
/// gates move into scans. Without `fuse` every op stays on its own. `bf16`: products read bf16.
void addSimplify(mlir::OpPassManager& passes, bool fuse = true, bool bf16 = false);

struct FormKernelsOptions {
  /// Ops that share a kernel; 1 keeps every op on its own, which is slow and easy to understand.
  int64_t maxOps = 64;
  /// Without it nothing is put into one op with something else either, so that the result of every
  /// op of a model is somewhere in memory.
  bool fuse = true;
  /// Every op by itself, as its decomposition has it: nothing is folded, absorbed or fused. Slow,
  /// and what the fused form is held against.
  bool separate = false;
};

/// From functions on static tensors to launches of kernels. For functions that hold a forward or a
/// backward pass, but not both.
void addFormKernels(mlir::OpPassManager& passes, const FormKernelsOptions& options = {});

/// Runs passes, each as a phase of PhaseTimes (compiler/support). With assertions, what each of
/// them makes is verified.
mlir::LogicalResult runPasses(mlir::PassManager& passes, mlir::Operation* op);

/// Makes the pipelines known by name (weir-simplify, weir-form-kernels) to tools. Call once.
void registerPipelines();

}  // namespace weir

#endif  // WEIR_COMPILER_PIPELINES_PIPELINES_H_
