#include "compiler/transforms/sink_widening.h"

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

}  // namespace

void populateSinkWideningPatterns(RewritePatternSet& patterns) {
  patterns.add<SinkWidening<tensor::ExtractSliceOp>, SinkWidening<tensor::ExpandShapeOp>,
               SinkWidening<tensor::CollapseShapeOp>>(patterns.getContext());
  arith::TruncFOp::getCanonicalizationPatterns(patterns, patterns.getContext());
}

}  // namespace weir
