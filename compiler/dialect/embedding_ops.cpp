#include "compiler/dialect/embedding_ops.h"

#include "compiler/dialect/linalg_builder.h"
#include "compiler/dialect/op_support.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "mlir/IR/TypeUtilities.h"

#define GET_OP_CLASSES
#include "compiler/dialect/embedding_ops.cpp.inc"

namespace weir {
using namespace mlir;

void registerEmbeddingOps(WeirDialect& dialect) {
  dialect.registerOps<
#define GET_OP_LIST
#include "compiler/dialect/embedding_ops.cpp.inc"
      >();
}

static RankedTensorType rowsType(Type indices, int64_t features, Type element) {
  SmallVector<int64_t> shape(cast<RankedTensorType>(indices).getShape());
  shape.push_back(features);
  return RankedTensorType::get(shape, element);
}

// embedding

LogicalResult EmbeddingOp::verify() {
  if (!getParameters().empty()) {
    if (getParameters().size() > 1) return emitOpError() << "takes one parameter, its table";
    return success();
  }
  if (!getName()) return emitOpError() << "needs a name, or its table";
  return verifySizes(*this, getSizeOperands(), getSizes(), 2);
}

LogicalResult EmbeddingOp::inferReturnTypes(MLIRContext* context, std::optional<Location> location,
                                            Adaptor adaptor, SmallVectorImpl<Type>& inferred) {
  Type element = Float32Type::get(context);
  int64_t features = ShapedType::kDynamic;
  if (!adaptor.getParameters().empty()) {
    auto table = cast<RankedTensorType>(adaptor.getParameters()[0].getType());
    if (table.getRank() != 2)
      return emitOptionalError(location, "table must be of rank 2, but is ", table);
    element = table.getElementType();
    features = table.getDimSize(1);
  }
  inferred.push_back(rowsType(adaptor.getTokens().getType(), features, element));
  return success();
}
bool EmbeddingOp::isCompatibleReturnTypes(TypeRange l, TypeRange r) { return compatible(l, r); }

LogicalResult EmbeddingOp::parameterSpecs(TypeRange, ArrayRef<int64_t> sizes,
                                          SmallVectorImpl<ParameterSpec>& specs) {
  specs.push_back(
      {"weight", {sizes[0], sizes[1]}, weightInit(getInit(), "normal(0.02)", sizes[1]), ""});
  return success();
}

FailureOr<SmallVector<Value>> EmbeddingOp::decomposeOperation(OpBuilder& b) {
  if (failed(requireDecomposable(*this, !getParameters().empty()))) return failure();
  Value rows =
      GatherRowsOp::create(b, getLoc(), getResult().getType(), getParameters()[0], getTokens());
  return SmallVector<Value>{rows};
}

Cost EmbeddingOp::cost() {
  Cost cost;
  cost.bytes = byteCount(getTokens().getType()) + byteCount(getResult().getType()) * Polynomial(2);
  return cost;
}

// gather_rows

LogicalResult GatherRowsOp::verify() {
  if (shapeOf(getTable()).size() != 2) return emitOpError() << "needs a table of rank 2";
  return success();
}

LogicalResult GatherRowsOp::inferReturnTypes(MLIRContext*, std::optional<Location>, Adaptor adaptor,
                                             SmallVectorImpl<Type>& inferred) {
  auto table = cast<RankedTensorType>(adaptor.getTable().getType());
  inferred.push_back(
      rowsType(adaptor.getIndices().getType(), table.getShape().back(), table.getElementType()));
  return success();
}
bool GatherRowsOp::isCompatibleReturnTypes(TypeRange l, TypeRange r) { return compatible(l, r); }

LogicalResult GatherRowsOp::buildVjp(OpBuilder& b, ValueRange cotangents,
                                     SmallVectorImpl<Value>& operandCotangents) {
  Value dy = cotangents[0];
  operandCotangents.push_back(
      dy ? ScatterRowsOp::create(b, getLoc(), getTable().getType(), dy, getIndices()).getResult()
         : Value());
  operandCotangents.push_back(Value());
  return success();
}

// scatter_rows

LogicalResult ScatterRowsOp::verify() {
  ArrayRef<int64_t> table = shapeOf(getResult()), updates = shapeOf(getUpdates());
  if (table.size() != 2) return emitOpError() << "needs a result of rank 2";
  if (updates.size() != shapeOf(getIndices()).size() + 1 || updates.back() != table.back())
    return emitOpError()
           << "updates of type " << getUpdates().getType()
           << " must have the dimensions of the indices, then the features of the result";
  return success();
}

}  // namespace weir
