#include "compiler/dialect/elementwise_builder.h"

#include "compiler/dialect/elementwise_ops.h"
#include "llvm/ADT/StringSwitch.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"

namespace weir {
using namespace mlir;

Value ElementwiseBuilder::constant(double value, Type like) {
  Type element = getElementTypeOrSelf(like);
  TypedAttr attribute = b.getFloatAttr(element, value);
  if (auto shaped = dyn_cast<ShapedType>(like))
    attribute = DenseElementsAttr::get(shaped, attribute);
  return arith::ConstantOp::create(b, loc, attribute);
}

Value ElementwiseBuilder::integer(int64_t value, Type like) {
  TypedAttr attribute = b.getIntegerAttr(getElementTypeOrSelf(like), value);
  if (auto shaped = dyn_cast<ShapedType>(like))
    attribute = DenseElementsAttr::get(shaped, attribute);
  return arith::ConstantOp::create(b, loc, attribute);
}

Value ElementwiseBuilder::add(Value x, Value y) { return arith::AddFOp::create(b, loc, x, y); }
Value ElementwiseBuilder::sub(Value x, Value y) { return arith::SubFOp::create(b, loc, x, y); }
Value ElementwiseBuilder::mul(Value x, Value y) { return arith::MulFOp::create(b, loc, x, y); }
Value ElementwiseBuilder::div(Value x, Value y) { return arith::DivFOp::create(b, loc, x, y); }
Value ElementwiseBuilder::neg(Value x) { return arith::NegFOp::create(b, loc, x); }
Value ElementwiseBuilder::abs(Value x) { return math::AbsFOp::create(b, loc, x); }
Value ElementwiseBuilder::maximum(Value x, Value y) {
  return arith::MaximumFOp::create(b, loc, x, y);
}
Value ElementwiseBuilder::exp(Value x) { return math::ExpOp::create(b, loc, x); }
Value ElementwiseBuilder::log(Value x) { return math::LogOp::create(b, loc, x); }
Value ElementwiseBuilder::log1p(Value x) { return math::Log1pOp::create(b, loc, x); }
Value ElementwiseBuilder::erf(Value x) { return math::ErfOp::create(b, loc, x); }
Value ElementwiseBuilder::tanh(Value x) { return math::TanhOp::create(b, loc, x); }
Value ElementwiseBuilder::rsqrt(Value x) { return math::RsqrtOp::create(b, loc, x); }
Value ElementwiseBuilder::sqrt(Value x) { return math::SqrtOp::create(b, loc, x); }
Value ElementwiseBuilder::sin(Value x) { return math::SinOp::create(b, loc, x); }
Value ElementwiseBuilder::cos(Value x) { return math::CosOp::create(b, loc, x); }
Value ElementwiseBuilder::roundEven(Value x) { return math::RoundEvenOp::create(b, loc, x); }
Value ElementwiseBuilder::addIntegers(Value x, Value y) {
  return arith::AddIOp::create(b, loc, x, y);
}
Value ElementwiseBuilder::subIntegers(Value x, Value y) {
  return arith::SubIOp::create(b, loc, x, y);
}
Value ElementwiseBuilder::divIntegers(Value x, Value y) {
  return arith::DivSIOp::create(b, loc, x, y);
}
Value ElementwiseBuilder::remIntegers(Value x, Value y) {
  return arith::RemSIOp::create(b, loc, x, y);
}
Value ElementwiseBuilder::minIntegers(Value x, Value y) {
  return arith::MinSIOp::create(b, loc, x, y);
}
Value ElementwiseBuilder::maxIntegers(Value x, Value y) {
  return arith::MaxSIOp::create(b, loc, x, y);
}
Value ElementwiseBuilder::narrowInteger(Value x, Type type) {
  return arith::TruncIOp::create(b, loc, type, x);
}
Value ElementwiseBuilder::mulIntegers(Value x, Value y) {
  return arith::MulIOp::create(b, loc, x, y);
}
Value ElementwiseBuilder::sigmoid(Value x) { return SigmoidOp::create(b, loc, x); }
Value ElementwiseBuilder::softplus(Value x) { return SoftplusOp::create(b, loc, x); }

Value ElementwiseBuilder::selectNonNegative(Value x, Value positive, Value negative) {
  Value test = arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OGE, x, constantLike(0, x));
  return arith::SelectOp::create(b, loc, test, positive, negative);
}

Value ElementwiseBuilder::selectPositive(Value x, Value positive, Value other) {
  Value test = arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OGT, x, constantLike(0, x));
  return arith::SelectOp::create(b, loc, test, positive, other);
}

Value ElementwiseBuilder::equal(Value x, Value y) {
  return arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, x, y);
}

Value ElementwiseBuilder::atLeast(Value x, Value y) {
  if (isa<FloatType>(getElementTypeOrSelf(x.getType())))
    return arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OGE, x, y);
  return arith::CmpIOp::create(b, loc, arith::CmpIPredicate::sge, x, y);
}

Value ElementwiseBuilder::select(Value condition, Value x, Value y) {
  return arith::SelectOp::create(b, loc, condition, x, y);
}

Value ElementwiseBuilder::logicalAnd(Value x, Value y) {
  return arith::AndIOp::create(b, loc, x, y);
}

Value ElementwiseBuilder::index(unsigned dim, Type type) {
  return arith::IndexCastOp::create(b, loc, type, linalg::IndexOp::create(b, loc, dim));
}

Value ElementwiseBuilder::toFloat(Value integer, Type type) {
  return arith::SIToFPOp::create(b, loc, type, integer);
}

Value ElementwiseBuilder::toInteger(Value number, Type type) {
  return arith::FPToSIOp::create(b, loc, type, number);
}

Value ElementwiseBuilder::cast(Value x, Type type) {
  if (x.getType() == type) return x;
  unsigned from = getElementTypeOrSelf(x.getType()).getIntOrFloatBitWidth();
  unsigned to = getElementTypeOrSelf(type).getIntOrFloatBitWidth();
  if (from < to) return arith::ExtFOp::create(b, loc, type, x);
  return arith::TruncFOp::create(b, loc, type, x);
}

Value ElementwiseBuilder::activation(StringRef name, Value x) {
  if (name == "none") return x;
  if (name == "tanh") return tanh(x);
  if (name == "sigmoid") return SigmoidOp::create(b, loc, x);
  if (name == "silu") return SiluOp::create(b, loc, x);
  if (name == "gelu") return GeluOp::create(b, loc, x);
  if (name == "gelu_tanh") return GeluTanhOp::create(b, loc, x);
  if (name == "relu") return ReluOp::create(b, loc, x);
  if (name == "relu_squared") return ReluSquaredOp::create(b, loc, x);
  if (name == "softplus") return SoftplusOp::create(b, loc, x);
  return {};
}

bool ElementwiseBuilder::isActivation(StringRef name) {
  return llvm::StringSwitch<bool>(name)
      .Cases({"none", "tanh", "sigmoid", "silu", "gelu", "gelu_tanh", "relu", "relu_squared",
              "softplus"},
             true)
      .Default(false);
}

}  // namespace weir
