#include "compiler/dialect/position_ops.h"

#include <cmath>

#include "compiler/dialect/embedding_ops.h"
#include "compiler/dialect/linalg_builder.h"
#include "compiler/dialect/op_support.h"
#include "compiler/dialect/positions.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "mlir/IR/TypeUtilities.h"

#define GET_OP_CLASSES
#include "compiler/dialect/position_ops.cpp.inc"

namespace weir {
using namespace mlir;

void registerPositionOps(WeirDialect& dialect) {
  dialect.registerOps<
#define GET_OP_LIST
#include "compiler/dialect/position_ops.cpp.inc"
      >();
}

namespace {

using Decomposed = FailureOr<SmallVector<Value>>;

LogicalResult verifySequence(Operation* op, Type type) {
  if (cast<RankedTensorType>(type).getRank() == 3) return success();
  return op->emitOpError() << "takes tensors of batch, time and features, not " << type;
}

LogicalResult verifyStart(Operation* op, Value start) {
  if (!start || cast<RankedTensorType>(start.getType()).getRank() <= 1) return success();
  return op->emitOpError() << "takes one start for all rows, or one for each, not "
                           << start.getType();
}

/// The step form of all ops here: nothing is carried but the position.
template <typename Op>
SmallVector<Value> stepAt(OpBuilder& b, Op op, const StreamArguments& arguments) {
  auto step = cast<Op>(b.clone(*op.getOperation()));
  step.bindStart(arguments.position ? arguments.position : arguments.start);
  return llvm::to_vector_of<Value>(step->getResults());
}

}  // namespace

// rotary

LogicalResult RotaryOp::verify() {
  if (failed(verifyStart(*this, getStart()))) return failure();
  if (getInputs().empty()) return emitOpError() << "needs a tensor to turn";
  for (Type type : getInputs().getTypes()) {
    if (failed(verifySequence(*this, type))) return failure();
    int64_t features = featuresOf(type), pairs = 2 * getNumHeads().value_or(1);
    if (!ShapedType::isDynamic(features) && (pairs <= 0 || features % pairs != 0))
      return emitOpError() << "cannot pair " << features << " features in "
                           << getNumHeads().value_or(1) << " heads: each head needs an even number";
  }
  if (getSizes().getNumResults() > 1) return emitOpError() << "takes one size, the number of heads";
  return verifySizes(*this, getSizeOperands(), getSizes(), getSizes().getNumResults());
}

LogicalResult RotaryOp::inferReturnTypes(MLIRContext*, std::optional<Location>, Adaptor adaptor,
                                         SmallVectorImpl<Type>& inferred) {
  llvm::append_range(inferred, adaptor.getInputs().getTypes());
  return success();
}
bool RotaryOp::isCompatibleReturnTypes(TypeRange l, TypeRange r) { return compatible(l, r); }

LogicalResult RotaryOp::parameterSpecs(TypeRange, ArrayRef<int64_t>,
                                       SmallVectorImpl<ParameterSpec>&) {
  return success();
}
bool RotaryOp::isBound() { return getSizes().getNumResults() == 0; }
void RotaryOp::bindParameters(ValueRange, ArrayRef<int64_t> sizes) {
  if (sizes.empty()) return;
  getSizeOperandsMutable().clear();
  setSizes(AffineMap::get(getContext()));
  setNumHeads(sizes[0]);
}

void RotaryOp::bindSegments(Value segments) { getSegmentsMutable().assign(segments); }
void RotaryOp::bindStart(Value start) { getStartMutable().assign(start); }
bool RotaryOp::usesStart() { return true; }
LogicalResult RotaryOp::stateSpecs(const StreamContext&, SmallVectorImpl<StreamStateSpec>&) {
  return success();
}
Decomposed RotaryOp::buildStep(OpBuilder& b, const StreamArguments& arguments,
                               SmallVectorImpl<Value>&) {
  return stepAt(b, *this, arguments);
}

Decomposed RotaryOp::decomposeOperation(OpBuilder& b) {
  if (failed(requireDecomposable(*this, isBound()))) return failure();
  LinalgBuilder l(b, getLoc());
  SmallVector<Value> results;
  int64_t heads = getNumHeads().value_or(1);
  for (Value x : getInputs()) {
    ArrayRef<int64_t> shape = shapeOf(x);
    int64_t half = shape[2] / heads / 2;
    Type element = getElementTypeOrSelf(x.getType()), wide = accumulatorType(element);
    AngleTables tables =
        buildAngleTables(l, shape[0], shape[1], half, wide, getSegments(), getStart());
    // Over (batch, time, head, which half, pair); the partner of a feature is in the other half.
    SmallVector<int64_t> paired{shape[0], shape[1], heads, 2, half};
    Value pairs = l.reshape(x, paired);
    SmallVector<AffineExpr> partner;
    for (unsigned dim = 0; dim < 5; ++dim)
      partner.push_back(dim == 3 ? 1 - b.getAffineDimExpr(3) : b.getAffineDimExpr(dim));
    AffineMap partnerMap = AffineMap::get(5, 0, partner, b.getContext());
    AffineMap table = tables.map(5, 0, 1, 4);
    double direction = getInverse() ? -1 : 1;
    Value turned = l.elementwise(
        paired, element, {pairs, pairs, tables.cosine, tables.sine},
        {l.identity(5), partnerMap, table, table}, [&](ElementwiseBuilder e, ValueRange v) {
          Type i64 = b.getI64Type();
          Value isFirst = e.equal(e.index(3, i64), e.integer(0, i64));
          Value sign = e.select(isFirst, e.constant(-direction, wide), e.constant(direction, wide));
          Value along = e.mul(e.cast(v[0], wide), v[2]);
          return e.cast(e.add(along, e.mul(sign, e.mul(e.cast(v[1], wide), v[3]))), element);
        });
    results.push_back(l.reshape(turned, shape));
  }
  return results;
}

LogicalResult RotaryOp::buildVjp(OpBuilder& b, ValueRange cotangents,
                                 SmallVectorImpl<Value>& operandCotangents) {
  SmallVector<Value> present;
  for (Value cotangent : cotangents)
    if (cotangent) present.push_back(cotangent);
  SmallVector<Value> turned;
  if (!present.empty()) {
    auto back = RotaryOp::create(b, getLoc(), TypeRange(ValueRange(present)), present, ValueRange(),
                                 getSegments(), getStart(), AffineMapAttr::get(getSizes()),
                                 getNumHeadsAttr(), getInverse() ? UnitAttr() : b.getUnitAttr());
    llvm::append_range(turned, back.getResults());
  }
  unsigned next = 0;
  for (Value cotangent : cotangents)
    operandCotangents.push_back(cotangent ? turned[next++] : Value());
  operandCotangents.append(getNumOperands() - getInputs().size(), Value());
  return success();
}

Cost RotaryOp::cost() {
  Cost cost = streamingCost(*this, 3.0 * getInputs().size());
  return cost;
}

// scaled_sin

LogicalResult ScaledSinOp::verify() {
  if (failed(verifySequence(*this, getX().getType())) || failed(verifyStart(*this, getStart())))
    return failure();
  int64_t features = featuresOf(getX().getType());
  if (!ShapedType::isDynamic(features) && features % 2 != 0)
    return emitOpError() << "needs an even number of features, but has " << features;
  if (getParameters().empty() && !getName())
    return emitOpError() << "needs a name, or its parameter";
  return verifySizes(*this, getSizeOperands(), getSizes(), 0);
}

LogicalResult ScaledSinOp::inferReturnTypes(MLIRContext*, std::optional<Location>, Adaptor adaptor,
                                            SmallVectorImpl<Type>& inferred) {
  inferred.push_back(adaptor.getX().getType());
  return success();
}
bool ScaledSinOp::isCompatibleReturnTypes(TypeRange l, TypeRange r) { return compatible(l, r); }

LogicalResult ScaledSinOp::parameterSpecs(TypeRange types, ArrayRef<int64_t>,
                                          SmallVectorImpl<ParameterSpec>& specs) {
  int64_t features = featuresOf(types[0]);
  if (failed(requireStatic(*this, features, "number of features"))) return failure();
  specs.push_back(
      {"weight", {}, "constant(" + formatNumber(1 / std::sqrt(double(features))) + ")", ""});
  return success();
}

void ScaledSinOp::bindSegments(Value segments) { getSegmentsMutable().assign(segments); }
void ScaledSinOp::bindStart(Value start) { getStartMutable().assign(start); }
bool ScaledSinOp::usesStart() { return true; }
LogicalResult ScaledSinOp::stateSpecs(const StreamContext&, SmallVectorImpl<StreamStateSpec>&) {
  return success();
}
Decomposed ScaledSinOp::buildStep(OpBuilder& b, const StreamArguments& arguments,
                                  SmallVectorImpl<Value>&) {
  return stepAt(b, *this, arguments);
}

Decomposed ScaledSinOp::decomposeOperation(OpBuilder& b) {
  if (failed(requireDecomposable(*this, !getParameters().empty()))) return failure();
  LinalgBuilder l(b, getLoc());
  ArrayRef<int64_t> shape = shapeOf(getX());
  int64_t half = shape[2] / 2;
  Type element = getElementTypeOrSelf(getX().getType()), wide = accumulatorType(element);
  AngleTables tables =
      buildAngleTables(l, shape[0], shape[1], half, wide, getSegments(), getStart());
  // Over (batch, time, sine or cosine, frequency).
  SmallVector<int64_t> halves{shape[0], shape[1], 2, half};
  AffineMap table = tables.map(4, 0, 1, 3);
  Value y = l.elementwise(
      halves, element, {l.reshape(getX(), halves), getParameters()[0], tables.sine, tables.cosine},
      {l.identity(4), l.map(4, {}), table, table}, [&](ElementwiseBuilder e, ValueRange v) {
        Type i64 = b.getI64Type();
        Value wave = e.select(e.equal(e.index(2, i64), e.integer(0, i64)), v[2], v[3]);
        return e.cast(e.add(e.cast(v[0], wide), e.mul(e.cast(v[1], wide), wave)), element);
      });
  return SmallVector<Value>{l.reshape(y, shape)};
}

Cost ScaledSinOp::cost() { return streamingCost(*this, 2); }

// learned_positions

LogicalResult LearnedPositionsOp::verify() {
  if (failed(verifySequence(*this, getX().getType())) || failed(verifyStart(*this, getStart())))
    return failure();
  if (!getParameters().empty()) {
    int64_t length = cast<RankedTensorType>(getParameters()[0].getType()).getDimSize(0);
    int64_t time = cast<RankedTensorType>(getX().getType()).getDimSize(1);
    if (!ShapedType::isDynamic(time) && time > length)
      return emitOpError() << "has " << length << " positions, fewer than the " << time
                           << " of the sequence";
    return success();
  }
  if (!getName()) return emitOpError() << "needs a name, or its parameter";
  return verifySizes(*this, getSizeOperands(), getSizes(), 1);
}

LogicalResult LearnedPositionsOp::inferReturnTypes(MLIRContext*, std::optional<Location>,
                                                   Adaptor adaptor,
                                                   SmallVectorImpl<Type>& inferred) {
  inferred.push_back(adaptor.getX().getType());
  return success();
}
bool LearnedPositionsOp::isCompatibleReturnTypes(TypeRange l, TypeRange r) {
  return compatible(l, r);
}

LogicalResult LearnedPositionsOp::parameterSpecs(TypeRange types, ArrayRef<int64_t> sizes,
                                                 SmallVectorImpl<ParameterSpec>& specs) {
  int64_t features = featuresOf(types[0]);
  if (failed(requireStatic(*this, features, "number of features"))) return failure();
  specs.push_back(
      {"weight", {sizes[0], features}, weightInit(getInit(), "normal(0.02)", features), ""});
  return success();
}

void LearnedPositionsOp::bindSegments(Value segments) { getSegmentsMutable().assign(segments); }
void LearnedPositionsOp::bindStart(Value start) { getStartMutable().assign(start); }
bool LearnedPositionsOp::usesStart() { return true; }
LogicalResult LearnedPositionsOp::stateSpecs(const StreamContext&,
                                             SmallVectorImpl<StreamStateSpec>&) {
  return success();
}
Decomposed LearnedPositionsOp::buildStep(OpBuilder& b, const StreamArguments& arguments,
                                         SmallVectorImpl<Value>&) {
  return stepAt(b, *this, arguments);
}
std::optional<int64_t> LearnedPositionsOp::positionLimit() {
  if (getParameters().empty()) return std::nullopt;
  return shapeOf(getParameters()[0])[0];
}

Decomposed LearnedPositionsOp::decomposeOperation(OpBuilder& b) {
  if (failed(requireDecomposable(*this, !getParameters().empty()))) return failure();
  LinalgBuilder l(b, getLoc());
  ArrayRef<int64_t> shape = shapeOf(getX());
  Type element = getElementTypeOrSelf(getX().getType());
  Value rows;
  AffineMap rowMap = l.identity(3);
  if (!getSegments() && !getStart()) {
    rows = l.sliceDim(getParameters()[0], 0, 0, shape[1]);
    rowMap = l.map(3, {1, 2});
  } else {
    Type i32 = b.getI32Type();
    Value segments =
        getSegments()
            ? Value(getSegments())
            : l.elementwise({shape[0], shape[1]}, i32, {}, {},
                            [&](ElementwiseBuilder e, ValueRange) { return e.integer(0, i32); });
    Value positions = buildPositions(l, shape[0], shape[1], segments, getStart());
    Value indices =
        l.elementwise({shape[0], shape[1]}, i32, positions, l.identity(2),
                      [&](ElementwiseBuilder e, ValueRange v) { return e.toInteger(v[0], i32); });
    auto type = RankedTensorType::get(shape, getElementTypeOrSelf(getParameters()[0].getType()));
    rows = GatherRowsOp::create(b, getLoc(), type, getParameters()[0], indices);
  }
  return SmallVector<Value>{l.elementwise(
      shape, element, {getX(), rows}, {l.identity(3), rowMap},
      [&](ElementwiseBuilder e, ValueRange v) { return e.add(v[0], e.cast(v[1], element)); })};
}

Cost LearnedPositionsOp::cost() { return streamingCost(*this, 1); }

}  // namespace weir
