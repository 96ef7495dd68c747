#include "compiler/dialect/feature_ops.h"

#include <numeric>

#include "compiler/dialect/linalg_builder.h"
#include "compiler/dialect/op_support.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "mlir/IR/TypeUtilities.h"

#define GET_OP_CLASSES
#include "compiler/dialect/feature_ops.cpp.inc"

namespace weir {
using namespace mlir;

void registerFeatureOps(WeirDialect& dialect) {
  dialect.registerOps<
#define GET_OP_LIST
#include "compiler/dialect/feature_ops.cpp.inc"
      >();
}

namespace {

using Decomposed = FailureOr<SmallVector<Value>>;
constexpr int64_t kDynamic = ShapedType::kDynamic;

/// x [..., in] times weight [out, in], transposed: [..., out].
Value project(LinalgBuilder l, Value x, Value weight) {
  unsigned rank = shapeOf(x).size();
  SmallVector<unsigned> xDims(rank), outDims;
  std::iota(xDims.begin(), xDims.end(), 0u);
  outDims.assign(xDims.begin(), xDims.end() - 1);
  outDims.push_back(rank);
  return l.contract(x, xDims, weight, {rank, rank - 1}, outDims, rank + 1);
}

/// Shared by linear and head: the type of x times a weight of `out` rows.
template <typename Adaptor>
LogicalResult inferProjection(std::optional<Location> location, Adaptor adaptor,
                              SmallVectorImpl<Type>& inferred) {
  Type x = adaptor.getX().getType();
  if (cast<RankedTensorType>(x).getRank() < 1)
    return emitOptionalError(location, "needs features to project");
  int64_t out = kDynamic;
  if (!adaptor.getParameters().empty()) {
    auto weight = cast<RankedTensorType>(adaptor.getParameters()[0].getType());
    if (weight.getRank() != 2)
      return emitOptionalError(location, "weight must be tensor<out x in>, but is ", weight);
    int64_t in = weight.getDimSize(1), features = featuresOf(x);
    if (!ShapedType::isDynamic(in) && !ShapedType::isDynamic(features) && in != features)
      return emitOptionalError(location, "weight takes ", in, " features, but x has ", features);
    out = weight.getDimSize(0);
  }
  inferred.push_back(withFeatures(x, out, accumulatorType(getElementTypeOrSelf(x))));
  return success();
}

Cost projectionCost(Operation* op, Value x, Value weight) {
  Cost cost = streamingCost(op, 0);
  if (!weight) return cost;
  auto type = cast<RankedTensorType>(weight.getType());
  cost.flops = cost.products = elementCount(x.getType()) * Polynomial(2.0 * type.getDimSize(0));
  return cost;
}

/// What a projection multiplies: x and the weight. A bias is added to the sum.
template <typename Op>
SmallVector<OpOperand*> projectionOperands(Op op) {
  SmallVector<OpOperand*> operands{&op.getXMutable()};
  if (!op.getParameters().empty()) operands.push_back(&op.getParametersMutable()[0]);
  return operands;
}

}  // namespace

// linear

LogicalResult LinearOp::verify() {
  if (!getParameters().empty()) {
    if (getParameters().size() > 2)
      return emitOpError() << "takes a weight and a bias, no more parameters";
    return success();
  }
  if (!getName()) return emitOpError() << "needs a name, or its parameters";
  return verifySizes(*this, getSizeOperands(), getSizes(), 1);
}

LogicalResult LinearOp::inferReturnTypes(MLIRContext*, std::optional<Location> location,
                                         Adaptor adaptor, SmallVectorImpl<Type>& inferred) {
  return inferProjection(location, adaptor, inferred);
}
bool LinearOp::isCompatibleReturnTypes(TypeRange l, TypeRange r) { return compatible(l, r); }

LogicalResult LinearOp::parameterSpecs(TypeRange types, ArrayRef<int64_t> sizes,
                                       SmallVectorImpl<ParameterSpec>& specs) {
  int64_t in = featuresOf(types[0]), out = sizes[0];
  if (failed(requireStatic(*this, in, "number of input features"))) return failure();
  specs.push_back({"weight", {out, in}, weightInit(getInit(), "linear", in), ""});
  if (getBias()) {
    bool like = !getInit() || *getInit() == "linear";
    specs.push_back({"bias", {out}, like ? linearInit(in) : "zeros", ""});
  }
  return success();
}

Decomposed LinearOp::decomposeOperation(OpBuilder& b) {
  if (failed(requireDecomposable(*this, !getParameters().empty()))) return failure();
  LinalgBuilder l(b, getLoc());
  Value y = project(l, getX(), getParameters()[0]);
  if (getParameters().size() == 2) {
    unsigned rank = shapeOf(y).size();
    Type element = getElementTypeOrSelf(y.getType());
    y = l.elementwise(
        shapeOf(y), element, {y, getParameters()[1]}, {l.identity(rank), l.map(rank, {rank - 1})},
        [&](ElementwiseBuilder e, ValueRange v) { return e.add(v[0], e.cast(v[1], element)); });
  }
  return SmallVector<Value>{y};
}

Cost LinearOp::cost() {
  return projectionCost(*this, getX(), getParameters().empty() ? Value() : getParameters()[0]);
}

SmallVector<OpOperand*> LinearOp::autocastOperands() { return projectionOperands(*this); }

// head

LogicalResult HeadOp::verify() {
  if (!getParameters().empty()) {
    if (getParameters().size() > 1) return emitOpError() << "takes one parameter, its weight";
    return success();
  }
  if (getTied()) {
    if (getName())
      return emitOpError() << "is tied to another weight, so it has no name of its own";
    return verifySizes(*this, getSizeOperands(), getSizes(), 0);
  }
  if (!getName()) return emitOpError() << "needs a name, or the embedding it is tied to";
  return verifySizes(*this, getSizeOperands(), getSizes(), 1);
}

LogicalResult HeadOp::inferReturnTypes(MLIRContext*, std::optional<Location> location,
                                       Adaptor adaptor, SmallVectorImpl<Type>& inferred) {
  return inferProjection(location, adaptor, inferred);
}
bool HeadOp::isCompatibleReturnTypes(TypeRange l, TypeRange r) { return compatible(l, r); }

LogicalResult HeadOp::parameterSpecs(TypeRange types, ArrayRef<int64_t> sizes,
                                     SmallVectorImpl<ParameterSpec>& specs) {
  int64_t in = featuresOf(types[0]);
  if (failed(requireStatic(*this, in, "number of input features"))) return failure();
  if (getTied()) {
    specs.push_back({"weight", {kDynamic, in}, "", getTied()->str() + ".weight"});
  } else {
    specs.push_back({"weight", {sizes[0], in}, weightInit(getInit(), "normal(0.02)", in), ""});
  }
  return success();
}

Decomposed HeadOp::decomposeOperation(OpBuilder& b) {
  if (failed(requireDecomposable(*this, !getParameters().empty()))) return failure();
  return SmallVector<Value>{project(LinalgBuilder(b, getLoc()), getX(), getParameters()[0])};
}

Cost HeadOp::cost() {
  return projectionCost(*this, getX(), getParameters().empty() ? Value() : getParameters()[0]);
}

SmallVector<OpOperand*> HeadOp::autocastOperands() { return projectionOperands(*this); }
bool HeadOp::keepsF32Result() { return true; }

// split

LogicalResult SplitOp::verify() {
  std::optional<ArrayRef<int64_t>> pieces = getPieces();
  if (!pieces) return verifySizes(*this, getSizeOperands(), getSizes(), getResults().size());
  if (pieces->size() != getResults().size())
    return emitOpError() << "has " << pieces->size() << " pieces for " << getResults().size()
                         << " results";
  int64_t total = 0;
  for (int64_t piece : *pieces) {
    if (piece <= 0) return emitOpError() << "has a piece of " << piece << " features";
    total += piece;
  }
  int64_t features = featuresOf(getX().getType());
  if (!ShapedType::isDynamic(features) && total != features)
    return emitOpError() << "cuts " << total << " features, but x has " << features;
  return success();
}

LogicalResult SplitOp::inferReturnTypes(MLIRContext*, std::optional<Location>, Adaptor adaptor,
                                        SmallVectorImpl<Type>& inferred) {
  Type x = adaptor.getX().getType();
  if (std::optional<ArrayRef<int64_t>> pieces = adaptor.getPieces()) {
    for (int64_t piece : *pieces) inferred.push_back(withFeatures(x, piece));
  } else {
    inferred.append(adaptor.getSizes().getNumResults(), withFeatures(x, kDynamic));
  }
  return success();
}
bool SplitOp::isCompatibleReturnTypes(TypeRange l, TypeRange r) { return compatible(l, r); }

LogicalResult SplitOp::parameterSpecs(TypeRange, ArrayRef<int64_t>,
                                      SmallVectorImpl<ParameterSpec>&) {
  return success();
}
bool SplitOp::isBound() { return getPieces().has_value(); }
void SplitOp::bindParameters(ValueRange, ArrayRef<int64_t> sizes) {
  getSizeOperandsMutable().clear();
  setSizes(AffineMap::get(getContext()));
  setPieces(sizes);
}

Decomposed SplitOp::decomposeOperation(OpBuilder& b) {
  std::optional<ArrayRef<int64_t>> pieces = getPieces();
  if (failed(requireDecomposable(*this, pieces.has_value()))) return failure();
  LinalgBuilder l(b, getLoc());
  unsigned dim = shapeOf(getX()).size() - 1;
  SmallVector<Value> results;
  int64_t offset = 0;
  for (int64_t piece : *pieces) {
    results.push_back(l.sliceDim(getX(), dim, offset, piece));
    offset += piece;
  }
  return results;
}

Cost SplitOp::cost() { return {}; }

// split_heads and merge_heads

LogicalResult SplitHeadsOp::verify() {
  if (!getNumHeads()) return verifySizes(*this, getSizeOperands(), getSizes(), 1);
  int64_t heads = *getNumHeads(), features = featuresOf(getX().getType());
  if (heads <= 0) return emitOpError() << "can't make " << heads << " heads";
  if (!ShapedType::isDynamic(features) && features % heads != 0)
    return emitOpError() << "can't make " << heads << " heads of " << features << " features";
  return success();
}

LogicalResult SplitHeadsOp::inferReturnTypes(MLIRContext*, std::optional<Location> location,
                                             Adaptor adaptor, SmallVectorImpl<Type>& inferred) {
  auto x = cast<RankedTensorType>(adaptor.getX().getType());
  if (x.getRank() < 1) return emitOptionalError(location, "needs features to split");
  int64_t heads = kDynamic, width = kDynamic, features = x.getShape().back();
  if (adaptor.getNumHeads()) heads = static_cast<int64_t>(*adaptor.getNumHeads());
  if (heads > 0 && !ShapedType::isDynamic(features)) width = features / heads;
  SmallVector<int64_t> shape(x.getShape().drop_back());
  shape.append({heads, width});
  inferred.push_back(x.clone(shape));
  return success();
}
bool SplitHeadsOp::isCompatibleReturnTypes(TypeRange l, TypeRange r) { return compatible(l, r); }

LogicalResult SplitHeadsOp::parameterSpecs(TypeRange, ArrayRef<int64_t>,
                                           SmallVectorImpl<ParameterSpec>&) {
  return success();
}
bool SplitHeadsOp::isBound() { return getNumHeads().has_value(); }
void SplitHeadsOp::bindParameters(ValueRange, ArrayRef<int64_t> sizes) {
  getSizeOperandsMutable().clear();
  setSizes(AffineMap::get(getContext()));
  setNumHeads(sizes[0]);
}

Decomposed SplitHeadsOp::decomposeOperation(OpBuilder& b) {
  if (failed(requireDecomposable(*this, isBound()))) return failure();
  return SmallVector<Value>{LinalgBuilder(b, getLoc()).reshape(getX(), shapeOf(getResult()))};
}

Cost SplitHeadsOp::cost() { return {}; }

LogicalResult MergeHeadsOp::inferReturnTypes(MLIRContext*, std::optional<Location> location,
                                             Adaptor adaptor, SmallVectorImpl<Type>& inferred) {
  auto x = cast<RankedTensorType>(adaptor.getX().getType());
  if (x.getRank() < 2) return emitOptionalError(location, "needs heads and their features");
  SmallVector<int64_t> shape(x.getShape().drop_back());
  int64_t width = x.getShape().back();
  shape.back() = ShapedType::isDynamic(shape.back()) || ShapedType::isDynamic(width)
                     ? kDynamic
                     : shape.back() * width;
  inferred.push_back(x.clone(shape));
  return success();
}
bool MergeHeadsOp::isCompatibleReturnTypes(TypeRange l, TypeRange r) { return compatible(l, r); }

Decomposed MergeHeadsOp::decomposeOperation(OpBuilder& b) {
  if (failed(requireDecomposable(*this))) return failure();
  return SmallVector<Value>{LinalgBuilder(b, getLoc()).reshape(getX(), shapeOf(getResult()))};
}

Cost MergeHeadsOp::cost() { return {}; }

// scale_offset

LogicalResult ScaleOffsetOp::verify() {
  if (static_cast<int64_t>(getHeads()) != static_cast<int64_t>(getResults().size()))
    return emitOpError() << "has " << getHeads() << " heads, but " << getResults().size()
                         << " results";
  if (getParameters().empty() && !getName())
    return emitOpError() << "needs a name, or its parameters";
  if (!getParameters().empty() && getParameters().size() != 2)
    return emitOpError() << "takes two parameters, weight and bias";
  return verifySizes(*this, getSizeOperands(), getSizes(), 0);
}

LogicalResult ScaleOffsetOp::inferReturnTypes(MLIRContext*, std::optional<Location>,
                                              Adaptor adaptor, SmallVectorImpl<Type>& inferred) {
  inferred.append(adaptor.getHeads(), adaptor.getX().getType());
  return success();
}
bool ScaleOffsetOp::isCompatibleReturnTypes(TypeRange l, TypeRange r) { return compatible(l, r); }

LogicalResult ScaleOffsetOp::parameterSpecs(TypeRange types, ArrayRef<int64_t>,
                                            SmallVectorImpl<ParameterSpec>& specs) {
  int64_t features = featuresOf(types[0]), heads = getHeads();
  if (failed(requireStatic(*this, features, "number of features"))) return failure();
  specs.push_back(
      {"weight", {heads, features}, weightInit(getInit(), "normal(0.02)", features), ""});
  specs.push_back({"bias", {heads, features}, "zeros", ""});
  return success();
}

Decomposed ScaleOffsetOp::decomposeOperation(OpBuilder& b) {
  if (failed(requireDecomposable(*this, !getParameters().empty()))) return failure();
  LinalgBuilder l(b, getLoc());
  unsigned rank = shapeOf(getX()).size();
  int64_t features = shapeOf(getX()).back();
  Type element = getElementTypeOrSelf(getX().getType());
  AffineMap row = l.map(rank, {rank - 1});
  SmallVector<Value> results;
  for (unsigned head = 0; head < getHeads(); ++head) {
    Value weight = l.reshape(l.sliceDim(getParameters()[0], 0, head, 1), {features});
    Value bias = l.reshape(l.sliceDim(getParameters()[1], 0, head, 1), {features});
    results.push_back(
        l.elementwise(shapeOf(getX()), element, {getX(), weight, bias},
                      {l.identity(rank), row, row}, [&](ElementwiseBuilder e, ValueRange v) {
                        return e.add(e.mul(v[0], e.cast(v[1], element)), e.cast(v[2], element));
                      }));
  }
  return results;
}

Cost ScaleOffsetOp::cost() { return streamingCost(*this, 2.0 * getHeads()); }

// gated_unit

LogicalResult GatedUnitOp::verify() {
  if (!ElementwiseBuilder::isActivation(getActivation()))
    return emitOpError() << "has unknown activation \"" << getActivation()
                         << "\"; known are none, sigmoid, silu, gelu, gelu_tanh, relu, "
                            "relu_squared, tanh, softplus";
  return success();
}

LogicalResult GatedUnitOp::inferReturnTypes(MLIRContext*, std::optional<Location>, Adaptor adaptor,
                                            SmallVectorImpl<Type>& inferred) {
  inferred.push_back(adaptor.getValue().getType());
  return success();
}
bool GatedUnitOp::isCompatibleReturnTypes(TypeRange l, TypeRange r) { return compatible(l, r); }

Decomposed GatedUnitOp::decomposeOperation(OpBuilder& b) {
  ElementwiseBuilder e(b, getLoc());
  return SmallVector<Value>{e.mul(e.activation(getActivation(), getGate()), getValue())};
}

// A function of one number is one operation, as everywhere.
Cost GatedUnitOp::cost() { return streamingCost(*this, getActivation() == "none" ? 1 : 2); }

// constant

LogicalResult ConstantOp::inferReturnTypes(MLIRContext*, std::optional<Location>, Adaptor adaptor,
                                           SmallVectorImpl<Type>& inferred) {
  inferred.push_back(adaptor.getX().getType());
  return success();
}
bool ConstantOp::isCompatibleReturnTypes(TypeRange l, TypeRange r) { return compatible(l, r); }

Decomposed ConstantOp::decomposeOperation(OpBuilder& b) {
  if (failed(requireDecomposable(*this))) return failure();
  return SmallVector<Value>{
      ElementwiseBuilder(b, getLoc()).constant(getValue().convertToDouble(), getX().getType())};
}

Cost ConstantOp::cost() { return {}; }

// broadcast

LogicalResult BroadcastOp::verify() {
  ArrayRef<int64_t> small = shapeOf(getOperand()), large = shapeOf(getLike());
  if (small.size() > large.size())
    return emitOpError() << "operand of type " << getOperand().getType()
                         << " has more dimensions than " << getLike().getType();
  for (auto [a, b] : llvm::zip(small, large.take_back(small.size())))
    if (!ShapedType::isDynamic(a) && !ShapedType::isDynamic(b) && a != b)
      return emitOpError() << "operand of type " << getOperand().getType()
                           << " does not have the last dimensions of " << getLike().getType();
  return success();
}

LogicalResult BroadcastOp::inferReturnTypes(MLIRContext*, std::optional<Location>, Adaptor adaptor,
                                            SmallVectorImpl<Type>& inferred) {
  auto like = cast<RankedTensorType>(adaptor.getLike().getType());
  Type element = getElementTypeOrSelf(adaptor.getOperand().getType());
  inferred.push_back(RankedTensorType::get(like.getShape(), element));
  return success();
}
bool BroadcastOp::isCompatibleReturnTypes(TypeRange l, TypeRange r) { return compatible(l, r); }

Decomposed BroadcastOp::decomposeOperation(OpBuilder& b) {
  if (failed(requireDecomposable(*this))) return failure();
  LinalgBuilder l(b, getLoc());
  ArrayRef<int64_t> shape = shapeOf(getResult());
  AffineMap trailing = l.identity(shape.size()).getMinorSubMap(shapeOf(getOperand()).size());
  return SmallVector<Value>{l.elementwise(shape, getElementTypeOrSelf(getOperand().getType()),
                                          getOperand(), trailing,
                                          [](ElementwiseBuilder, ValueRange v) { return v[0]; })};
}

Cost BroadcastOp::cost() { return {}; }

}  // namespace weir
