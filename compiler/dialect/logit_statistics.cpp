// weir.logit_statistics and weir.logit_statistics_vjp: what they take and give, what they mean, and
// the gradient.

#include "compiler/dialect/linalg_builder.h"
#include "compiler/dialect/loss_ops.h"
#include "compiler/dialect/op_support.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/TypeUtilities.h"

namespace weir {
using namespace mlir;

namespace {

/// x is (batch, time, features), the weight (classes, features) of the same type, targets (batch,
/// time).
template <typename Op>
LogicalResult verifyInputs(Op op) {
  ArrayRef<int64_t> x = shapeOf(op.getX()), weight = shapeOf(op.getWeight()),
                    targets = shapeOf(op.getTargets());
  if (x.size() != 3 || weight.size() != 2 || targets.size() != 2 ||
      failed(verifyCompatibleShape(x.drop_back(), targets)) ||
      failed(verifyCompatibleShape(x.take_back(), weight.take_back())))
    return op.emitOpError() << "takes features of batch, time and features, a weight of classes "
                               "and features and targets of batch and time, not "
                            << op.getX().getType() << ", " << op.getWeight().getType() << " and "
                            << op.getTargets().getType();
  if (getElementTypeOrSelf(op.getX().getType()) != getElementTypeOrSelf(op.getWeight().getType()))
    return op.emitOpError() << "has features and a weight of different element types, "
                            << op.getX().getType() << " and " << op.getWeight().getType();
  return success();
}

RankedTensorType rowsType(Type x) {
  auto type = cast<RankedTensorType>(x);
  return RankedTensorType::get(type.getShape().drop_back(), accumulatorType(type.getElementType()));
}

/// Operations of a product of x and the weight.
template <typename Op>
Polynomial productOf(Op op) {
  return elementCount(op.getX().getType()) *
         Polynomial(2.0 * static_cast<double>(shapeOf(op.getWeight())[0]));
}

/// The logits over (batch, time, classes).
template <typename Op>
Value logitsOf(LinalgBuilder& l, Op op) {
  return l.contract(op.getX(), {0, 1, 2}, op.getWeight(), {3, 2}, {0, 1, 3}, 4);
}

}  // namespace

LogicalResult LogitStatisticsOp::verify() { return verifyInputs(*this); }

LogicalResult LogitStatisticsOp::inferReturnTypes(MLIRContext*, std::optional<Location> location,
                                                  Adaptor adaptor,
                                                  SmallVectorImpl<Type>& inferred) {
  Type x = adaptor.getX().getType();
  if (cast<RankedTensorType>(x).getRank() != 3)
    return emitOptionalError(location, "takes features of batch, time and features, not ", x);
  inferred.append(3, rowsType(x));
  return success();
}
bool LogitStatisticsOp::isCompatibleReturnTypes(TypeRange l, TypeRange r) {
  return compatible(l, r);
}

SmallVector<OpOperand*> LogitStatisticsOp::autocastOperands() {
  return {&getXMutable(), &getWeightMutable()};
}
bool LogitStatisticsOp::keepsF32Result() { return true; }

Cost LogitStatisticsOp::cost() {
  Cost cost = streamingCost(*this, 0);
  cost.flops = cost.products = productOf(*this);
  return cost;
}

FailureOr<SmallVector<Value>> LogitStatisticsOp::decomposeOperation(OpBuilder& b) {
  if (failed(requireDecomposable(*this))) return failure();
  LinalgBuilder l(b, getLoc());
  Value logits = logitsOf(l, *this);
  ArrayRef<int64_t> shape = shapeOf(logits), rows = shapeOf(getTargets());
  Type element = getElementTypeOrSelf(logits.getType());
  AffineMap all = l.identity(3), row = l.map(3, {0, 1});
  Value peak = l.maximum(shape, {2}, element, logits, all,
                         [](ElementwiseBuilder, ValueRange v) { return v[0]; });
  Value sums = l.sum(shape, {2}, element, {logits, peak}, {all, row},
                     [](ElementwiseBuilder e, ValueRange v) { return e.exp(e.sub(v[0], v[1])); });
  Value picked = l.sum(shape, {2}, element, {logits, getTargets()}, {all, row},
                       [&](ElementwiseBuilder e, ValueRange v) {
                         Value hit = e.equal(e.index(2, v[1].getType()), v[1]);
                         return e.select(hit, v[0], e.constant(0, element));
                       });
  Value logSum =
      l.elementwise(rows, element, {sums, peak}, {l.identity(2), l.identity(2)},
                    [](ElementwiseBuilder e, ValueRange v) { return e.add(e.log(v[0]), v[1]); });
  return SmallVector<Value>{logSum, peak, picked};
}

LogicalResult LogitStatisticsOp::buildVjp(OpBuilder& b, ValueRange cotangents,
                                          SmallVectorImpl<Value>& operandCotangents) {
  if (failed(requireDecomposable(*this))) return failure();
  if (cotangents[1]) return emitOpError("has no gradient with respect to the largest logit");
  LinalgBuilder l(b, getLoc());
  auto orZero = [&](Value cotangent) {
    return cotangent ? cotangent : l.filledLike(0, getLogSum());
  };
  Value ofSum = orZero(cotangents[0]), ofPicked = orZero(cotangents[2]);
  auto weightType = cast<RankedTensorType>(getWeight().getType());
  auto vjp = LogitStatisticsVjpOp::create(
      b, getLoc(), getX().getType(), weightType.clone(accumulatorType(weightType.getElementType())),
      getX(), getWeight(), getTargets(), getLogSum(), getPicked(), ofSum, ofPicked);
  Value ofWeight = vjp.getDweight();
  if (ofWeight.getType() != weightType)
    ofWeight = l.elementwise(weightType.getShape(), weightType.getElementType(), ofWeight,
                             l.identity(2), [&](ElementwiseBuilder e, ValueRange v) {
                               return e.cast(v[0], weightType.getElementType());
                             });
  operandCotangents.append({vjp.getDx(), ofWeight, Value()});
  return success();
}

LogicalResult LogitStatisticsVjpOp::verify() {
  if (failed(verifyInputs(*this))) return failure();
  RankedTensorType rows = rowsType(getX().getType());
  for (Value value : {getLogSum(), getPicked(), getDLogSum(), getDPicked()})
    if (value.getType() != rows)
      return emitOpError() << "takes logits and cotangents of " << rows << ", not "
                           << value.getType();
  auto x = cast<RankedTensorType>(getX().getType());
  auto weight = cast<RankedTensorType>(getWeight().getType());
  Type wide = accumulatorType(x.getElementType());
  if ((getDx().getType() != x && getDx().getType() != x.clone(wide)) ||
      getDweight().getType() != weight.clone(wide))
    return emitOpError() << "gives cotangents of " << x.clone(wide) << " and " << weight.clone(wide)
                         << ", not " << getDx().getType() << " and " << getDweight().getType();
  return success();
}

Cost LogitStatisticsVjpOp::cost() {
  Cost cost = streamingCost(*this, 0);
  cost.flops = cost.products = productOf(*this) * Polynomial(3);
  return cost;
}

FailureOr<SmallVector<Value>> LogitStatisticsVjpOp::decomposeOperation(OpBuilder& b) {
  if (failed(requireDecomposable(*this))) return failure();
  LinalgBuilder l(b, getLoc());
  Value logits = logitsOf(l, *this);
  ArrayRef<int64_t> shape = shapeOf(logits);
  Type wide = getElementTypeOrSelf(logits.getType()),
       narrow = getElementTypeOrSelf(getX().getType());
  AffineMap all = l.identity(3), row = l.map(3, {0, 1});
  Value ofLogits =
      l.elementwise(shape, narrow, {logits, getTargets(), getLogSum(), getDLogSum(), getDPicked()},
                    {all, row, row, row, row}, [&](ElementwiseBuilder e, ValueRange v) {
                      Value hit = e.equal(e.index(2, v[1].getType()), v[1]);
                      Value ofSum = e.mul(e.exp(e.sub(v[0], v[2])), v[3]);
                      return e.cast(e.add(ofSum, e.select(hit, v[4], e.constant(0, wide))), narrow);
                    });
  Value dx = l.contract(ofLogits, {0, 1, 3}, getWeight(), {3, 2}, {0, 1, 2}, 4);
  if (dx.getType() != getDx().getType())
    dx = l.elementwise(shapeOf(dx), narrow, dx, l.identity(3),
                       [&](ElementwiseBuilder e, ValueRange v) { return e.cast(v[0], narrow); });
  Value ofWeight = l.contract(ofLogits, {0, 1, 3}, getX(), {0, 1, 2}, {3, 2}, 4);
  return SmallVector<Value>{dx, ofWeight};
}

}  // namespace weir
