// Elementwise fusion by upstream's patterns; what is ours is the answer to "is it worth it?".
//
// Dispatch comes later and keeps the values between ops of one kernel in scratch, so this pass only
// takes fusions that can't lose: it never makes a consumer evaluate an expensive body more often
// than once per element of the producer.

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Linalg/Transforms/Transforms.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

#include "compiler/dialect/dialect.h"
#include "compiler/transforms/fuse_elementwise_pass.h"
#include "compiler/transforms/op_kinds.h"

namespace weir {

#define GEN_PASS_DEF_FUSEELEMENTWISE
#include "compiler/transforms/fuse_elementwise_pass.h.inc"

using namespace mlir;

namespace {

/// A body of nothing but conversions to a wider type (which products undo in their inner loop at no
/// cost).
bool widensOnly(linalg::GenericOp op) {
  bool any = false;
  for (Operation& inner : op.getBody()->without_terminator()) {
    if (!isa<arith::ExtFOp>(inner)) return false;
    any = true;
  }
  return any && op.getNumDpsInputs() == 1;
}

/// Bytes of the inputs of `producer` that `consumer` doesn't read already.
int64_t newBytes(linalg::GenericOp producer, linalg::GenericOp consumer) {
  int64_t bytes = 0;
  for (Value input : producer.getInputs()) {
    if (!llvm::is_contained(consumer.getInputs(), input)) bytes += byteSize(input.getType());
  }
  return bytes;
}

bool isUsedOnlyBy(Value value, Operation* user) {
  return llvm::all_of(value.getUsers(), [&](Operation* other) { return other == user; });
}

/// Fuses a producer into a product as upstream does, and keeps what the product asks for.
struct FuseIntoProduct : OpRewritePattern<linalg::GenericOp> {
  FuseIntoProduct(MLIRContext* context, llvm::function_ref<bool(OpOperand*)> isWorthIt)
      : OpRewritePattern(context), isWorthIt(isWorthIt) {}

  LogicalResult matchAndRewrite(linalg::GenericOp op, PatternRewriter& rewriter) const override {
    if (!isContraction(op)) return failure();
    for (OpOperand* operand : op.getDpsInputOperands()) {
      if (!linalg::areElementwiseOpsFusable(operand) || !isWorthIt(operand)) continue;
      FailureOr<linalg::ElementwiseOpFusionResult> fused =
          linalg::fuseElementwiseOps(rewriter, operand);
      if (failed(fused)) continue;
      if (Attribute tiles = op->getAttr(kTilesAttr)) fused->fusedOp->setAttr(kTilesAttr, tiles);
      Operation* producer = operand->get().getDefiningOp();
      for (auto [from, to] : fused->replacements)
        rewriter.replaceUsesWithIf(
            from, to, [&](OpOperand& use) { return use.get().getDefiningOp() != producer; });
      rewriter.eraseOp(op);
      return success();
    }
    return failure();
  }

  llvm::function_ref<bool(OpOperand*)> isWorthIt;
};

struct FuseElementwise : impl::FuseElementwiseBase<FuseElementwise> {
  using FuseElementwiseBase::FuseElementwiseBase;

  void runOnOperation() override {
    func::FuncOp function = getOperation();
    if (function.isExternal()) return;
    RewritePatternSet patterns(&getContext());
    auto worthIt = [&](OpOperand* operand) { return isWorthIt(operand); };
    patterns.add<FuseIntoProduct>(&getContext(), worthIt);
    linalg::populateElementwiseOpsFusionPatterns(patterns, [&](OpOperand* operand) {
      auto consumer = dyn_cast<linalg::GenericOp>(operand->getOwner());
      return consumer && !isContraction(consumer) && isWorthIt(operand);
    });
    linalg::populateEraseUnusedOperandsAndResultsPatterns(patterns);
    GreedyRewriteConfig config;
    config.setUseTopDownTraversal(true);
    if (failed(applyPatternsGreedily(function, std::move(patterns), config))) signalPassFailure();
  }

 private:
  bool isWorthIt(OpOperand* operand) {
    auto producer = operand->get().getDefiningOp<linalg::GenericOp>();
    auto consumer = dyn_cast<linalg::GenericOp>(operand->getOwner());
    if (!producer || !consumer || !isElementwise(producer)) return false;
    // Results beyond the fused one would be computed by a second copy of the body.
    if (producer.getNumResults() != 1) return false;
    if (isContraction(consumer)) {
      return widensOnly(producer) &&
             producer.getMatchingIndexingMap(producer.getDpsInputOperand(0)).isPermutation();
    }
    // What is rounded is stored so; widening happens where it is read.
    if (roundsResult(producer) || widensOnly(consumer)) return false;
    if (producer.getNumDpsInputs() + consumer.getNumDpsInputs() - 1 > maxInputs) return false;

    int64_t evaluations = numPoints(consumer);
    int64_t elements = numPoints(producer);
    bool repeats = evaluations > elements;
    int64_t cost = bodyCost(producer);
    bool isCheap = cost <= cheap;
    if (isUsedOnlyBy(operand->get(), consumer)) return !repeats || isCheap;
    // Several users: each evaluates the body for itself and reads the producer's inputs in its
    // stead.
    return isCheap && newBytes(producer, consumer) <= byteSize(operand->get().getType());
  }
};

}  // namespace
}  // namespace weir
