// Groups ops into kernels and outlines them. What may share a kernel is decided in
// dispatch_groups.cpp, how a group becomes a function in dispatch_outline.cpp.

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/IR/Threading.h"

#include "compiler/dialect/dispatch_ops.h"
#include "compiler/transforms/dispatch_groups.h"
#include "compiler/transforms/dispatch_outline.h"
#include "compiler/transforms/dispatch_pass.h"
#include "compiler/transforms/op_kinds.h"
#include "compiler/transforms/sweeps.h"

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
    limits.maxOps = maxOps;

    SymbolTable symbols(getOperation());
    IRRewriter rewriter(&getContext());
    SmallVector<Block*> blocks;
    for (auto function : getOperation().getOps<func::FuncOp>()) {
      if (function.isExternal() || function->hasAttr(kKernelAttr)) continue;
      if (!function.getBody().hasOneBlock()) {
        function.emitError("has control flow, which kernels can't be formed from");
        return signalPassFailure();
      }
      Block& block = function.getBody().front();
      eraseDead(block, rewriter);
      generalizeFills(block, rewriter);
      if (limits.maxOps > 1) markSweeps(block, rewriter);
      blocks.push_back(&block);
    }
    std::vector<std::vector<std::unique_ptr<DispatchGroup>>> groups(blocks.size());
    parallelFor(&getContext(), 0, blocks.size(),
                [&](size_t i) { groups[i] = groupOps(*blocks[i], limits); });
    for (auto [block, ofBlock] : llvm::zip(blocks, groups)) {
      for (auto& group : ofBlock) outlineGroup(*group, symbols, rewriter);
      eraseDead(*block, rewriter);
    }
  }

 private:
  /// Fills that become kernels of their own are ops like any other.
  static void generalizeFills(Block& block, RewriterBase& rewriter) {
    for (auto fill : llvm::to_vector(block.getOps<linalg::FillOp>())) {
      // Each view of a fill has one of its own, so that what is put into it can be written in
      // place.
      for (OpOperand& use : llvm::make_early_inc_range(fill->getUses())) {
        if (!isView(use.getOwner())) continue;
        rewriter.setInsertionPoint(use.getOwner());
        use.set(rewriter.clone(*fill)->getResult(0));
      }
    }
    for (auto fill : llvm::to_vector(block.getOps<linalg::FillOp>())) {
      if (isClonedIntoKernels(fill)) continue;
      rewriter.setInsertionPoint(fill);
      Value init = fill.getOutputs()[0], scalar = fill.getInputs()[0];
      int64_t rank = cast<RankedTensorType>(init.getType()).getRank();
      SmallVector<utils::IteratorType> iterators(rank, utils::IteratorType::parallel);
      rewriter.replaceOpWithNewOp<linalg::GenericOp>(
          fill, fill.getResultTypes(), ValueRange(), ValueRange(init),
          rewriter.getMultiDimIdentityMap(static_cast<unsigned>(rank)), iterators,
          [&](OpBuilder& b, Location loc, ValueRange) { linalg::YieldOp::create(b, loc, scalar); });
    }
  }

  static void eraseDead(Block& block, RewriterBase& rewriter) {
    for (Operation& op : llvm::make_early_inc_range(llvm::reverse(block))) {
      if (isOpTriviallyDead(&op)) rewriter.eraseOp(&op);
    }
  }
};

}  // namespace
}  // namespace weir
