// weir.mixed_chunks and weir.mixed_chunks_vjp: what they take and give, and their gradients.

#include "compiler/dialect/attention_ops.h"
#include "compiler/dialect/linalg_builder.h"
#include "compiler/dialect/op_support.h"
#include "compiler/dialect/region_ops.h"
#include "compiler/dialect/region_vjp.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/TypeUtilities.h"

namespace weir {
using namespace mlir;

namespace {

/// Most elements of a chunk's weights and of a state: a kernel keeps a few of each per thread.
constexpr int64_t kLargestChunk = 1024;
constexpr int64_t kLargestState = int64_t(1) << 21;

/// The five sequences of either op must be of static shape, one batch and one length; the
/// widths of queries and keys must be equal, and the bias must have 2 L - 1 diagonals for an L of
/// at least a chunk.
template <typename Op>
LogicalResult verifySequences(Op op) {
  ArrayRef<int64_t> value = op.getV().getType().getShape();
  for (Value x : {op.getQuadQ(), op.getQuadK(), op.getLinQ(), op.getLinK(), op.getV()}) {
    auto type = cast<RankedTensorType>(x.getType());
    if (type.getRank() != 3 || !type.hasStaticShape())
      return op.emitOpError() << "takes static tensors of batch, time and features, not " << type;
    if (type.getShape().take_front(2) != value.take_front(2))
      return op.emitOpError() << "has sequences of different batches or lengths, " << type
                              << " and " << op.getV().getType();
    if (type.getElementType() != op.getV().getType().getElementType())
      return op.emitOpError() << "has sequences of different element types, " << type << " and "
                              << op.getV().getType();
  }
  if (shapeOf(op.getQuadQ()) != shapeOf(op.getQuadK()) ||
      shapeOf(op.getLinQ()) != shapeOf(op.getLinK()))
    return op.emitOpError() << "has queries and keys of different widths";
  int64_t chunk = op.getChunkSize();
  if (chunk < 1) return op.emitOpError() << "chunk must be positive";
  if (!ElementwiseBuilder::isActivation(op.getKernel()))
    return op.emitOpError() << "has unknown kernel \"" << op.getKernel() << "\"";
  if (!op.getBias()) return success();
  ArrayRef<int64_t> bias = shapeOf(op.getBias());
  if (bias.size() != 1 || bias[0] % 2 == 0 || (bias[0] + 1) / 2 < chunk)
    return op.emitOpError() << "needs a bias of 2 L - 1 diagonals for an L of at least " << chunk
                            << ", not " << op.getBias().getType();
  return success();
}

/// The type of `means`.
template <typename Op>
RankedTensorType meansType(Op op) {
  ArrayRef<int64_t> value = shapeOf(op.getV());
  int64_t chunks = llvm::divideCeil(value[1], static_cast<int64_t>(op.getChunkSize()));
  return RankedTensorType::get({value[0], chunks, shapeOf(op.getLinK())[2], value[2]},
                               getElementTypeOrSelf(op.getV().getType()));
}

template <typename Op>
LogicalResult verifyResultLike(Op op, Type type) {
  Type element = getElementTypeOrSelf(type), narrow = getElementTypeOrSelf(op.getV().getType());
  if (cast<RankedTensorType>(type).getShape() != shapeOf(op.getV()) ||
      (element != narrow && element != accumulatorType(narrow)))
    return op.emitOpError() << "has a result " << type << " for values " << op.getV().getType();
  return success();
}

}  // namespace

bool MixedChunksOp::canReplace(ChunkedAttentionOp op) {
  if (!op.getCausal() || op.getSegments() || op.getSum()) return false;
  Type element = getElementTypeOrSelf(op.getV().getType());
  for (Value x : {op.getQuadQ(), op.getQuadK(), op.getLinQ(), op.getLinK()})
    if (getElementTypeOrSelf(x.getType()) != element) return false;
  int64_t length = std::min<int64_t>(shapeOf(op.getV())[1], *op.getChunkSize());
  return length <= kLargestChunk &&
         shapeOf(op.getLinK())[2] * shapeOf(op.getV())[2] <= kLargestState;
}

LogicalResult MixedChunksOp::verify() {
  if (failed(verifySequences(*this)) || failed(verifyResultLike(*this, getResult().getType())))
    return failure();
  if (getMeans() && getMeans().getType() != meansType(*this))
    return emitOpError() << "has means " << getMeans().getType() << " instead of "
                         << meansType(*this);
  return success();
}

LogicalResult MixedChunksOp::buildVjp(OpBuilder& b, ValueRange cotangents,
                                      SmallVectorImpl<Value>& operandCotangents) {
  operandCotangents.assign(getNumOperands(), Value());
  if (cotangents.size() > 1 && cotangents[1])
    return emitOpError("has no gradient with respect to its means");
  if (!cotangents[0]) return success();
  MixedChunksOp op = *this;
  if (!getMeans()) {
    // The same op with its means takes its place, in the forward direction.
    OpBuilder forward(*this);
    op = MixedChunksOp::create(forward, getLoc(), getResult().getType(), meansType(*this),
                               getQuadQ(), getQuadK(), getLinQ(), getLinK(), getV(), getBias(),
                               getChunkSize(), getKernel());
    op->setDiscardableAttrs((*this)->getDiscardableAttrDictionary());
    getResult().replaceAllUsesWith(op.getResult());
  }
  auto vjp = MixedChunksVjpOp::create(
      b, getLoc(), op->getOperandTypes(), op.getQuadQ(), op.getQuadK(), op.getLinQ(), op.getLinK(),
      op.getV(), op.getBias(), op.getMeans(), cotangents[0], op.getChunkSize(), op.getKernel());
  operandCotangents.assign(vjp.getResults().begin(), vjp.getResults().end());
  return success();
}

LogicalResult MixedChunksVjpOp::verify() {
  if (failed(verifySequences(*this)) || failed(verifyResultLike(*this, getCotangent().getType())))
    return failure();
  if (getMeans().getType() != meansType(*this))
    return emitOpError() << "has means " << getMeans().getType() << " instead of "
                         << meansType(*this);
  unsigned inputs = getBias() ? 6 : 5;
  if (TypeRange(getResultTypes()) != TypeRange(getOperandTypes()).take_front(inputs))
    return emitOpError() << "gives a cotangent for each of its " << inputs
                         << " inputs, of the same type";
  return success();
}

FailureOr<SmallVector<Value>> MixedChunksVjpOp::decomposeOperation(OpBuilder& b) {
  if (failed(requireDecomposable(*this))) return failure();
  // The forward direction in a region of its own, run backward.
  unsigned inputs = getNumResults();
  ValueRange operands = getOperands().take_front(inputs);
  Region region;
  Block& body = region.emplaceBlock();
  body.addArguments(operands.getTypes(), SmallVector<Location>(inputs, getLoc()));
  OpBuilder inner(b.getContext());
  inner.setInsertionPointToEnd(&body);
  auto forward = MixedChunksOp::create(
      inner, getLoc(), getCotangent().getType(), Type(), body.getArgument(0), body.getArgument(1),
      body.getArgument(2), body.getArgument(3), body.getArgument(4),
      getBias() ? Value(body.getArgument(5)) : Value(), getChunkSize(), getKernel());
  inner.setInsertionPoint(forward);
  FailureOr<SmallVector<Value>> values = forward.decomposeOperation(inner);
  if (failed(values)) return failure();
  forward.erase();
  inner.setInsertionPointToEnd(&body);
  YieldOp::create(inner, getLoc(), *values);
  RegionVjp vjp(b, body, operands);
  SmallVector<Value> cotangents;
  if (failed(vjp.pullBack(ValueRange{getCotangent()}, SmallVector<bool>(inputs, true), cotangents)))
    return failure();
  return cotangents;
}

}  // namespace weir
