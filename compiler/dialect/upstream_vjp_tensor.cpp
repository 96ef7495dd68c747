// Gradients of views and slices: each is linear, and its gradient is its
// transpose. Strides of one and static shapes are required; anything else is
// refused.

#include "compiler/dialect/interfaces.h"
#include "compiler/dialect/region_vjp.h"
#include "compiler/dialect/upstream_vjp.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"

namespace weir {
namespace {

using namespace mlir;
using Cotangents = SmallVectorImpl<Value>;

Value zeros(OpBuilder& builder, Location loc, RankedTensorType type) {
  Value zero = arith::ConstantOp::create(builder, loc, builder.getZeroAttr(type.getElementType()));
  Value empty = tensor::EmptyOp::create(builder, loc, type.getShape(), type.getElementType());
  return linalg::FillOp::create(builder, loc, zero, empty).getResult(0);
}

template <typename OpT>
LogicalResult checkStaticSlice(OpT op, RankedTensorType whole, RankedTensorType part) {
  if (!whole.hasStaticShape() || !part.hasStaticShape() || !op.hasUnitStride())
    return op.emitOpError("has no gradient: it needs static shapes and unit strides");
  return success();
}

LogicalResult vjp(tensor::ExtractSliceOp op, OpBuilder& builder, Value dy, Cotangents& out) {
  if (failed(checkStaticSlice(op, op.getSourceType(), op.getType()))) return failure();
  Value into = zeros(builder, op.getLoc(), op.getSourceType());
  out.push_back(tensor::InsertSliceOp::create(builder, op.getLoc(), dy, into, op.getMixedOffsets(),
                                              op.getMixedSizes(), op.getMixedStrides()));
  out.append(op->getNumOperands() - 1, Value());
  return success();
}

LogicalResult vjp(tensor::InsertSliceOp op, OpBuilder& builder, Value dy, Cotangents& out) {
  if (failed(checkStaticSlice(op, op.getDestType(), op.getSourceType()))) return failure();
  Location loc = op.getLoc();
  out.push_back(tensor::ExtractSliceOp::create(builder, loc, op.getSourceType(), dy,
                                               op.getMixedOffsets(), op.getMixedSizes(),
                                               op.getMixedStrides()));
  Value none = zeros(builder, loc, op.getSourceType());
  out.push_back(tensor::InsertSliceOp::create(builder, loc, none, dy, op.getMixedOffsets(),
                                              op.getMixedSizes(), op.getMixedStrides()));
  out.append(op->getNumOperands() - 2, Value());
  return success();
}

LogicalResult vjp(tensor::ConcatOp op, OpBuilder& builder, Value dy, Cotangents& out) {
  if (!op.getType().hasStaticShape())
    return op.emitOpError("has no gradient: it needs a static shape");
  auto fold = [&](ArrayRef<int64_t> values) {
    return getAsIndexOpFoldResult(builder.getContext(), values);
  };
  SmallVector<int64_t> offsets(op.getType().getRank(), 0), strides(op.getType().getRank(), 1);
  for (Value input : op.getInputs()) {
    auto type = cast<RankedTensorType>(input.getType());
    out.push_back(tensor::ExtractSliceOp::create(builder, op.getLoc(), type, dy, fold(offsets),
                                                 fold(type.getShape()), fold(strides)));
    offsets[op.getDim()] += type.getDimSize(op.getDim());
  }
  return success();
}

LogicalResult vjp(tensor::ExpandShapeOp op, OpBuilder& builder, Value dy, Cotangents& out) {
  out.push_back(tensor::CollapseShapeOp::create(builder, op.getLoc(), op.getSrcType(), dy,
                                                op.getReassociationIndices()));
  out.append(op->getNumOperands() - 1, Value());
  return success();
}

LogicalResult vjp(tensor::CollapseShapeOp op, OpBuilder& builder, Value dy, Cotangents& out) {
  if (!op.getSrcType().hasStaticShape())
    return op.emitOpError("has no gradient: it needs a static shape");
  out.push_back(tensor::ExpandShapeOp::create(builder, op.getLoc(), op.getSrcType(), dy,
                                              op.getReassociationIndices()));
  return success();
}

LogicalResult vjp(tensor::CastOp op, OpBuilder& builder, Value dy, Cotangents& out) {
  out.push_back(tensor::CastOp::create(builder, op.getLoc(), op.getSource().getType(), dy));
  return success();
}

/// A scalar in the shape of a tensor: the sum of the cotangent.
LogicalResult vjp(tensor::SplatOp op, OpBuilder& builder, Value dy, Cotangents& out) {
  auto type = cast<RankedTensorType>(dy.getType());
  Location loc = op.getLoc();
  Value none = zeros(builder, loc, RankedTensorType::get({}, type.getElementType()));
  AffineMap identity = builder.getMultiDimIdentityMap(type.getRank());
  AffineMap scalar = AffineMap::get(type.getRank(), 0, builder.getContext());
  SmallVector<utils::IteratorType> iterators(type.getRank(), utils::IteratorType::reduction);
  auto sum = linalg::GenericOp::create(builder, loc, none.getType(), dy, none, {identity, scalar},
                                       iterators, [](OpBuilder& b, Location l, ValueRange args) {
                                         Value next = arith::AddFOp::create(b, l, args[1], args[0]);
                                         linalg::YieldOp::create(b, l, next);
                                       });
  out.push_back(tensor::ExtractOp::create(builder, loc, sum.getResult(0), ValueRange()));
  out.append(op->getNumOperands() - 1, Value());
  return success();
}

LogicalResult vjp(tensor::FromElementsOp op, OpBuilder& builder, Value dy, Cotangents& out) {
  if (op.getType().getNumElements() != 1)
    return op.emitOpError("has no gradient: it has more than one element");
  Value zero = arith::ConstantIndexOp::create(builder, op.getLoc(), 0);
  SmallVector<Value> indices(op.getType().getRank(), zero);
  out.push_back(tensor::ExtractOp::create(builder, op.getLoc(), dy, indices));
  return success();
}

LogicalResult vjp(tensor::ExtractOp op, OpBuilder& builder, Value dy, Cotangents& out) {
  auto type = cast<RankedTensorType>(op.getTensor().getType());
  if (!type.hasStaticShape()) return op.emitOpError("has no gradient: it needs a static shape");
  Value into = zeros(builder, op.getLoc(), type);
  out.push_back(tensor::InsertOp::create(builder, op.getLoc(), dy, into, op.getIndices()));
  out.append(op.getIndices().size(), Value());
  return success();
}

template <typename OpT>
struct Model : DifferentiableOpInterface::ExternalModel<Model<OpT>, OpT> {
  LogicalResult buildVjp(Operation* op, OpBuilder& builder, ValueRange cotangents,
                         Cotangents& out) const {
    if (cotangents[0]) return vjp(cast<OpT>(op), builder, cotangents[0], out);
    out.append(op->getNumOperands(), Value());
    return success();
  }
};

}  // namespace

void registerTensorVjpModels(DialectRegistry& registry) {
  registry.addExtension(+[](MLIRContext* context, tensor::TensorDialect*) {
    context->loadDialect<arith::ArithDialect, linalg::LinalgDialect>();
    tensor::ExtractSliceOp::attachInterface<Model<tensor::ExtractSliceOp>>(*context);
    tensor::InsertSliceOp::attachInterface<Model<tensor::InsertSliceOp>>(*context);
    tensor::ConcatOp::attachInterface<Model<tensor::ConcatOp>>(*context);
    tensor::ExpandShapeOp::attachInterface<Model<tensor::ExpandShapeOp>>(*context);
    tensor::CollapseShapeOp::attachInterface<Model<tensor::CollapseShapeOp>>(*context);
    tensor::CastOp::attachInterface<Model<tensor::CastOp>>(*context);
    tensor::SplatOp::attachInterface<Model<tensor::SplatOp>>(*context);
    tensor::FromElementsOp::attachInterface<Model<tensor::FromElementsOp>>(*context);
    tensor::ExtractOp::attachInterface<Model<tensor::ExtractOp>>(*context);
  });
}

}  // namespace weir
