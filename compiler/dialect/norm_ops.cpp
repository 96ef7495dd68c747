#include "compiler/dialect/norm_ops.h"

#include "compiler/dialect/linalg_builder.h"
#include "compiler/dialect/op_support.h"
#include "compiler/dialect/region_vjp.h"
#include "llvm/ADT/Sequence.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "mlir/IR/TypeUtilities.h"

#define GET_OP_CLASSES
#include "compiler/dialect/norm_ops.cpp.inc"

namespace weir {
using namespace mlir;

void registerNormOps(WeirDialect& dialect) {
  dialect.registerOps<
#define GET_OP_LIST
#include "compiler/dialect/norm_ops.cpp.inc"
      >();
}

namespace {

using Decomposed = FailureOr<SmallVector<Value>>;

/// Row-wise arithmetic on the last dimension of x, in f32 (f64 in f64).
struct Rows {
  Rows(OpBuilder& b, Location loc, Value x)
      : l(b, loc),
        shape(shapeOf(x)),
        rank(shape.size()),
        statistics(accumulatorType(getElementTypeOrSelf(x.getType()))),
        row(l.map(rank, llvm::to_vector(llvm::seq<unsigned>(0, rank - 1)))),
        feature(l.map(rank, {rank - 1})) {}

  Value sum(ValueRange inputs, ArrayRef<AffineMap> maps, LinalgBuilder::Body body) {
    return l.sum(shape, {rank - 1}, statistics, inputs, maps, body);
  }
  /// 1 / sqrt(sums / features + eps), a value a row.
  Value inverseRoot(Value sums, double eps) {
    double features = shape.back();
    return l.elementwise({sums}, [&](ElementwiseBuilder e, ValueRange v) {
      Value mean = e.mul(v[0], e.constantLike(1 / features, v[0]));
      return e.rsqrt(e.add(mean, e.constantLike(eps, v[0])));
    });
  }

  LinalgBuilder l;
  ArrayRef<int64_t> shape;
  unsigned rank;
  Type statistics;
  AffineMap row, feature;
};

LogicalResult verifyNorm(Operation* op, std::optional<StringRef> name, OperandRange parameters,
                         unsigned numParameters, ValueRange sizeOperands, AffineMap sizes) {
  if (parameters.empty() && !name) return op->emitOpError() << "needs a name, or its parameters";
  if (!parameters.empty() && parameters.size() != numParameters)
    return op->emitOpError() << "takes " << numParameters << " parameters, but has "
                             << parameters.size();
  return verifySizes(op, sizeOperands, sizes, 0);
}

}  // namespace

// layer_norm

LogicalResult LayerNormOp::verify() {
  return verifyNorm(*this, getName(), getParameters(), 2, getSizeOperands(), getSizes());
}

LogicalResult LayerNormOp::inferReturnTypes(MLIRContext*, std::optional<Location>, Adaptor adaptor,
                                            SmallVectorImpl<Type>& inferred) {
  inferred.push_back(adaptor.getX().getType());
  return success();
}
bool LayerNormOp::isCompatibleReturnTypes(TypeRange l, TypeRange r) { return compatible(l, r); }

LogicalResult LayerNormOp::parameterSpecs(TypeRange types, ArrayRef<int64_t>,
                                          SmallVectorImpl<ParameterSpec>& specs) {
  int64_t features = featuresOf(types[0]);
  if (failed(requireStatic(*this, features, "number of features"))) return failure();
  specs.push_back({"weight", {features}, "ones", ""});
  specs.push_back({"bias", {features}, "zeros", ""});
  return success();
}

Decomposed LayerNormOp::decomposeOperation(OpBuilder& b) {
  if (failed(requireDecomposable(*this, !getParameters().empty()))) return failure();
  Rows rows(b, getLoc(), getX());
  AffineMap all = rows.l.identity(rows.rank);
  Type element = getElementTypeOrSelf(getX().getType());
  double features = rows.shape.back();
  Value sums = rows.sum(getX(), all, [&](ElementwiseBuilder e, ValueRange v) { return v[0]; });
  auto meanOf = [&](ElementwiseBuilder e, Value sum) {
    return e.mul(sum, e.constantLike(1 / features, sum));
  };
  Value squares =
      rows.sum({getX(), sums}, {all, rows.row}, [&](ElementwiseBuilder e, ValueRange v) {
        Value mean = meanOf(e, v[1]);
        // The derivative for the mean is the sum of all differences: zero.
        if (Operation* op = mean.getDefiningOp()) op->setAttr(kStopGradient, b.getUnitAttr());
        Value difference = e.sub(e.cast(v[0], rows.statistics), mean);
        return e.mul(difference, difference);
      });
  Value scale = rows.inverseRoot(squares, getEps().convertToDouble());
  Value y = rows.l.elementwise(
      rows.shape, element, {getX(), sums, scale, getParameters()[0], getParameters()[1]},
      {all, rows.row, rows.row, rows.feature, rows.feature},
      [&](ElementwiseBuilder e, ValueRange v) {
        Value difference = e.sub(e.cast(v[0], rows.statistics), meanOf(e, v[1]));
        Value normed = e.mul(difference, v[2]);
        Value weight = e.cast(v[3], rows.statistics), bias = e.cast(v[4], rows.statistics);
        return e.cast(e.add(e.mul(normed, weight), bias), element);
      });
  return SmallVector<Value>{y};
}

Cost LayerNormOp::cost() { return streamingCost(*this, 8); }

// rms_norm and scale_norm

/// x * rsqrt(mean(x^2) + eps) * weight, where `weightMap` maps to the features or to nothing.
static Value rootMeanSquareNorm(Rows& rows, Value x, Value weight, AffineMap weightMap,
                                double eps) {
  AffineMap all = rows.l.identity(rows.rank);
  Type element = getElementTypeOrSelf(x.getType());
  Value squares = rows.sum(x, all, [&](ElementwiseBuilder e, ValueRange v) {
    Value wide = e.cast(v[0], rows.statistics);
    return e.mul(wide, wide);
  });
  Value scale = rows.inverseRoot(squares, eps);
  return rows.l.elementwise(rows.shape, element, {x, scale, weight}, {all, rows.row, weightMap},
                            [&](ElementwiseBuilder e, ValueRange v) {
                              Value normed = e.mul(e.cast(v[0], rows.statistics), v[1]);
                              return e.cast(e.mul(normed, e.cast(v[2], rows.statistics)), element);
                            });
}

LogicalResult RmsNormOp::verify() {
  return verifyNorm(*this, getName(), getParameters(), 1, getSizeOperands(), getSizes());
}

LogicalResult RmsNormOp::inferReturnTypes(MLIRContext*, std::optional<Location>, Adaptor adaptor,
                                          SmallVectorImpl<Type>& inferred) {
  inferred.push_back(adaptor.getX().getType());
  return success();
}
bool RmsNormOp::isCompatibleReturnTypes(TypeRange l, TypeRange r) { return compatible(l, r); }

LogicalResult RmsNormOp::parameterSpecs(TypeRange types, ArrayRef<int64_t>,
                                        SmallVectorImpl<ParameterSpec>& specs) {
  int64_t features = featuresOf(types[0]);
  if (failed(requireStatic(*this, features, "number of features"))) return failure();
  specs.push_back({"weight", {features}, "ones", ""});
  return success();
}

Decomposed RmsNormOp::decomposeOperation(OpBuilder& b) {
  if (failed(requireDecomposable(*this, !getParameters().empty()))) return failure();
  Rows rows(b, getLoc(), getX());
  return SmallVector<Value>{rootMeanSquareNorm(rows, getX(), getParameters()[0], rows.feature,
                                               getEps().convertToDouble())};
}

Cost RmsNormOp::cost() { return streamingCost(*this, 4); }

LogicalResult ScaleNormOp::verify() {
  return verifyNorm(*this, getName(), getParameters(), 1, getSizeOperands(), getSizes());
}

LogicalResult ScaleNormOp::inferReturnTypes(MLIRContext*, std::optional<Location>, Adaptor adaptor,
                                            SmallVectorImpl<Type>& inferred) {
  inferred.push_back(adaptor.getX().getType());
  return success();
}
bool ScaleNormOp::isCompatibleReturnTypes(TypeRange l, TypeRange r) { return compatible(l, r); }

LogicalResult ScaleNormOp::parameterSpecs(TypeRange, ArrayRef<int64_t>,
                                          SmallVectorImpl<ParameterSpec>& specs) {
  specs.push_back({"weight", {}, "ones", ""});
  return success();
}

Decomposed ScaleNormOp::decomposeOperation(OpBuilder& b) {
  if (failed(requireDecomposable(*this, !getParameters().empty()))) return failure();
  Rows rows(b, getLoc(), getX());
  return SmallVector<Value>{rootMeanSquareNorm(
      rows, getX(), getParameters()[0], rows.l.map(rows.rank, {}), getEps().convertToDouble())};
}

Cost ScaleNormOp::cost() { return streamingCost(*this, 4); }

// softmax

Decomposed SoftmaxOp::decomposeOperation(OpBuilder& b) {
  if (failed(requireDecomposable(*this))) return failure();
  Rows rows(b, getLoc(), getX());
  AffineMap all = rows.l.identity(rows.rank);
  Type element = getElementTypeOrSelf(getX().getType());
  Value largest = rows.l.maximum(rows.shape, {rows.rank - 1}, rows.statistics, getX(), all,
                                 [&](ElementwiseBuilder e, ValueRange v) { return v[0]; });
  auto exponential = [&](ElementwiseBuilder e, Value x, Value peak) {
    return e.exp(e.sub(e.cast(x, rows.statistics), peak));
  };
  Value sums =
      rows.sum({getX(), largest}, {all, rows.row},
               [&](ElementwiseBuilder e, ValueRange v) { return exponential(e, v[0], v[1]); });
  Value y = rows.l.elementwise(rows.shape, element, {getX(), largest, sums},
                               {all, rows.row, rows.row}, [&](ElementwiseBuilder e, ValueRange v) {
                                 return e.cast(e.div(exponential(e, v[0], v[1]), v[2]), element);
                               });
  return SmallVector<Value>{y};
}

LogicalResult SoftmaxOp::buildVjp(OpBuilder& b, ValueRange cotangents,
                                  SmallVectorImpl<Value>& operandCotangents) {
  // dx = p (dp - sum p dp).
  Value p = getResult(), dp = cotangents[0];
  if (!dp) {
    operandCotangents.push_back(Value());
    return success();
  }
  Rows rows(b, getLoc(), p);
  AffineMap all = rows.l.identity(rows.rank);
  Type element = getElementTypeOrSelf(p.getType());
  Value dots = rows.sum({p, dp}, {all, all}, [&](ElementwiseBuilder e, ValueRange v) {
    return e.mul(e.cast(v[0], rows.statistics), e.cast(v[1], rows.statistics));
  });
  operandCotangents.push_back(
      rows.l.elementwise(rows.shape, element, {p, dp, dots}, {all, all, rows.row},
                         [&](ElementwiseBuilder e, ValueRange v) {
                           Value difference = e.sub(e.cast(v[1], rows.statistics), v[2]);
                           return e.cast(e.mul(e.cast(v[0], rows.statistics), difference), element);
                         }));
  return success();
}

}  // namespace weir
