#include "compiler/dialect/random_ops.h"

#include "compiler/dialect/elementwise_ops.h"
#include "compiler/dialect/linalg_builder.h"
#include "compiler/dialect/op_support.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "mlir/IR/Matchers.h"
#include "mlir/IR/TypeUtilities.h"

#define GET_OP_CLASSES
#include "compiler/dialect/random_ops.cpp.inc"

namespace weir {
using namespace mlir;

void registerRandomOps(WeirDialect& dialect) {
  dialect.registerOps<
#define GET_OP_LIST
#include "compiler/dialect/random_ops.cpp.inc"
      >();
}

LogicalResult DropoutOp::inferReturnTypes(MLIRContext*, std::optional<Location>, Adaptor adaptor,
                                          SmallVectorImpl<Type>& inferred) {
  inferred.push_back(adaptor.getX().getType());
  return success();
}
bool DropoutOp::isCompatibleReturnTypes(TypeRange l, TypeRange r) { return compatible(l, r); }

void DropoutOp::bindRandom(Value stream, Value rng) {
  getStreamMutable().assign(stream);
  getRngMutable().assign(rng);
}

Value DropoutOp::deterministicResult() { return getX(); }

LogicalResult DropoutOp::verify() {
  FloatAttr rate;
  if (!matchPattern(getRate(), m_Constant(&rate))) return success();
  double value = rate.getValueAsDouble();
  if (value >= 0 && value < 1) return success();
  return emitOpError() << "has a rate of " << value << ", but it must be at least 0 and below 1";
}

/// At rate zero nothing is drawn.
OpFoldResult DropoutOp::fold(FoldAdaptor adaptor) {
  auto rate = dyn_cast_or_null<FloatAttr>(adaptor.getRate());
  return rate && rate.getValue().isZero() ? OpFoldResult(getX()) : OpFoldResult();
}

FailureOr<SmallVector<Value>> DropoutOp::decomposeOperation(OpBuilder& b) {
  if (failed(requireDecomposable(*this, getStream() && getRng()))) return failure();
  LinalgBuilder l(b, getLoc());
  ArrayRef<int64_t> shape = shapeOf(getX());
  Type element = getElementTypeOrSelf(getX().getType());
  Type uniform = accumulatorType(element), i64 = b.getI64Type();
  auto entry = [&](int64_t position) {
    return AffineMap::get(shape.size(), 0, b.getAffineConstantExpr(position));
  };
  Value y = l.elementwise(
      shape, element, {getX(), getRng(), getRng()}, {l.identity(shape.size()), entry(0), entry(1)},
      [&](ElementwiseBuilder e, ValueRange v) {
        Value position = e.integer(0, i64);
        for (unsigned dim = 0; dim < shape.size(); ++dim) {
          position = e.mulIntegers(position, e.integer(shape[dim], i64));
          position = e.addIntegers(position, e.index(dim, i64));
        }
        Value number = RandomUniformOp::create(e.builder(), getLoc(), uniform, v[1], v[2],
                                               getStream(), position);
        Value rate = e.cast(getRate(), uniform);
        Value scale = e.div(e.constant(1, uniform), e.sub(e.constant(1, uniform), rate));
        Value scaled = e.mul(v[0], e.cast(scale, element));
        return e.select(e.atLeast(number, rate), scaled, e.constant(0, element));
      });
  return SmallVector<Value>{y};
}

Cost DropoutOp::cost() { return streamingCost(*this, 40); }

}  // namespace weir
