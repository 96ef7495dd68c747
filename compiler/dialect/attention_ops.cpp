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

LogicalResult verifySequences(Operation* op, ValueRange sequences) {
  for (Value sequence : sequences)
    if (shapeOf(sequence).size() != 3)
      return op->emitOpError() << "takes tensors of batch, time and features, not "
                               << sequence.getType();
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
  if (failed(verifySequences(*this, {getQ(), getK(), getV()}))) return failure();
  if (failed(verifyKernel(*this, getKernel(), /*softmax=*/true))) return failure();
  StringRef window = getWindow();
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
  if (failed(verifyBias(*this, getBias(), shapeOf(getQ())[1]))) return failure();
  return verifySizes(*this, getSizeOperands(), getSizes(), getSizes().getNumResults());
}

LogicalResult AttentionOp::inferReturnTypes(MLIRContext*, std::optional<Location>, Adaptor adaptor,
                                            SmallVectorImpl<Type>& inferred) {
  inferred.push_back(withFeatures(adaptor.getQ().getType(), featuresOf(adaptor.getV().getType()),
                                  accumulatorType(getElementTypeOrSelf(adaptor.getQ().getType()))));
  return success();
}
bool AttentionOp::isCompatibleReturnTypes(TypeRange l, TypeRange r) { return compatible(l, r); }

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
bool AttentionOp::isCausal() { return getWindow() != "full"; }

Cost AttentionOp::cost() {
  Cost cost = streamingCost(*this, 0);
  // Two products over all pairs; a local window shows each token a constant number of others.
  Polynomial others =
      getWindowSize() ? Polynomial(static_cast<double>(*getWindowSize())) : Polynomial::length();
  cost.flops =
      (elementCount(getQ().getType()) + elementCount(getV().getType())) * others * Polynomial(2);
  cost.stateBytes = (byteCount(getK().getType()) + byteCount(getV().getType()));
  return cost;
}

Decomposed AttentionOp::decomposeOperation(OpBuilder& b) {
  if (failed(requireDecomposable(*this, isBound()))) return failure();
  LinalgBuilder l(b, getLoc());
  int64_t batch = shapeOf(getQ())[0], time = shapeOf(getQ())[1], heads = getNumHeads().value_or(1);
  int64_t head = shapeOf(getQ())[2] / heads, valueHead = shapeOf(getV())[2] / heads;
  Type narrow = getElementTypeOrSelf(getV().getType()), wide = accumulatorType(narrow);
  auto split = [&](Value x, int64_t features) {
    return l.reshape(x, {batch, time, heads, features});
  };
  // Letters: batch 0, head 1, t 2, s 3, feature 4.
  Value scores = l.contract(split(getQ(), head), {0, 2, 1, 4}, split(getK(), head), {0, 3, 1, 4},
                            {0, 1, 2, 3}, 5);

  bool softmax = getKernel() == "softmax";
  double scale = softmax ? 1 / std::sqrt(static_cast<double>(head)) : 1.0 / time;
  SmallVector<Value> inputs{scores};
  SmallVector<AffineMap> maps{l.identity(4)};
  if (getBias()) {
    auto type = RankedTensorType::get({time, time}, getElementTypeOrSelf(getBias().getType()));
    inputs.push_back(ToeplitzOp::create(b, getLoc(), type, getBias()));
    maps.push_back(l.map(4, {2, 3}));
  }
  if (getSegments()) {
    inputs.append({getSegments(), getSegments()});
    maps.append({l.map(4, {0, 2}), l.map(4, {0, 3})});
  }
  Value weights = l.elementwise(
      {batch, heads, time, time}, softmax ? wide : narrow, inputs, maps,
      [&](ElementwiseBuilder e, ValueRange v) {
        Value x = e.mul(v[0], e.constant(scale, wide));
        if (getBias()) x = e.add(x, e.cast(v[1], wide));
        // The largest negative number that is finite: a row of it alone still has a softmax.
        Value hidden = e.constant(softmax ? -1e30 : 0, wide);
        if (!softmax) x = e.activation(getKernel(), x);
        Type i64 = b.getI64Type();
        if (getWindow() != "full")
          x = e.select(e.atLeast(e.index(2, i64), e.index(3, i64)), x, hidden);
        if (getWindowSize()) {
          Value last = e.addIntegers(e.index(3, i64),
                                     e.integer(static_cast<int64_t>(*getWindowSize()) - 1, i64));
          x = e.select(e.atLeast(last, e.index(2, i64)), x, hidden);
        }
        if (getSegments()) x = e.select(e.equal(v[v.size() - 2], v[v.size() - 1]), x, hidden);
        return e.cast(x, softmax ? wide : narrow);
      });
  if (softmax) {
    weights = SoftmaxOp::create(b, getLoc(), weights);
    if (narrow != wide)
      weights =
          l.elementwise({batch, heads, time, time}, narrow, weights, l.identity(4),
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
  return SmallVector<Value>{out};
}

// toeplitz

LogicalResult ToeplitzOp::verify() {
  ArrayRef<int64_t> matrix = shapeOf(getResult());
  if (matrix.size() != 2 || matrix[0] != matrix[1])
    return emitOpError() << "gives a square matrix, not " << getResult().getType();
  return verifyBias(*this, getDiagonals(), matrix[0]);
}

Decomposed ToeplitzOp::decomposeOperation(OpBuilder& b) {
  if (failed(requireDecomposable(*this))) return failure();
  LinalgBuilder l(b, getLoc());
  int64_t origin = (shapeOf(getDiagonals())[0] + 1) / 2 - 1;
  AffineMap diagonal = AffineMap::get(2, 0, b.getAffineDimExpr(0) - b.getAffineDimExpr(1) + origin);
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
  // With zeros on both sides of its columns, diagonal r of the matrix is the sum over i of
  // padded[i, i + (2 L - 2 - r)].
  LinalgBuilder l(b, getLoc());
  Type element = getElementTypeOrSelf(dm.getType()), wide = accumulatorType(element);
  int64_t size = shapeOf(dm)[0], diagonals = shapeOf(getDiagonals())[0], side = (diagonals - 1) / 2;
  Value zeros = l.filled(0, {size, side}, element);
  Value padded = side == 0 ? dm : l.concat(1, {zeros, dm, zeros});
  AffineExpr r = b.getAffineDimExpr(0), i = b.getAffineDimExpr(1);
  Value flipped =
      l.sum({diagonals, size}, {1}, wide, padded, AffineMap::get(2, 0, {i, i + r}, b.getContext()),
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
  if (getSegments() && !getCausal())
    return emitOpError()
           << "without `causal` cannot keep segments apart: its linear part sees all chunks";
  return verifySizes(*this, getSizeOperands(), getSizes(), getChunkSize() ? 0 : 1);
}

LogicalResult ChunkedAttentionOp::inferReturnTypes(MLIRContext*, std::optional<Location>,
                                                   Adaptor adaptor,
                                                   SmallVectorImpl<Type>& inferred) {
  inferred.push_back(withFeatures(adaptor.getV().getType(), featuresOf(adaptor.getV().getType()),
                                  accumulatorType(getElementTypeOrSelf(adaptor.getV().getType()))));
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
  cost.stateBytes =
      Polynomial::batch() * Polynomial(4 * (head * value + chunk * (2 * head + value)));
  return cost;
}

}  // namespace weir
