#include "compiler/transforms/sink_widening.h"

#include "compiler/dialect/recurrence_ops.h"
#include "mlir/IR/TypeUtilities.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

namespace weir {
using namespace mlir;

namespace {

template <typename View>
struct SinkWidening : OpRewritePattern<View> {
  using OpRewritePattern<View>::OpRewritePattern;

  LogicalResult matchAndRewrite(View view, PatternRewriter& rewriter) const override {
    // The source is the first operand of each of these ops.
    auto extended = view->getOperand(0).template getDefiningOp<arith::ExtFOp>();
    if (!extended) return failure();
    auto wide = cast<RankedTensorType>(view.getResult().getType());
    Type narrow = getElementTypeOrSelf(extended.getIn().getType());
    Operation* moved = rewriter.clone(*view);
    moved->setOperand(0, extended.getIn());
    moved->getResult(0).setType(wide.clone(narrow));
    rewriter.replaceOpWithNewOp<arith::ExtFOp>(view, wide, moved->getResult(0),
                                               arith::FastMathFlagsAttr());
    return success();
  }
};

/// A recurrence reads an input at each time as it lies in memory, and widens it in its step.
struct SinkIntoStep : OpRewritePattern<RecurrenceOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(RecurrenceOp op, PatternRewriter& rewriter) const override {
    MutableOperandRange inputs = op.getInputsMutable();
    bool changed = false;
    for (size_t i = 0; i < inputs.size(); ++i) {
      BlockArgument argument = op.getInputArguments()[i];
      auto extended = inputs[i].get().getDefiningOp<arith::ExtFOp>();
      if (!extended) continue;
      auto wide = cast<RankedTensorType>(argument.getType());
      rewriter.modifyOpInPlace(op, [&] {
        inputs[i].set(extended.getIn());
        argument.setType(wide.clone(getElementTypeOrSelf(extended.getIn().getType())));
      });
      rewriter.setInsertionPointToStart(&op.getStep().front());
      auto inside =
          arith::ExtFOp::create(rewriter, op.getLoc(), wide, argument, arith::FastMathFlagsAttr());
      rewriter.replaceAllUsesExcept(argument, inside, inside);
      changed = true;
    }
    return success(changed);
  }
};

}  // namespace

void populateSinkWideningPatterns(RewritePatternSet& patterns) {
  patterns.add<SinkWidening<tensor::ExtractSliceOp>, SinkWidening<tensor::ExpandShapeOp>,
               SinkWidening<tensor::CollapseShapeOp>, SinkIntoStep>(patterns.getContext());
  arith::TruncFOp::getCanonicalizationPatterns(patterns, patterns.getContext());
}

}  // namespace weir
