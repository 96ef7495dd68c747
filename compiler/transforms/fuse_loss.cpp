#include "compiler/dialect/feature_ops.h"
#include "compiler/dialect/linalg_builder.h"
#include "compiler/dialect/loss_ops.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/TypeUtilities.h"

#include "compiler/transforms/fuse_loss_pass.h"

namespace weir {

#define GEN_PASS_DEF_FUSELOSS
#include "compiler/transforms/fuse_loss_pass.h.inc"

using namespace mlir;

namespace {

/// The features and the weight whose product `logits` is; nulls if it is none.
std::pair<Value, Value> factorsOf(Value logits) {
  if (auto head = logits.getDefiningOp<HeadOp>())
    if (head.getParameters().size() == 1) return {head.getX(), head.getParameters()[0]};
  if (auto linear = logits.getDefiningOp<LinearOp>())
    if (linear.getParameters().size() == 1) return {linear.getX(), linear.getParameters()[0]};
  return {};
}

struct FuseLoss : impl::FuseLossBase<FuseLoss> {
  using FuseLossBase::FuseLossBase;

  void runOnOperation() override {
    if (getOperation().isExternal()) return;
    getOperation().walk([&](CrossEntropyOp loss) { fuse(loss); });
  }

 private:
  /// Whether logits of `type`, whose factors are of `features` features of type `narrow`, are
  /// better computed twice than stored.
  bool repays(RankedTensorType type, int64_t features, Type narrow) {
    int64_t wideBytes = type.getElementTypeBitWidth() / 8,
            narrowBytes = narrow.getIntOrFloatBitWidth() / 8;
    if (type.getNumElements() * wideBytes < minBytes) return false;
    auto moved = static_cast<double>(2 * wideBytes + 3 * narrowBytes);
    return 2.0 * static_cast<double>(features) <= operationsPerByte * moved;
  }

  void fuse(CrossEntropyOp loss) {
    Value logits = loss.getLogits(), targets = loss.getTargets();
    auto type = cast<RankedTensorType>(logits.getType());
    auto [x, weight] = factorsOf(logits);
    if (!x || !logits.hasOneUse() || !hasStaticShapes(loss) ||
        !hasStaticShapes(logits.getDefiningOp()))
      return;
    if (!repays(type, shapeOf(x).back(), getElementTypeOrSelf(x.getType()))) return;
    Operation* head = logits.getDefiningOp();
    OpBuilder b(loss);
    Type rows = RankedTensorType::get(shapeOf(targets), type.getElementType());
    auto statistics =
        LogitStatisticsOp::create(b, head->getLoc(), rows, rows, rows, x, weight, targets);
    loss->replaceAllUsesWith(crossEntropyOf(b, loss.getLoc(), targets, statistics.getLogSum(),
                                            statistics.getPeak(), statistics.getPicked()));
    loss.erase();
    head->erase();
  }
};

}  // namespace
}  // namespace weir
