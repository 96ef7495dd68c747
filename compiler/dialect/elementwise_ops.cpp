// The activations: what each means in `arith` and `math`, and its derivative in a form that holds
// at both ends.

#include "compiler/dialect/elementwise_ops.h"

#include <cmath>

#include "compiler/dialect/elementwise_builder.h"
#include "mlir/Dialect/Arith/IR/Arith.h"

#define GET_OP_CLASSES
#include "compiler/dialect/elementwise_ops.cpp.inc"

namespace weir {
using namespace mlir;

void registerElementwiseOps(WeirDialect& dialect) {
  dialect.registerOps<
#define GET_OP_LIST
#include "compiler/dialect/elementwise_ops.cpp.inc"
      >();
}

namespace {

using Decomposed = FailureOr<SmallVector<Value>>;

Decomposed single(Value value) { return SmallVector<Value>{value}; }

/// One operand cotangent: dy * derivative; nothing where no cotangent comes in.
template <typename Derivative>
LogicalResult unaryVjp(ValueRange cotangents, SmallVectorImpl<Value>& operandCotangents,
                       ElementwiseBuilder e, Derivative derivative) {
  Value dy = cotangents[0];
  operandCotangents.push_back(dy ? e.mul(dy, derivative()) : Value());
  return success();
}

constexpr double kSqrt2OverPi = 0.79788456080286535588;
constexpr double kGeluCubic = 0.044715;

}  // namespace

// sigmoid

Decomposed SigmoidOp::decomposeOperation(OpBuilder& b) {
  ElementwiseBuilder e(b, getLoc());
  Value one = e.constantLike(1, getOperand());
  return single(e.div(one, e.add(one, e.exp(e.neg(getOperand())))));
}

LogicalResult SigmoidOp::buildVjp(OpBuilder& b, ValueRange cotangents,
                                  SmallVectorImpl<Value>& operandCotangents) {
  ElementwiseBuilder e(b, getLoc());
  return unaryVjp(cotangents, operandCotangents, e, [&] {
    Value x = getOperand();
    return e.mul(e.sigmoid(x), e.sigmoid(e.neg(x)));
  });
}

// silu

Decomposed SiluOp::decomposeOperation(OpBuilder& b) {
  ElementwiseBuilder e(b, getLoc());
  return single(e.mul(getOperand(), e.sigmoid(getOperand())));
}

LogicalResult SiluOp::buildVjp(OpBuilder& b, ValueRange cotangents,
                               SmallVectorImpl<Value>& operandCotangents) {
  ElementwiseBuilder e(b, getLoc());
  // s(x) (1 + x s(-x)).
  return unaryVjp(cotangents, operandCotangents, e, [&] {
    Value x = getOperand();
    Value complement = e.sigmoid(e.neg(x));
    return e.mul(e.sigmoid(x), e.add(e.constantLike(1, x), e.mul(x, complement)));
  });
}

// gelu

Decomposed GeluOp::decomposeOperation(OpBuilder& b) {
  ElementwiseBuilder e(b, getLoc());
  Value x = getOperand();
  Value erf = e.erf(e.mul(x, e.constantLike(std::sqrt(0.5), x)));
  return single(e.mul(e.mul(x, e.constantLike(0.5, x)), e.add(e.constantLike(1, x), erf)));
}

LogicalResult GeluOp::buildVjp(OpBuilder& b, ValueRange cotangents,
                               SmallVectorImpl<Value>& operandCotangents) {
  ElementwiseBuilder e(b, getLoc());
  // Phi(x) + x phi(x).
  return unaryVjp(cotangents, operandCotangents, e, [&] {
    Value x = getOperand();
    Value half = e.constantLike(0.5, x);
    Value erf = e.erf(e.mul(x, e.constantLike(std::sqrt(0.5), x)));
    Value phi = e.mul(half, e.add(e.constantLike(1, x), erf));
    Value density =
        e.mul(e.constantLike(1 / std::sqrt(2 * M_PI), x), e.exp(e.neg(e.mul(half, e.mul(x, x)))));
    return e.add(phi, e.mul(x, density));
  });
}

// gelu_tanh

Decomposed GeluTanhOp::decomposeOperation(OpBuilder& b) {
  ElementwiseBuilder e(b, getLoc());
  Value x = getOperand();
  Value cube = e.mul(x, e.mul(x, x));
  Value inner =
      e.mul(e.constantLike(kSqrt2OverPi, x), e.add(x, e.mul(e.constantLike(kGeluCubic, x), cube)));
  return single(
      e.mul(e.mul(x, e.constantLike(0.5, x)), e.add(e.constantLike(1, x), e.tanh(inner))));
}

LogicalResult GeluTanhOp::buildVjp(OpBuilder& b, ValueRange cotangents,
                                   SmallVectorImpl<Value>& operandCotangents) {
  ElementwiseBuilder e(b, getLoc());
  return unaryVjp(cotangents, operandCotangents, e, [&] {
    Value x = getOperand();
    Value one = e.constantLike(1, x), half = e.constantLike(0.5, x);
    Value scale = e.constantLike(kSqrt2OverPi, x), cubic = e.constantLike(kGeluCubic, x);
    Value square = e.mul(x, x);
    Value t = e.tanh(e.mul(scale, e.add(x, e.mul(cubic, e.mul(x, square)))));
    Value inner = e.mul(scale, e.add(one, e.mul(e.constantLike(3 * kGeluCubic, x), square)));
    Value slope = e.mul(e.mul(x, half), e.mul(e.sub(one, e.mul(t, t)), inner));
    return e.add(e.mul(half, e.add(one, t)), slope);
  });
}

// relu

Decomposed ReluOp::decomposeOperation(OpBuilder& b) {
  ElementwiseBuilder e(b, getLoc());
  return single(e.maximum(getOperand(), e.constantLike(0, getOperand())));
}

LogicalResult ReluOp::buildVjp(OpBuilder& b, ValueRange cotangents,
                               SmallVectorImpl<Value>& operandCotangents) {
  ElementwiseBuilder e(b, getLoc());
  Value dy = cotangents[0];
  operandCotangents.push_back(dy ? e.selectPositive(getOperand(), dy, e.constantLike(0, dy))
                                 : Value());
  return success();
}

// relu_squared

Decomposed ReluSquaredOp::decomposeOperation(OpBuilder& b) {
  ElementwiseBuilder e(b, getLoc());
  Value relu = e.maximum(getOperand(), e.constantLike(0, getOperand()));
  return single(e.mul(relu, relu));
}

LogicalResult ReluSquaredOp::buildVjp(OpBuilder& b, ValueRange cotangents,
                                      SmallVectorImpl<Value>& operandCotangents) {
  ElementwiseBuilder e(b, getLoc());
  return unaryVjp(cotangents, operandCotangents, e, [&] {
    Value x = getOperand();
    return e.mul(e.constantLike(2, x), e.maximum(x, e.constantLike(0, x)));
  });
}

// softplus

Decomposed SoftplusOp::decomposeOperation(OpBuilder& b) {
  ElementwiseBuilder e(b, getLoc());
  Value x = getOperand();
  Value tail = e.log1p(e.exp(e.neg(e.abs(x))));
  return single(e.add(e.maximum(x, e.constantLike(0, x)), tail));
}

LogicalResult SoftplusOp::buildVjp(OpBuilder& b, ValueRange cotangents,
                                   SmallVectorImpl<Value>& operandCotangents) {
  ElementwiseBuilder e(b, getLoc());
  return unaryVjp(cotangents, operandCotangents, e, [&] { return e.sigmoid(getOperand()); });
}

// log_sigmoid

Decomposed LogSigmoidOp::decomposeOperation(OpBuilder& b) {
  ElementwiseBuilder e(b, getLoc());
  return single(e.neg(e.softplus(e.neg(getOperand()))));
}

LogicalResult LogSigmoidOp::buildVjp(OpBuilder& b, ValueRange cotangents,
                                     SmallVectorImpl<Value>& operandCotangents) {
  ElementwiseBuilder e(b, getLoc());
  return unaryVjp(cotangents, operandCotangents, e, [&] { return e.sigmoid(e.neg(getOperand())); });
}

// positive

Decomposed PositiveOp::decomposeOperation(OpBuilder& b) {
  ElementwiseBuilder e(b, getLoc());
  Value x = getOperand();
  return single(e.selectNonNegative(x, e.add(x, e.constantLike(0.5, x)), e.sigmoid(x)));
}

LogicalResult PositiveOp::buildVjp(OpBuilder& b, ValueRange cotangents,
                                   SmallVectorImpl<Value>& operandCotangents) {
  ElementwiseBuilder e(b, getLoc());
  return unaryVjp(cotangents, operandCotangents, e, [&] {
    Value x = getOperand();
    Value slope = e.mul(e.sigmoid(x), e.sigmoid(e.neg(x)));
    return e.selectNonNegative(x, e.constantLike(1, x), slope);
  });
}

// log_positive

Decomposed LogPositiveOp::decomposeOperation(OpBuilder& b) {
  ElementwiseBuilder e(b, getLoc());
  Value x = getOperand();
  // The relu keeps the branch that isn't taken finite.
  Value shifted = e.add(e.maximum(x, e.constantLike(0, x)), e.constantLike(0.5, x));
  return single(e.selectNonNegative(x, e.log(shifted), e.neg(e.softplus(e.neg(x)))));
}

LogicalResult LogPositiveOp::buildVjp(OpBuilder& b, ValueRange cotangents,
                                      SmallVectorImpl<Value>& operandCotangents) {
  ElementwiseBuilder e(b, getLoc());
  return unaryVjp(cotangents, operandCotangents, e, [&] {
    Value x = getOperand();
    Value shifted = e.add(e.maximum(x, e.constantLike(0, x)), e.constantLike(0.5, x));
    return e.selectNonNegative(x, e.div(e.constantLike(1, x), shifted), e.sigmoid(e.neg(x)));
  });
}

// random_uniform

Decomposed RandomUniformOp::decomposeOperation(OpBuilder& b) {
  Location loc = getLoc();
  ElementwiseBuilder e(b, loc);
  Type i64 = b.getI64Type();
  Value mask = e.integer(0xffffffff, i64), shift = e.integer(32, i64);
  auto low = [&](Value x) -> Value { return arith::AndIOp::create(b, loc, x, mask); };
  auto high = [&](Value x) -> Value { return arith::ShRUIOp::create(b, loc, x, shift); };
  auto exclusiveOr = [&](Value x, Value y) -> Value { return arith::XOrIOp::create(b, loc, x, y); };

  // Words of 32 bits are kept in the low half of 64-bit integers, so that a product holds both of
  // its halves.
  Value counter[4] = {low(getIndex()), high(getIndex()), low(getStep()), high(getStep())};
  Value key0 = low(exclusiveOr(getSeed(), high(getSeed()))), key1 = low(getStream());
  Value multiplier0 = e.integer(0xD2511F53, i64), multiplier1 = e.integer(0xCD9E8D57, i64);
  Value weyl0 = e.integer(0x9E3779B9, i64), weyl1 = e.integer(0xBB67AE85, i64);
  for (int round = 0; round < 10; ++round) {
    Value product0 = arith::MulIOp::create(b, loc, multiplier0, counter[0]);
    Value product1 = arith::MulIOp::create(b, loc, multiplier1, counter[2]);
    Value next[4] = {exclusiveOr(exclusiveOr(high(product1), counter[1]), key0), low(product1),
                     exclusiveOr(exclusiveOr(high(product0), counter[3]), key1), low(product0)};
    std::copy(next, next + 4, counter);
    key0 = low(arith::AddIOp::create(b, loc, key0, weyl0));
    key1 = low(arith::AddIOp::create(b, loc, key1, weyl1));
  }
  Value bits = arith::ShRUIOp::create(b, loc, counter[0], e.integer(8, i64));
  Type type = getResult().getType();
  Value narrow = arith::TruncIOp::create(b, loc, b.getI32Type(), bits);
  Value number = arith::SIToFPOp::create(b, loc, b.getF32Type(), narrow);
  Value uniform = e.mul(number, e.constant(1.0 / (1 << 24), b.getF32Type()));
  return single(e.cast(uniform, type));
}

}  // namespace weir
