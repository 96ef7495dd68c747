#include "compiler/pipelines/pipelines.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Pass/PassRegistry.h"
#include "mlir/Transforms/Passes.h"

#include "compiler/dialect/dialect.h"
#include "compiler/support/phase_times.h"
#include "compiler/transforms/absorb_pass.h"
#include "compiler/transforms/chunk_matrix_scans_pass.h"
#include "compiler/transforms/decompose_pass.h"
#include "compiler/transforms/dispatch_pass.h"
#include "compiler/transforms/fuse_elementwise_pass.h"
#include "compiler/transforms/merge_kernels_pass.h"
#include "compiler/transforms/simplify_views_pass.h"

namespace weir {

using namespace mlir;

void addSimplify(OpPassManager& passes, bool fuse, bool bf16) {
  DecomposeOptions keepGradients;
  keepGradients.keepDifferentiable = true;
  keepGradients.whole = fuse;
  OpPassManager& function = passes.nest<func::FuncOp>();
  function.addPass(createDecompose(keepGradients));
  if (!fuse) return;
  ChunkMatrixScansOptions chunks;
  chunks.bf16 = bf16;
  function.addPass(createChunkMatrixScans(chunks));
  function.addPass(createFuseElementwise());
  function.addPass(createAbsorb());
}

void addFormKernels(OpPassManager& passes, const FormKernelsOptions& options) {
  OpPassManager& function = passes.nest<func::FuncOp>();
  DecomposeOptions decompose;
  decompose.whole = options.fuse && !options.separate;
  function.addPass(createDecompose(decompose));
  if (!options.separate) {
    function.addPass(createCanonicalizerPass());
    function.addPass(createCSEPass());
    function.addPass(createSimplifyViews());
    if (options.fuse) {
      function.addPass(createFuseElementwise());
      function.addPass(createAbsorb());
    }
    function.addPass(createCanonicalizerPass());
    function.addPass(createCSEPass());
    // Canonicalization makes new constants of tensors.
    function.addPass(createDecompose(decompose));
  }
  DispatchOptions dispatch;
  dispatch.maxOps = options.separate ? 1 : options.maxOps;
  passes.addPass(createDispatch(dispatch));
  passes.addPass(createMergeKernels());
}

LogicalResult runPasses(PassManager& passes, Operation* op) {
#ifdef NDEBUG
  passes.enableVerifier(false);
#endif
  if (PhaseTimes::enabled()) passes.addInstrumentation(PhaseTimes::instrumentation());
  return passes.run(op);
}

void registerPipelines() {
  PassPipelineRegistration<>("weir-simplify", "ops that gradients don't know become ones they know",
                             [](OpPassManager& passes) { addSimplify(passes); });
  PassPipelineRegistration<>("weir-form-kernels",
                             "from functions on static tensors to launches of kernels",
                             [](OpPassManager& passes) { addFormKernels(passes); });
}

}  // namespace weir
