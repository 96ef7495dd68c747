// weir.attention and weir.toeplitz; weir.chunked_attention's meaning is in chunked_attention.cpp.

#include "compiler/dialect/attention_ops.h"

#include <cmath>
#include <limits>

#include "compiler/dialect/linalg_builder.h"
#include "compiler/dialect/norm_ops.h"
#include "compiler/dialect/op_support.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "mlir/IR/TypeUtilities.h"

#define GET_OP_CLASSES
#include "compiler/dialect/attention_ops.cpp.inc"

namespace weir {
using namespace mlir;

void registerAttentionOps(WeirDialect& dialect) {
  dialect.registerOps<
#define GET_OP_LIST
#include "compiler/dialect/attention_ops.cpp.inc"
      >();
}

namespace {

using Decomposed = FailureOr<SmallVector<Value>>;

}  // namespace

Value toeplitzBias(LinalgBuilder& l, Value diagonals, int64_t rows, int64_t columns) {
  OpBuilder& b = l.builder();
  Type element = getElementTypeOrSelf(diagonals.getType());
  int64_t length = (shapeOf(diagonals)[0] + 1) / 2;
  Value exact = diagonals;
  if (rows != columns || length < rows) {
    // Those from (0, columns - 1) to (rows - 1, 0).
    int64_t before = std::max<int64_t>(rows - length, 0),
            after = std::max<int64_t>(columns - length, 0);
    exact = l.sliceDim(diagonals, 0, length - (rows - before), rows + columns - 1 - before - after);
    SmallVector<Value> parts;
    if (before > 0) parts.push_back(l.filled(0, {before}, element));
    parts.push_back(exact);
    if (after > 0) parts.push_back(l.filled(0, {after}, element));
    exact = l.concat(0, parts);
  }
  return ToeplitzOp::create(b, diagonals.getLoc(), RankedTensorType::get({rows, columns}, element),
                            exact);
}

namespace {

LogicalResult verifyBias(Operation* op, Value bias, int64_t length) {
  if (!bias) return success();
  ArrayRef<int64_t> shape = shapeOf(bias);
  if (shape.size() != 1)
    return op->emitOpError() << "takes the diagonals of its bias as a tensor of rank 1, not "
                             << bias.getType();
  if (ShapedType::isDynamic(shape[0])) return success();
  if (shape[0] % 2 == 0)
    return op->emitOpError() << "has a bias of " << shape[0]
                             << " diagonals; it must be odd, 2 L - 1";
  if (!ShapedType::isDynamic(length) && (shape[0] + 1) / 2 < length)
    return op->emitOpError() << "has a bias for " << (shape[0] + 1) / 2
                             << " positions, fewer than the " << length << " it is used for";
  return success();
}

LogicalResult verifyRanks(Operation* op, ValueRange sequences) {
  for (Value sequence : sequences)
    if (shapeOf(sequence).size() != 3)
      return op->emitOpError() << "takes tensors of batch, time and features, not "
                               << sequence.getType();
  return success();
}

LogicalResult verifySequences(Operation* op, ValueRange sequences) {
  if (failed(verifyRanks(op, sequences))) return failure();
  for (Value sequence : sequences)
    for (unsigned dim : {0u, 1u}) {
      int64_t a = shapeOf(sequence)[dim], b = shapeOf(sequences[0])[dim];
      if (!ShapedType::isDynamic(a) && !ShapedType::isDynamic(b) && a != b)
        return op->emitOpError() << "has tensors of different " << (dim ? "lengths" : "batches")
                                 << ", " << b << " and " << a;
    }
  return success();
}

LogicalResult verifyKernel(Operation* op, StringRef kernel, bool softmax) {
  if (ElementwiseBuilder::isActivation(kernel) || (softmax && kernel == "softmax"))
    return success();
  return op->emitOpError()
         << "has unknown kernel \"" << kernel << "\"; known are " << (softmax ? "softmax, " : "")
         << "none, sigmoid, silu, gelu, gelu_tanh, relu, relu_squared, tanh, softplus";
}

}  // namespace

// attention

LogicalResult AttentionOp::verify() {
  if (failed(verifyRanks(*this, getQ())) || failed(verifySequences(*this, {getK(), getV()})))
    return failure();
  if (failed(verifyKernel(*this, getKernel(), /*softmax=*/true))) return failure();
  StringRef window = getWindow();
  int64_t queries = shapeOf(getQ())[1], keys = shapeOf(getK())[1];
  if (!ShapedType::isDynamic(queries) && !ShapedType::isDynamic(keys) && queries != keys) {
    if (keys < queries)
      return emitOpError() << "has fewer keys than queries, " << keys << " and " << queries;
    if (window == "full" || !getPosition())
      return emitOpError() << "with more keys than queries needs a window that looks back, and the "
                              "position of the first query";
  }
  if (getPosition() && shapeOf(getPosition()).size() > 1)
    return emitOpError() << "takes a position for all rows or one for each, not "
                         << getPosition().getType();
  if (getLength() && static_cast<int64_t>(*getLength()) < 1)
    return emitOpError() << "length must be positive";
  if (window != "full" && window != "causal" && window != "local")
    return emitOpError() << "has unknown window \"" << window
                         << "\"; known are full, causal, local";
  if ((window == "local") != getWindowSize().has_value() ||
      (getWindowSize() && static_cast<int64_t>(*getWindowSize()) < 1))
    return emitOpError()
           << "takes a positive window size with the window \"local\", and only with it";
  int64_t heads = getNumHeads().value_or(1);
  for (Value x : {getQ(), getK(), getV()}) {
    int64_t features = shapeOf(x)[2];
    if (heads < 1 || (!ShapedType::isDynamic(features) && features % heads != 0))
      return emitOpError() << "cannot cut " << features << " features into " << heads << " heads";
  }
  int64_t qFeatures = shapeOf(getQ())[2], kFeatures = shapeOf(getK())[2];
  if (!ShapedType::isDynamic(qFeatures) && !ShapedType::isDynamic(kFeatures) &&
      qFeatures != kFeatures)
    return emitOpError() << "has queries of " << qFeatures << " and keys of " << kFeatures
                         << " features";
  if (getSizes().getNumResults() > 1) return emitOpError() << "takes one size, the number of heads";
  // A window may look back less far than there are keys.
  int64_t farthest = keys;
  if (getWindowSize() && !ShapedType::isDynamic(keys))
    farthest = std::min<int64_t>(keys, *getWindowSize());
  if (failed(verifyBias(*this, getBias(), farthest))) return failure();
  if (getLogSums() != static_cast<bool>(getLogSum()) || (getLogSums() && getKernel() != "softmax"))
    return emitOpError() << "gives the logarithms of the sums of a softmax if it is asked for them";
  return verifySizes(*this, getSizeOperands(), getSizes(), getSizes().getNumResults());
}

LogicalResult AttentionOp::inferReturnTypes(MLIRContext*, std::optional<Location>, Adaptor adaptor,
                                            SmallVectorImpl<Type>& inferred) {
  auto q = cast<RankedTensorType>(adaptor.getQ().getType());
  Type wide = accumulatorType(q.getElementType());
  inferred.push_back(withFeatures(q, featuresOf(adaptor.getV().getType()), wide));
  if (adaptor.getLogSums())
    inferred.push_back(RankedTensorType::get(
        {q.getDimSize(0), static_cast<int64_t>(adaptor.getNumHeads().value_or(1)), q.getDimSize(1)},
        wide));
  return success();
}
/// The result may be rounded.
bool AttentionOp::isCompatibleReturnTypes(TypeRange inferred, TypeRange actual) {
  SmallVector<Type> types(inferred);
  if (!actual.empty() && getElementTypeOrSelf(actual[0]).isBF16() &&
      getElementTypeOrSelf(types[0]).isF32())
    types[0] = cast<RankedTensorType>(types[0]).clone(getElementTypeOrSelf(actual[0]));
  return compatible(types, actual);
}

LogicalResult AttentionOp::parameterSpecs(TypeRange, ArrayRef<int64_t>,
                                          SmallVectorImpl<ParameterSpec>&) {
  return success();
}
bool AttentionOp::isBound() { return getSizes().getNumResults() == 0; }
void AttentionOp::bindParameters(ValueRange, ArrayRef<int64_t> sizes) {
  if (sizes.empty()) return;
  getSizeOperandsMutable().clear();
  setSizes(AffineMap::get(getContext()));
  setNumHeads(sizes[0]);
}
void AttentionOp::bindSegments(Value segments) { getSegmentsMutable().assign(segments); }
void AttentionOp::bindStart(Value) {}
SmallVector<OpOperand*> AttentionOp::autocastOperands() {
  return {&getQMutable(), &getKMutable(), &getVMutable()};
}
SmallVector<Value> AttentionOp::roundedResults() { return {getResult()}; }
bool AttentionOp::roundsItself() { return true; }
bool AttentionOp::isCausal() { return getWindow() != "full"; }

Cost AttentionOp::cost() {
  Cost cost = streamingCost(*this, 0);
  // Two products over all pairs; a local window shows each token a constant number of others.
  Polynomial others =
      getWindowSize() ? Polynomial(static_cast<double>(*getWindowSize())) : Polynomial::length();
  Polynomial pair = elementCount(getQ().getType()) + elementCount(getV().getType());
  cost.flops = pair * others * Polynomial(2);
  // A causal token sees half of them on average, and itself.
  cost.products = getWindow() == "causal" ? pair * (others + Polynomial(1)) : cost.flops;
  cost.stateBytes = (byteCount(getK().getType()) + byteCount(getV().getType()));
  return cost;
}

Decomposed AttentionOp::decomposeOperation(OpBuilder& b) {
  if (failed(requireDecomposable(*this, isBound()))) return failure();
  LinalgBuilder l(b, getLoc());
  int64_t batch = shapeOf(getQ())[0], time = shapeOf(getQ())[1], heads = getNumHeads().value_or(1);
  int64_t keys = shapeOf(getK())[1], older = keys - time;
  int64_t head = shapeOf(getQ())[2] / heads, valueHead = shapeOf(getV())[2] / heads;
  Type narrow = getElementTypeOrSelf(getV().getType()), wide = accumulatorType(narrow);
  auto split = [&](Value x, int64_t features) {
    return l.reshape(x, {batch, shapeOf(x)[1], heads, features});
  };
  // Letters: batch 0, head 1, t 2, s 3, feature 4.
  Value scores = l.contract(split(getQ(), head), {0, 2, 1, 4}, split(getK(), head), {0, 3, 1, 4},
                            {0, 1, 2, 3}, 5);

  bool softmax = getKernel() == "softmax";
  double scale = softmax ? 1 / std::sqrt(static_cast<double>(head))
                         : 1.0 / static_cast<int64_t>(getLength().value_or(time));
  SmallVector<Value> inputs{scores};
  SmallVector<AffineMap> maps{l.identity(4)};
  if (getBias()) {
    inputs.push_back(toeplitzBias(l, getBias(), time, keys));
    maps.push_back(l.map(4, {2, 3}));
  }
  unsigned segments = inputs.size();
  if (getSegments()) {
    Value ofKeys = getSegments();
    if (older > 0) {
      // Older tokens that are seen at all are of the first query's document.
      Value first = l.elementwise(
          {batch, older}, b.getI32Type(), l.sliceDim(ofKeys, 1, 0, 1),
          AffineMap::get(2, 0, {b.getAffineDimExpr(0), b.getAffineConstantExpr(0)}, b.getContext()),
          [](ElementwiseBuilder, ValueRange v) { return v[0]; });
      ofKeys = l.concat(1, {first, ofKeys});
    }
    inputs.append({getSegments(), ofKeys});
    maps.append({l.map(4, {0, 2}), l.map(4, {0, 3})});
  }
  unsigned position = inputs.size();
  if (older > 0) {
    inputs.push_back(getPosition());
    maps.push_back(shapeOf(getPosition()).empty() ? l.map(4, {}) : l.map(4, {0}));
  }
  Value weights = l.elementwise(
      {batch, heads, time, keys}, softmax ? wide : narrow, inputs, maps,
      [&](ElementwiseBuilder e, ValueRange v) {
        Value x = e.mul(v[0], e.constant(scale, wide));
        if (getBias()) x = e.add(x, e.cast(v[1], wide));
        // The largest negative number that is finite: a row of it alone still has a softmax.
        Value hidden = e.constant(softmax ? -1e30 : 0, wide);
        if (!softmax) x = e.activation(getKernel(), x);
        Type i64 = b.getI64Type();
        auto shifted = [&](Value i, int64_t by) {
          return by == 0 ? i : e.addIntegers(i, e.integer(by, i64));
        };
        if (getWindow() != "full")
          x = e.select(e.atLeast(shifted(e.index(2, i64), older), e.index(3, i64)), x, hidden);
        if (getWindowSize()) {
          Value last = shifted(e.index(3, i64), static_cast<int64_t>(*getWindowSize()) - 1 - older);
          x = e.select(e.atLeast(last, e.index(2, i64)), x, hidden);
        }
        if (getSegments()) x = e.select(e.equal(v[segments], v[segments + 1]), x, hidden);
        if (older > 0) {
          Value place = e.addIntegers(e.index(3, i64), v[position]);
          x = e.select(e.atLeast(place, e.integer(older, i64)), x, hidden);
        }
        return e.cast(x, softmax ? wide : narrow);
      });
  Value logSum;
  if (getLogSum()) {
    SmallVector<int64_t> domain{batch, heads, time, keys};
    Value largest = l.maximum(domain, {3}, wide, weights, l.identity(4),
                              [](ElementwiseBuilder, ValueRange v) { return v[0]; });
    Value sum = l.sum(domain, {3}, wide, {weights, largest}, {l.identity(4), l.map(4, {0, 1, 2})},
                      [](ElementwiseBuilder e, ValueRange v) { return e.exp(e.sub(v[0], v[1])); });
    logSum = l.elementwise({sum, largest}, [](ElementwiseBuilder e, ValueRange v) {
      return e.add(e.log(v[0]), v[1]);
    });
  }
  if (softmax) {
    weights = SoftmaxOp::create(b, getLoc(), weights);
    if (narrow != wide)
      weights =
          l.elementwise({batch, heads, time, keys}, narrow, weights, l.identity(4),
                        [&](ElementwiseBuilder e, ValueRange v) { return e.cast(v[0], narrow); });
  }
  Value out =
      l.contract(weights, {0, 1, 2, 3}, split(getV(), valueHead), {0, 3, 1, 4}, {0, 2, 1, 4}, 5);
  out = l.reshape(out, {batch, time, heads * valueHead});
  if (getGate()) {
    out = l.elementwise(
        shapeOf(out), wide, {out, getGate()}, {l.identity(3), l.identity(3)},
        [&](ElementwiseBuilder e, ValueRange v) { return e.mul(v[0], e.cast(v[1], wide)); });
  }
  Type element = getElementTypeOrSelf(getResult().getType());
  if (element != wide)
    out = l.elementwise(shapeOf(out), element, out, l.identity(3),
                        [&](ElementwiseBuilder e, ValueRange v) { return e.cast(v[0], element); });
  SmallVector<Value> results{out};
  if (logSum) results.push_back(logSum);
  return results;
}

// toeplitz

LogicalResult ToeplitzOp::verify() {
  ArrayRef<int64_t> matrix = shapeOf(getResult());
  if (matrix.size() != 2) return emitOpError() << "gives a matrix, not " << getResult().getType();
  if (matrix[0] == matrix[1]) return verifyBias(*this, getDiagonals(), matrix[0]);
  int64_t needed = matrix[0] + matrix[1] - 1;
  ArrayRef<int64_t> given = shapeOf(getDiagonals());
  if (given.size() != 1 || given[0] < needed || (given[0] - needed) % 2 != 0)
    return emitOpError() << "needs the " << needed << " diagonals of " << getResult().getType()
                         << " and as many on each side as on the other, not "
                         << getDiagonals().getType();
  return success();
}

namespace {

/// The diagonal of the matrix's first element.
int64_t originOf(ToeplitzOp op) {
  ArrayRef<int64_t> matrix = shapeOf(op.getResult());
  int64_t more = shapeOf(op.getDiagonals())[0] - (matrix[0] + matrix[1] - 1);
  return matrix[1] - 1 + more / 2;
}

}  // namespace

Decomposed ToeplitzOp::decomposeOperation(OpBuilder& b) {
  if (failed(requireDecomposable(*this))) return failure();
  LinalgBuilder l(b, getLoc());
  AffineMap diagonal =
      AffineMap::get(2, 0, b.getAffineDimExpr(0) - b.getAffineDimExpr(1) + originOf(*this));
  return SmallVector<Value>{l.elementwise(
      shapeOf(getResult()), getElementTypeOrSelf(getDiagonals().getType()), getDiagonals(),
      diagonal, [](ElementwiseBuilder, ValueRange v) { return v[0]; })};
}

LogicalResult ToeplitzOp::buildVjp(OpBuilder& b, ValueRange cotangents,
                                   SmallVectorImpl<Value>& operandCotangents) {
  Value dm = cotangents[0];
  if (!dm) {
    operandCotangents.push_back(Value());
    return success();
  }
  // With D diagonals and zeros on both sides of the matrix's columns, diagonal r is the sum over i
  // of padded[i, i + (D - 1 - r)].
  LinalgBuilder l(b, getLoc());
  Type element = getElementTypeOrSelf(dm.getType()), wide = accumulatorType(element);
  int64_t rows = shapeOf(dm)[0], diagonals = shapeOf(getDiagonals())[0];
  int64_t side = diagonals - 1 - originOf(*this);
  Value zeros = l.filled(0, {rows, side}, element);
  Value padded = side == 0 ? dm : l.concat(1, {zeros, dm, zeros});
  AffineExpr r = b.getAffineDimExpr(0), i = b.getAffineDimExpr(1);
  Value flipped =
      l.sum({diagonals, rows}, {1}, wide, padded, AffineMap::get(2, 0, {i, i + r}, b.getContext()),
            [&](ElementwiseBuilder e, ValueRange v) { return e.cast(v[0], wide); });
  operandCotangents.push_back(
      l.elementwise({diagonals}, getElementTypeOrSelf(getDiagonals().getType()), flipped,
                    AffineMap::get(1, 0, (diagonals - 1) - r),
                    [&](ElementwiseBuilder e, ValueRange v) { return e.cast(v[0], element); }));
  return success();
}

// chunked_attention

LogicalResult ChunkedAttentionOp::verify() {
  if (failed(verifySequences(*this, {getQuadQ(), getQuadK(), getLinQ(), getLinK(), getV()})))
    return failure();
  if (failed(verifyKernel(*this, getKernel(), /*softmax=*/false))) return failure();
  if (getChunkSize()) {
    if (static_cast<int64_t>(*getChunkSize()) < 1) return emitOpError() << "chunk must be positive";
    if (failed(verifyBias(*this, getBias(), *getChunkSize()))) return failure();
  }
  if (getSum() && !getCausal()) return emitOpError() << "goes on from a sum only with `causal`";
  if (static_cast<bool>(getSum()) != (getCarried().size() == 2))
    return emitOpError() << "gives what its sum grows by if it goes on from one, and only then";
  return verifySizes(*this, getSizeOperands(), getSizes(), getChunkSize() ? 0 : 1);
}

LogicalResult ChunkedAttentionOp::inferReturnTypes(MLIRContext*, std::optional<Location>,
                                                   Adaptor adaptor,
                                                   SmallVectorImpl<Type>& inferred) {
  inferred.push_back(withFeatures(adaptor.getV().getType(), featuresOf(adaptor.getV().getType()),
                                  accumulatorType(getElementTypeOrSelf(adaptor.getV().getType()))));
  if (!adaptor.getSum()) return success();
  auto value = cast<RankedTensorType>(adaptor.getV().getType()),
       sum = cast<RankedTensorType>(adaptor.getSum().getType());
  int64_t chunks = ShapedType::kDynamic, time = value.getDimSize(1);
  if (!ShapedType::isDynamic(time) && adaptor.getChunkSize())
    chunks = llvm::divideCeil(time, *adaptor.getChunkSize());
  SmallVector<int64_t> shape{value.getDimSize(0), chunks, sum.getDimSize(1), sum.getDimSize(2)};
  for (int64_t more : {1, 0}) {
    if (!ShapedType::isDynamic(chunks)) shape[1] = chunks + more;
    inferred.push_back(RankedTensorType::get(shape, sum.getElementType()));
  }
  return success();
}
bool ChunkedAttentionOp::isCompatibleReturnTypes(TypeRange l, TypeRange r) {
  return compatible(l, r);
}

LogicalResult ChunkedAttentionOp::parameterSpecs(TypeRange, ArrayRef<int64_t>,
                                                 SmallVectorImpl<ParameterSpec>&) {
  return success();
}
bool ChunkedAttentionOp::isBound() { return getChunkSize().has_value(); }
void ChunkedAttentionOp::bindParameters(ValueRange, ArrayRef<int64_t> sizes) {
  getSizeOperandsMutable().clear();
  setSizes(AffineMap::get(getContext()));
  setChunkSize(sizes[0]);
}
void ChunkedAttentionOp::bindSegments(Value segments) { getSegmentsMutable().assign(segments); }
void ChunkedAttentionOp::bindStart(Value) {}
SmallVector<OpOperand*> ChunkedAttentionOp::autocastOperands() {
  return {&getQuadQMutable(), &getQuadKMutable(), &getLinQMutable(), &getLinKMutable(),
          &getVMutable()};
}
SmallVector<Value> ChunkedAttentionOp::roundedResults() { return {getResult()}; }
bool ChunkedAttentionOp::isCausal() { return getCausal(); }

Cost ChunkedAttentionOp::cost() {
  Cost cost = streamingCost(*this, 0);
  double chunk = getChunkSize().value_or(1),
         head = std::max<int64_t>(featuresOf(getQuadQ().getType()), 1);
  double value = std::max<int64_t>(featuresOf(getV().getType()), 1);
  // A token: two products with the C of its chunk, an outer product into the state and a product
  // with it.
  Polynomial tokens = Polynomial::batch() * Polynomial::length();
  cost.flops = tokens * Polynomial(2 * chunk * (head + value) + 4 * head * value);
  cost.products = getCausal() ? tokens * Polynomial((chunk + 1) * (head + value) + 4 * head * value)
                              : cost.flops;
  cost.stateBytes =
      Polynomial::batch() * Polynomial(4 * (2 * head * value + chunk * (head + value)));
  return cost;
}

}  // namespace weir
