#include "compiler/driver/check/tests/planted.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"

#include "compiler/dialect/elementwise_builder.h"
#include "compiler/dialect/linalg_builder.h"
#include "compiler/dialect/op_support.h"
#include "compiler/dialect/streaming.h"

#include "compiler/driver/check/tests/planted_dialect.cpp.inc"

#define GET_OP_CLASSES
#include "compiler/driver/check/tests/planted_ops.cpp.inc"

namespace weir::planted {

using namespace mlir;

using Decomposed = FailureOr<SmallVector<Value>>;

void PlantedDialect::initialize() {
  addOperations<
#define GET_OP_LIST
#include "compiler/driver/check/tests/planted_ops.cpp.inc"
      >();
}

// square

Decomposed SquareOp::decomposeOperation(OpBuilder& b) {
  ElementwiseBuilder e(b, getLoc());
  return SmallVector<Value>{e.mul(getX(), getX())};
}

LogicalResult SquareOp::buildVjp(OpBuilder& b, ValueRange cotangents,
                                 SmallVectorImpl<Value>& operandCotangents) {
  ElementwiseBuilder e(b, getLoc());
  Value slope = getWrongGradient() ? getX() : e.add(getX(), getX());
  operandCotangents.push_back(e.mul(cotangents[0], slope));
  return success();
}

Cost SquareOp::cost() { return streamingCost(*this, getLies() ? 0.25 : 1); }

// unwritten

Decomposed UnwrittenOp::decomposeOperation(OpBuilder& b) {
  LinalgBuilder l(b, getLoc());
  ArrayRef<int64_t> shape = shapeOf(getX());
  Value copy = getX();
  if (getReads() && shape[1] > 1) {
    // All times but the last are written.
    SmallVector<OpFoldResult> offsets(3, b.getIndexAttr(0)), strides(3, b.getIndexAttr(1));
    SmallVector<OpFoldResult> sizes{b.getIndexAttr(shape[0]), b.getIndexAttr(shape[1] - 1),
                                    b.getIndexAttr(shape[2])};
    Value part = l.sliceDim(getX(), 1, 0, shape[1] - 1);
    Value empty = l.empty(shape, getElementTypeOrSelf(getX().getType()));
    copy = tensor::InsertSliceOp::create(b, getLoc(), part, empty, offsets, sizes, strides);
  }
  return SmallVector<Value>{l.elementwise(
      {getX(), copy}, [](ElementwiseBuilder e, ValueRange v) { return e.add(v[0], v[1]); })};
}

Cost UnwrittenOp::cost() { return streamingCost(*this, 1); }

// pairs

Decomposed PairsOp::decomposeOperation(OpBuilder& b) {
  LinalgBuilder l(b, getLoc());
  ArrayRef<int64_t> shape = shapeOf(getX());
  Type element = getElementTypeOrSelf(getX().getType());
  // Loops: batch, time, feature, the other time.
  return SmallVector<Value>{l.sum({shape[0], shape[1], shape[2], shape[1]}, {3}, element, getX(),
                                  l.map(4, {0, 3, 2}), [&](ElementwiseBuilder e, ValueRange v) {
                                    Type i64 = e.builder().getI64Type();
                                    Value before = e.atLeast(e.index(1, i64), e.index(3, i64));
                                    return e.select(before, v[0], e.constant(0, element));
                                  })};
}

Cost PairsOp::cost() {
  Cost cost = streamingCost(*this, 1);
  if (!getLies()) cost.flops = cost.flops * Polynomial::length();
  return cost;
}

// shift

LogicalResult ShiftOp::inferReturnTypes(MLIRContext*, std::optional<Location>, Adaptor adaptor,
                                        SmallVectorImpl<Type>& inferred) {
  inferred.push_back(adaptor.getX().getType());
  return success();
}
bool ShiftOp::isCompatibleReturnTypes(TypeRange l, TypeRange r) { return compatible(l, r); }

void ShiftOp::bindSegments(Value segments) { getSegmentsMutable().assign(segments); }
void ShiftOp::bindStart(Value) {}

Decomposed ShiftOp::decomposeOperation(OpBuilder& b) {
  LinalgBuilder l(b, getLoc());
  ArrayRef<int64_t> shape = shapeOf(getX());
  int64_t time = shape[1];
  Type element = getElementTypeOrSelf(getX().getType());
  Value zero = l.filled(0, {shape[0], 1, shape[2]}, element);
  auto moved = [&](Value tensor, Value edge) {
    Value whole = getAhead() ? l.concat(1, {tensor, edge}) : l.concat(1, {edge, tensor});
    return l.sliceDim(whole, 1, getAhead() ? 1 : 0, time);
  };
  Value result = moved(getX(), getInitial() && !getAhead() ? getInitial() : zero);
  if (!getSegments() || getLeaks()) return SmallVector<Value>{result};
  Value ids = moved(getSegments(), l.sliceDim(getSegments(), 1, getAhead() ? time - 1 : 0, 1));
  AffineMap token = l.map(3, {0, 1});
  return SmallVector<Value>{
      l.elementwise(shape, element, {result, ids, getSegments()}, {l.identity(3), token, token},
                    [&](ElementwiseBuilder e, ValueRange v) {
                      return e.select(e.equal(v[1], v[2]), v[0], e.constant(0, element));
                    })};
}

Cost ShiftOp::cost() {
  Cost cost = streamingCost(*this, 0);
  cost.stateBytes = Polynomial::batch() * Polynomial(4.0 * featuresOf(getX().getType()));
  return cost;
}

LogicalResult ShiftOp::stateSpecs(const StreamContext& context,
                                  SmallVectorImpl<StreamStateSpec>& specs) {
  auto type = cast<RankedTensorType>(getX().getType());
  specs.push_back({"last", type.clone({context.batch, 1, type.getDimSize(2)})});
  return success();
}

Decomposed ShiftOp::buildStep(OpBuilder& b, const StreamArguments& arguments,
                              SmallVectorImpl<Value>& newStates) {
  LinalgBuilder l(b, getLoc());
  Value before = arguments.states[0];
  Value kept = getLeaks() ? before : keepWithinSegment(l, arguments, before);
  auto step = cast<ShiftOp>(b.clone(*getOperation()));
  step.getInitialMutable().assign(kept);
  newStates.push_back(getForgets() ? before : l.sliceDim(getX(), 1, shapeOf(getX())[1] - 1, 1));
  return SmallVector<Value>{step.getResult()};
}

}  // namespace weir::planted
