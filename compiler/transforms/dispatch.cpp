// Groups ops into kernels and outlines them. What may share a kernel is decided in
// dispatch_groups.cpp, how a group becomes a function in dispatch_outline.cpp.

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/PatternMatch.h"

#include "compiler/dialect/dispatch_ops.h"
#include "compiler/transforms/dispatch_groups.h"
#include "compiler/transforms/dispatch_outline.h"
#include "compiler/transforms/dispatch_pass.h"

namespace weir {

#define GEN_PASS_DEF_DISPATCH
#include "compiler/transforms/dispatch_pass.h.inc"

using namespace mlir;

namespace {

struct Dispatch : impl::DispatchBase<Dispatch> {
  using DispatchBase::DispatchBase;

  void runOnOperation() override {
    DispatchLimits limits;
    limits.scratchBytes = scratchBytes;
    limits.weightBytes = weightBytes;
    limits.minRows = minRows;

    SymbolTable symbols(getOperation());
    IRRewriter rewriter(&getContext());
    for (auto function : llvm::to_vector(getOperation().getOps<func::FuncOp>())) {
      if (function.isExternal() || function->hasAttr(kKernelAttr)) continue;
      if (!function.getBody().hasOneBlock()) {
        function.emitError("has control flow, which kernels can't be formed from");
        return signalPassFailure();
      }
      Block& block = function.getBody().front();
      eraseDead(block, rewriter);
      for (auto& group : groupOps(block, limits)) outlineGroup(*group, symbols, rewriter);
      eraseDead(block, rewriter);
    }
  }

 private:
  static void eraseDead(Block& block, RewriterBase& rewriter) {
    for (Operation& op : llvm::make_early_inc_range(llvm::reverse(block))) {
      if (isOpTriviallyDead(&op)) rewriter.eraseOp(&op);
    }
  }
};

}  // namespace
}  // namespace weir
