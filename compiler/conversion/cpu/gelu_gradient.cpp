// Finds GELU's gradient in a region.

#include <cmath>

#include "compiler/conversion/cpu/math_expansion.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/Matchers.h"

namespace weir {

using namespace mlir;

namespace {

constexpr double kSqrtHalf = 0.70710678118654752, kInverseSqrt2Pi = 0.39894228040143268;

bool isConstant(Value value, double expected) {
  APFloat constant(0.0);
  if (!matchPattern(value, m_ConstantFloat(&constant))) return false;
  return std::abs(constant.convertToDouble() - expected) <= 1e-6 * std::abs(expected);
}

/// The other factor or term, if `value` is `Op` of something and that constant.
template <typename Op>
Value besideConstant(Value value, double expected) {
  auto op = value.getDefiningOp<Op>();
  if (!op) return Value();
  if (isConstant(op.getRhs(), expected)) return op.getLhs();
  if (isConstant(op.getLhs(), expected)) return op.getRhs();
  return Value();
}

/// x, if `value` is (erf(x / sqrt 2) + 1) / 2 and has no other use.
Value argumentOfPhi(Value value) {
  Value sum = besideConstant<arith::MulFOp>(value, 0.5);
  Value erf = sum && sum.hasOneUse() ? besideConstant<arith::AddFOp>(sum, 1) : Value();
  auto op = erf && erf.hasOneUse() ? erf.getDefiningOp<math::ErfOp>() : math::ErfOp();
  return op && value.hasOneUse() ? besideConstant<arith::MulFOp>(op.getOperand(), kSqrtHalf)
                                 : Value();
}

/// Whether `value` is exp(-x^2 / 2) / sqrt(2 pi).
bool isDensity(Value value, Value x) {
  Value factor = besideConstant<arith::MulFOp>(value, kInverseSqrt2Pi);
  auto exp = factor ? factor.getDefiningOp<math::ExpOp>() : math::ExpOp();
  auto negation = exp ? exp.getOperand().getDefiningOp<arith::NegFOp>() : arith::NegFOp();
  if (!negation) return false;
  Value square = besideConstant<arith::MulFOp>(negation.getOperand(), 0.5);
  auto product = square ? square.getDefiningOp<arith::MulFOp>() : arith::MulFOp();
  return product && product.getLhs() == x && product.getRhs() == x;
}

/// Whether `value` is x exp(-x^2 / 2) / sqrt(2 pi), in either order.
bool isWeightedDensity(Value value, Value x) {
  auto product = value.getDefiningOp<arith::MulFOp>();
  if (!product) return false;
  return (product.getLhs() == x && isDensity(product.getRhs(), x)) ||
         (product.getRhs() == x && isDensity(product.getLhs(), x));
}

}  // namespace

void joinGeluGradients(Region& region) {
  SmallVector<std::pair<arith::AddFOp, Value>> found;
  region.walk([&](arith::AddFOp sum) {
    if (!sum.getType().isF32()) return;
    for (auto [phi, density] :
         {std::pair(sum.getLhs(), sum.getRhs()), std::pair(sum.getRhs(), sum.getLhs())})
      if (Value x = argumentOfPhi(phi))
        if (isWeightedDensity(density, x)) {
          found.emplace_back(sum, x);
          return;
        }
  });
  for (auto [sum, x] : found) {
    OpBuilder b(sum);
    auto gradient = math::ErfOp::create(b, sum.getLoc(), x);
    gradient->setAttr(kGeluGradient, b.getUnitAttr());
    sum.replaceAllUsesWith(gradient.getResult());
    // From the sum up, so that what only it used goes too.
    SmallVector<Operation*> unused = {sum};
    while (!unused.empty()) {
      Operation* op = unused.pop_back_val();
      SmallVector<Value> operands(op->getOperands());
      op->erase();
      for (Value operand : operands)
        if (Operation* producer = operand.getDefiningOp())
          if (isOpTriviallyDead(producer) && !llvm::is_contained(unused, producer))
            unused.push_back(producer);
    }
  }
}

}  // namespace weir
