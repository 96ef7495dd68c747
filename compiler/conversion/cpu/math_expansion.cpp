#include "compiler/conversion/cpu/math_expansion.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Transforms/Passes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Math/Transforms/Passes.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/TypeUtilities.h"
#include "mlir/Dialect/X86Vector/X86VectorDialect.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

namespace weir {

using namespace mlir;

namespace {

Type withElement(Type like, Type element) {
  auto vector = dyn_cast<VectorType>(like);
  return vector ? Type(vector.clone(element)) : element;
}

Value horner(KernelBuilder& b, Value x, ArrayRef<uint32_t> coefficients) {
  Value p = b.f32Bits(x.getType(), coefficients[0]);
  for (uint32_t bits : coefficients.drop_front())
    p = math::FmaOp::create(b, p, x, b.f32Bits(x.getType(), bits));
  return p;
}

/// 2^n (1 + r + r^2 Q(r)), where n is in the low bits of t: adding it to the exponent is an integer
/// addition.
Value scaledExp(KernelBuilder& b, Value t, Value r) {
  Type type = r.getType();
  Type intType = withElement(type, b.getI32Type());
  Value q = horner(b, r, {0x3AB6887E, 0x3C0905B1, 0x3D2AAA8D, 0x3E2AAA6F, 0x3F000000});
  Value one = b.floatConstant(type, 1.0);
  Value p = math::FmaOp::create(b, r, math::FmaOp::create(b, r, q, one), one);
  Value exponent =
      arith::ShLIOp::create(b, arith::BitcastOp::create(b, intType, t), b.intConstant(intType, 23));
  Value bits = arith::AddIOp::create(b, arith::BitcastOp::create(b, intType, p), exponent);
  return arith::BitcastOp::create(b, type, bits);
}

}  // namespace

Multiple nearestMultiple(KernelBuilder& b, Value x, double factor) {
  Type type = x.getType();
  Value magic = b.floatConstant(type, 12582912.0);
  Value t = math::FmaOp::create(b, x, b.floatConstant(type, factor), magic);
  return {arith::SubFOp::create(b, t, magic), t};
}

namespace {

constexpr double kLog2e = 1.4426950408889634;

/// exp(x) with x = n ln2 + r. The comparisons are ordered so that nan passes through.
Value expF32(KernelBuilder& b, Value x) {
  Type type = x.getType();
  Value high = b.floatConstant(type, 88.37), low = b.floatConstant(type, -87.33);
  Value above = arith::CmpFOp::create(b, arith::CmpFPredicate::OGT, x, high);
  x = arith::SelectOp::create(b, above, high, x);
  Value below = arith::CmpFOp::create(b, arith::CmpFPredicate::OLT, x, low);
  x = arith::SelectOp::create(b, below, low, x);
  auto [n, t] = nearestMultiple(b, x, kLog2e);
  Value r = math::FmaOp::create(b, n, b.f32Bits(type, 0xBF317000), x);
  r = math::FmaOp::create(b, n, b.f32Bits(type, 0xB805FDF4), r);
  // Exactly 0 below, so that masked scores (-inf) get no weight at all.
  return arith::SelectOp::create(b, below, b.floatConstant(type, 0.0), scaledExp(b, t, r));
}

/// exp(x) of an x in [-87.3, 88.3] or nan. ln2 has one part: the rounding of it adds 2e-9 |n| to
/// the relative error, 1 ulp at |x| = 20.
Value boundedExpF32(KernelBuilder& b, Value x) {
  Type type = x.getType();
  auto [n, t] = nearestMultiple(b, x, kLog2e);
  Value r = math::FmaOp::create(b, n, b.floatConstant(type, -0.6931471805599453), x);
  return scaledExp(b, t, r);
}

/// sin(x + quadrant * pi/2) for |x| < 2^22: reduction by pi/2 in three parts, polynomials of Cephes
/// on [-pi/4, pi/4]. MLIR's expansion reduces by pi in one part and loses the digits of large
/// angles, as rotary positions have them.
Value sinF32(KernelBuilder& b, Value x, int64_t quadrant) {
  Type type = x.getType();
  Type intType = withElement(type, b.getI32Type());
  auto [n, t] = nearestMultiple(b, x, 0.6366197723675814);
  Value r = math::FmaOp::create(b, n, b.f32Bits(type, 0xBFC90FDB), x);
  r = math::FmaOp::create(b, n, b.f32Bits(type, 0x333BBD2E), r);
  r = math::FmaOp::create(b, n, b.f32Bits(type, 0x26F72CED), r);
  Value q = arith::AddIOp::create(b, arith::BitcastOp::create(b, intType, t),
                                  b.intConstant(intType, quadrant));
  Value z = arith::MulFOp::create(b, r, r);
  auto polynomial = [&](ArrayRef<double> coefficients) {
    Value p = b.floatConstant(type, coefficients[0]);
    for (double c : coefficients.drop_front())
      p = math::FmaOp::create(b, p, z, b.floatConstant(type, c));
    return p;
  };
  Value sine = polynomial({-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1});
  sine = math::FmaOp::create(b, arith::MulFOp::create(b, sine, z), r, r);
  Value cosine =
      polynomial({2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2, -0.5, 1.0});
  auto bitSet = [&](int64_t bit) -> Value {
    Value masked = arith::AndIOp::create(b, q, b.intConstant(intType, bit));
    return arith::CmpIOp::create(b, arith::CmpIPredicate::ne, masked, b.intConstant(intType, 0));
  };
  Value result = arith::SelectOp::create(b, bitSet(1), cosine, sine);
  return arith::SelectOp::create(b, bitSet(2), arith::NegFOp::create(b, result), result);
}

/// erf(x) = x P(x^2) below 1, and 1 - exp(Q(|x|)) above, where Q is close to log erfc; both
/// minimax, 1.5 ulp. Beyond 4 it is 1. MLIR's own expansion selects each of its coefficients from
/// four intervals, which takes three times as long.
Value erfF32(KernelBuilder& b, Value x) {
  Type type = x.getType();
  Value one = b.floatConstant(type, 1.0), four = b.floatConstant(type, 4.0);
  Value a = math::AbsFOp::create(b, x);
  Value large = arith::CmpFOp::create(b, arith::CmpFPredicate::OGT, a, four);
  a = arith::SelectOp::create(b, large, four, a);
  Value inner =
      horner(b, arith::MulFOp::create(b, a, a),
             {0x38A4B505, 0xBA51FB79, 0x3BAA02D8, 0xBCDBFC86, 0x3DE7167C, 0xBEC0939F, 0x3F906EBA});
  inner = arith::MulFOp::create(b, a, inner);
  Value exponent = horner(
      b, a, {0x39436FB9, 0xBB412E0F, 0x3CB2E603, 0xBDD329C5, 0xBF235D71, 0xBF904477, 0xB9B308F3});
  Value outer = arith::SubFOp::create(b, one, expF32(b, exponent));
  Value isInner = arith::CmpFOp::create(b, arith::CmpFPredicate::OLT, a, one);
  return math::CopySignOp::create(b, arith::SelectOp::create(b, isInner, inner, outer), x);
}

/// (1 + erf(x / sqrt 2)) / 2 + x exp(-x^2 / 2) / sqrt(2 pi).
Value geluGradient(KernelBuilder& b, Value x) {
  Type type = x.getType();
  if (hasTables(type)) return geluGradientByTable(b, x);
  auto times = [&](Value value, double factor) {
    return Value(arith::MulFOp::create(b, value, b.floatConstant(type, factor)));
  };
  Value density = expF32(b, times(arith::MulFOp::create(b, x, x), -0.5));
  Value phi = times(arith::AddFOp::create(b, erfF32(b, times(x, 0.70710678118654752)),
                                          b.floatConstant(type, 1.0)),
                    0.5);
  return math::FmaOp::create(b, x, times(density, 0.39894228040143268), phi);
}

/// log1p(x) = log(u) * x / (u - 1) with u = 1 + x rounded (W. Kahan): the rounding of u cancels.
/// MLIR's own lowering is log(1 + x), which loses every digit of a small x.
Value log1p(KernelBuilder& b, Value x) {
  Type type = x.getType();
  Value one = b.floatConstant(type, 1.0);
  Value u = arith::AddFOp::create(b, one, x);
  Value log = math::LogOp::create(b, u);
  Value quotient = arith::DivFOp::create(b, x, arith::SubFOp::create(b, u, one));
  Value value = arith::MulFOp::create(b, log, quotient);
  Value tiny = arith::CmpFOp::create(b, arith::CmpFPredicate::OEQ, u, one);
  Value result = arith::SelectOp::create(b, tiny, x, value);
  Value infinity = b.floatConstant(type, std::numeric_limits<double>::infinity());
  Value infinite = arith::CmpFOp::create(b, arith::CmpFPredicate::OEQ, x, infinity);
  return arith::SelectOp::create(b, infinite, x, result);
}

/// expm1(x) = (e^x - 1) x / log(e^x) (W. Kahan), x itself where e^x rounds to 1.
Value expm1F32(KernelBuilder& b, Value x) {
  Type type = x.getType();
  Value one = b.floatConstant(type, 1.0);
  Value u = expF32(b, x);
  Value um1 = arith::SubFOp::create(b, u, one);
  Value value =
      arith::MulFOp::create(b, um1, arith::DivFOp::create(b, x, math::LogOp::create(b, u)));
  Value minusOne = b.floatConstant(type, -1.0);
  Value saturated =
      arith::CmpFOp::create(b, arith::CmpFPredicate::OLT, x, b.floatConstant(type, -20.0));
  Value huge = arith::CmpFOp::create(b, arith::CmpFPredicate::OGT, x, b.floatConstant(type, 20.0));
  Value tiny = arith::CmpFOp::create(b, arith::CmpFPredicate::OEQ, u, one);
  value = arith::SelectOp::create(b, tiny, x, value);
  value = arith::SelectOp::create(b, huge, um1, value);
  return arith::SelectOp::create(b, saturated, minusOne, value);
}

/// x^y for f32: exp(y log|x|), with the sign of odd integer powers and nan for other powers of
/// negative numbers. The product y log|x| is kept in two floats, as its error is multiplied by its
/// size.
Value powF32(KernelBuilder& b, Value x, Value y) {
  Type type = x.getType();
  Value zero = b.floatConstant(type, 0.0), one = b.floatConstant(type, 1.0);
  Value log = math::LogOp::create(b, math::AbsFOp::create(b, x));
  Value product = arith::MulFOp::create(b, y, log);
  Value rest = math::FmaOp::create(b, y, log, arith::NegFOp::create(b, product));
  Value power = expF32(b, product);
  Value corrected = math::FmaOp::create(b, power, rest, power);
  Value finiteRest = arith::CmpFOp::create(b, arith::CmpFPredicate::ORD, rest, rest);
  power = arith::SelectOp::create(b, finiteRest, corrected, power);
  Value floor = math::FloorOp::create(b, y);
  Value isInteger = arith::CmpFOp::create(b, arith::CmpFPredicate::OEQ, floor, y);
  Value half = arith::MulFOp::create(b, y, b.floatConstant(type, 0.5));
  Value isOdd =
      arith::CmpFOp::create(b, arith::CmpFPredicate::ONE, math::FloorOp::create(b, half), half);
  Value negated = arith::SelectOp::create(b, isOdd, arith::NegFOp::create(b, power), power);
  Value nan = b.floatConstant(type, std::numeric_limits<double>::quiet_NaN());
  Value negative = arith::SelectOp::create(b, isInteger, negated, nan);
  Value isNegative = arith::CmpFOp::create(b, arith::CmpFPredicate::OLT, x, zero);
  Value result = arith::SelectOp::create(b, isNegative, negative, power);
  Value isZero = arith::CmpFOp::create(b, arith::CmpFPredicate::OEQ, x, zero);
  Value positivePower = arith::CmpFOp::create(b, arith::CmpFPredicate::OGT, y, zero);
  Value infinity = b.floatConstant(type, std::numeric_limits<double>::infinity());
  Value ofZero = arith::SelectOp::create(b, positivePower, zero, infinity);
  result = arith::SelectOp::create(b, isZero, ofZero, result);
  Value zeroth = arith::CmpFOp::create(b, arith::CmpFPredicate::OEQ, y, zero);
  return arith::SelectOp::create(b, zeroth, one, result);
}

/// bf16 is the upper half of an f32.
Value extendBf16(KernelBuilder& b, Value x, Type element) {
  Type half = withElement(x.getType(), b.getI16Type()),
       whole = withElement(x.getType(), b.getI32Type());
  Value bits = arith::ExtUIOp::create(b, whole, arith::BitcastOp::create(b, half, x));
  bits = arith::ShLIOp::create(b, bits, b.intConstant(whole, 16));
  Value value = arith::BitcastOp::create(b, withElement(x.getType(), b.getF32Type()), bits);
  if (element.isF32()) return value;
  return arith::ExtFOp::create(b, withElement(x.getType(), element), value);
}

class ExpandVectorMath : public PassWrapper<ExpandVectorMath, OperationPass<>> {
 public:
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(ExpandVectorMath)
  explicit ExpandVectorMath(CpuTarget target) : target(target) {}
  StringRef getArgument() const override { return "weir-cpu-expand-vector-math"; }

  void getDependentDialects(DialectRegistry& registry) const override {
    registry.insert<arith::ArithDialect, math::MathDialect, vector::VectorDialect,
                    x86vector::X86VectorDialect>();
  }

  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    MathPolynomialApproximationOptions options;
    options.enableAvx2 = false;
    populateMathPolynomialApproximationPatterns(patterns, options);
    if (!target.hasBf16()) arith::populateExpandBFloat16Patterns(patterns);
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns)))) signalPassFailure();
  }

 private:
  CpuTarget target;
};

}  // namespace

Value expandMath(KernelBuilder& b, Operation* op, ValueRange operands) {
  if (isa<math::Log1pOp>(op)) return log1p(b, operands[0]);
  if (isa<arith::ExtFOp>(op) && getElementTypeOrSelf(operands[0].getType()).isBF16())
    return extendBf16(b, operands[0], getElementTypeOrSelf(op->getResult(0).getType()));
  if (operands.empty() || !getElementTypeOrSelf(operands[0].getType()).isF32()) return Value();
  if (isa<math::ExpOp>(op))
    return op->hasAttr(kBounded) ? boundedExpF32(b, operands[0]) : expF32(b, operands[0]);
  if (op->hasAttr(kGeluGradient)) return geluGradient(b, operands[0]);
  if (isa<math::ErfOp>(op))
    return hasTables(operands[0].getType()) ? erfByTable(b, operands[0]) : erfF32(b, operands[0]);
  if (isa<math::SinOp>(op)) return sinF32(b, operands[0], 0);
  if (isa<math::CosOp>(op)) return sinF32(b, operands[0], 1);
  if (isa<math::ExpM1Op>(op)) return expm1F32(b, operands[0]);
  if (isa<math::Exp2Op>(op))
    return expF32(
        b, arith::MulFOp::create(b, operands[0],
                                 b.floatConstant(operands[0].getType(), 0.6931471805599453)));
  if (isa<math::PowFOp>(op)) return powF32(b, operands[0], operands[1]);
  return Value();
}

std::unique_ptr<Pass> createExpandVectorMathPass(CpuTarget target) {
  return std::make_unique<ExpandVectorMath>(target);
}

}  // namespace weir
