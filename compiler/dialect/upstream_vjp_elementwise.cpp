// Reverse-mode rules of arith and math. One rule serves scalars (inside the
// regions of linalg.generic and weir.scan) and tensors (element by element),
// since the ops themselves do.
//
// A rule uses the op's result wherever that is cheaper or keeps more bits than
// starting again from its operands (exp, tanh, sqrt, the quotient). Where a
// function has no derivative the choice is PyTorch's: |x| has 0 at 0, and
// max(x, constant) has 0 where both are equal (ReLU).

#include <cmath>

#include "compiler/dialect/interfaces.h"
#include "compiler/dialect/upstream_vjp.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/Matchers.h"
#include "mlir/IR/TypeUtilities.h"

namespace weir {
namespace {

using namespace mlir;
using Cotangents = SmallVectorImpl<Value>;

/// Arithmetic in the type of its operands, scalar or tensor.
struct Emitter {
  OpBuilder& builder;
  Location loc;

  Value add(Value a, Value b) { return arith::AddFOp::create(builder, loc, a, b); }
  Value sub(Value a, Value b) { return arith::SubFOp::create(builder, loc, a, b); }
  Value mul(Value a, Value b) { return arith::MulFOp::create(builder, loc, a, b); }
  Value div(Value a, Value b) { return arith::DivFOp::create(builder, loc, a, b); }
  Value neg(Value a) { return arith::NegFOp::create(builder, loc, a); }
  Value exp(Value a) { return math::ExpOp::create(builder, loc, a); }
  Value scale(Value a, double factor) { return mul(a, constant(a.getType(), factor)); }
  Value select(Value c, Value a, Value b) { return arith::SelectOp::create(builder, loc, c, a, b); }
  Value compare(arith::CmpFPredicate predicate, Value a, Value b) {
    return arith::CmpFOp::create(builder, loc, predicate, a, b);
  }
  Value constant(Type type, double value) {
    TypedAttr attr = FloatAttr::get(getElementTypeOrSelf(type), value);
    if (auto shaped = dyn_cast<ShapedType>(type)) attr = DenseElementsAttr::get(shaped, attr);
    return arith::ConstantOp::create(builder, loc, attr);
  }
  Value zero(Type type) { return constant(type, 0.0); }
};

bool isConstant(Value value) { return matchPattern(value, m_Constant()); }

// ---- arith
// ----------------------------------------------------------------------------------------------------------

void addVjp(arith::AddFOp, Emitter, Value dy, Cotangents& out) { out.append({dy, dy}); }

void subVjp(arith::SubFOp, Emitter e, Value dy, Cotangents& out) { out.append({dy, e.neg(dy)}); }

void mulVjp(arith::MulFOp op, Emitter e, Value dy, Cotangents& out) {
  if (op.getLhs() == op.getRhs()) {
    Value half = e.mul(dy, op.getLhs());
    out.append({half, half});
    return;
  }
  out.append({e.mul(dy, op.getRhs()), e.mul(op.getLhs(), dy)});
}

void divVjp(arith::DivFOp op, Emitter e, Value dy, Cotangents& out) {
  Value dx = e.div(dy, op.getRhs());
  out.append({dx, e.neg(e.mul(dx, op.getResult()))});
}

void negVjp(arith::NegFOp, Emitter e, Value dy, Cotangents& out) { out.push_back(e.neg(dy)); }

/// Maximum and minimum: the side that strictly wins takes all; where both are
/// equal a constant wins, else the right.
template <typename OpT, arith::CmpFPredicate lhsWins, arith::CmpFPredicate rhsWins>
void extremumVjp(OpT op, Emitter e, Value dy, Cotangents& out) {
  Value zero = e.zero(dy.getType());
  if (isConstant(op.getLhs())) {
    out.append({Value(), e.select(e.compare(rhsWins, op.getLhs(), op.getRhs()), dy, zero)});
    return;
  }
  Value lhs = e.compare(lhsWins, op.getLhs(), op.getRhs());
  out.append({e.select(lhs, dy, zero), e.select(lhs, zero, dy)});
}

void selectVjp(arith::SelectOp op, Emitter e, Value dy, Cotangents& out) {
  Value zero = e.zero(dy.getType());
  out.append(
      {Value(), e.select(op.getCondition(), dy, zero), e.select(op.getCondition(), zero, dy)});
}

void extVjp(arith::ExtFOp op, Emitter e, Value dy, Cotangents& out) {
  out.push_back(arith::TruncFOp::create(e.builder, e.loc, op.getIn().getType(), dy));
}

/// A cotangent that was itself rounded from the wide type is taken before
/// rounding: so the gradient of a parameter that is used in bf16 stays f32 from
/// the product that made it to the optimizer.
void truncVjp(arith::TruncFOp op, Emitter e, Value dy, Cotangents& out) {
  Type wide = op.getIn().getType();
  auto rounded = dy.getDefiningOp<arith::TruncFOp>();
  if (rounded && rounded.getIn().getType() == wide) {
    out.push_back(rounded.getIn());
    return;
  }
  out.push_back(arith::ExtFOp::create(e.builder, e.loc, wide, dy));
}

// ---- math
// -----------------------------------------------------------------------------------------------------------

void expVjp(math::ExpOp op, Emitter e, Value dy, Cotangents& out) {
  out.push_back(e.mul(dy, op.getResult()));
}

void exp2Vjp(math::Exp2Op op, Emitter e, Value dy, Cotangents& out) {
  out.push_back(e.scale(e.mul(dy, op.getResult()), std::log(2.0)));
}

void expm1Vjp(math::ExpM1Op op, Emitter e, Value dy, Cotangents& out) {
  // exp(x) and not y + 1: y + 1 has lost its bits where x is very negative.
  out.push_back(e.mul(dy, e.exp(op.getOperand())));
}

void logVjp(math::LogOp op, Emitter e, Value dy, Cotangents& out) {
  out.push_back(e.div(dy, op.getOperand()));
}

void log2Vjp(math::Log2Op op, Emitter e, Value dy, Cotangents& out) {
  out.push_back(e.scale(e.div(dy, op.getOperand()), 1.0 / std::log(2.0)));
}

void log1pVjp(math::Log1pOp op, Emitter e, Value dy, Cotangents& out) {
  out.push_back(e.div(dy, e.add(op.getOperand(), e.constant(dy.getType(), 1.0))));
}

void sqrtVjp(math::SqrtOp op, Emitter e, Value dy, Cotangents& out) {
  out.push_back(e.div(e.scale(dy, 0.5), op.getResult()));
}

void rsqrtVjp(math::RsqrtOp op, Emitter e, Value dy, Cotangents& out) {
  Value y = op.getResult();
  out.push_back(e.mul(e.scale(dy, -0.5), e.mul(y, e.mul(y, y))));
}

void tanhVjp(math::TanhOp op, Emitter e, Value dy, Cotangents& out) {
  Value y = op.getResult();
  out.push_back(e.mul(dy, e.sub(e.constant(dy.getType(), 1.0), e.mul(y, y))));
}

void sinVjp(math::SinOp op, Emitter e, Value dy, Cotangents& out) {
  out.push_back(e.mul(dy, math::CosOp::create(e.builder, e.loc, op.getOperand())));
}

void cosVjp(math::CosOp op, Emitter e, Value dy, Cotangents& out) {
  out.push_back(e.neg(e.mul(dy, math::SinOp::create(e.builder, e.loc, op.getOperand()))));
}

void absVjp(math::AbsFOp op, Emitter e, Value dy, Cotangents& out) {
  Value zero = e.zero(dy.getType());
  Value negative = e.compare(arith::CmpFPredicate::OLT, op.getOperand(), zero);
  Value positive = e.compare(arith::CmpFPredicate::OGT, op.getOperand(), zero);
  out.push_back(e.select(positive, dy, e.select(negative, e.neg(dy), zero)));
}

void fmaVjp(math::FmaOp op, Emitter e, Value dy, Cotangents& out) {
  out.append({e.mul(dy, op.getB()), e.mul(op.getA(), dy), dy});
}

void powVjp(math::PowFOp op, Emitter e, Value dy, Cotangents& out) {
  Value base = op.getLhs(), exponent = op.getRhs();
  Value one = e.constant(dy.getType(), 1.0), zero = e.zero(dy.getType());
  Value lower = math::PowFOp::create(e.builder, e.loc, base, e.sub(exponent, one));
  out.push_back(e.mul(dy, e.mul(exponent, lower)));
  if (isConstant(exponent)) {
    out.push_back(Value());
    return;
  }
  // d/db a^b = a^b log a, and 0 where a = 0.
  Value isZero = e.compare(arith::CmpFPredicate::OEQ, base, zero);
  Value log = math::LogOp::create(e.builder, e.loc, base);
  out.push_back(e.mul(dy, e.select(isZero, zero, e.mul(op.getResult(), log))));
}

void erfVjp(math::ErfOp op, Emitter e, Value dy, Cotangents& out) {
  Value x = op.getOperand();
  out.push_back(e.mul(e.scale(dy, 2.0 / std::sqrt(M_PI)), e.exp(e.neg(e.mul(x, x)))));
}

void atanVjp(math::AtanOp op, Emitter e, Value dy, Cotangents& out) {
  Value x = op.getOperand();
  out.push_back(e.div(dy, e.add(e.mul(x, x), e.constant(dy.getType(), 1.0))));
}

void sinhVjp(math::SinhOp op, Emitter e, Value dy, Cotangents& out) {
  out.push_back(e.mul(dy, math::CoshOp::create(e.builder, e.loc, op.getOperand())));
}

void coshVjp(math::CoshOp op, Emitter e, Value dy, Cotangents& out) {
  out.push_back(e.mul(dy, math::SinhOp::create(e.builder, e.loc, op.getOperand())));
}

/// Steps (floor, ceil, round, trunc): their gradient is zero wherever it
/// exists.
template <typename OpT>
void stepVjp(OpT, Emitter, Value, Cotangents& out) {
  out.push_back(Value());
}

// ---- registration
// ---------------------------------------------------------------------------------------------------

template <typename OpT, void (*rule)(OpT, Emitter, Value, Cotangents&)>
struct Model : DifferentiableOpInterface::ExternalModel<Model<OpT, rule>, OpT> {
  LogicalResult buildVjp(Operation* op, OpBuilder& builder, ValueRange cotangents,
                         Cotangents& operandCotangents) const {
    if (!cotangents[0]) {
      operandCotangents.append(op->getNumOperands(), Value());
    } else {
      rule(cast<OpT>(op), Emitter{builder, op->getLoc()}, cotangents[0], operandCotangents);
    }
    return success();
  }
};

template <typename OpT, void (*rule)(OpT, Emitter, Value, Cotangents&)>
void attach(MLIRContext* context) {
  OpT::template attachInterface<Model<OpT, rule>>(*context);
}

}  // namespace

void registerElementwiseVjpModels(DialectRegistry& registry) {
  using arith::CmpFPredicate;
  registry.addExtension(+[](MLIRContext* context, arith::ArithDialect*) {
    attach<arith::AddFOp, addVjp>(context);
    attach<arith::SubFOp, subVjp>(context);
    attach<arith::MulFOp, mulVjp>(context);
    attach<arith::DivFOp, divVjp>(context);
    attach<arith::NegFOp, negVjp>(context);
    attach<arith::SelectOp, selectVjp>(context);
    attach<arith::ExtFOp, extVjp>(context);
    attach<arith::TruncFOp, truncVjp>(context);
    constexpr CmpFPredicate gt = CmpFPredicate::OGT, lt = CmpFPredicate::OLT;
    attach<arith::MaximumFOp, extremumVjp<arith::MaximumFOp, gt, lt>>(context);
    attach<arith::MaxNumFOp, extremumVjp<arith::MaxNumFOp, gt, lt>>(context);
    attach<arith::MinimumFOp, extremumVjp<arith::MinimumFOp, lt, gt>>(context);
    attach<arith::MinNumFOp, extremumVjp<arith::MinNumFOp, lt, gt>>(context);
  });
  registry.addExtension(+[](MLIRContext* context, math::MathDialect*) {
    // Rules emit arith ops.
    context->getOrLoadDialect<arith::ArithDialect>();
    attach<math::ExpOp, expVjp>(context);
    attach<math::Exp2Op, exp2Vjp>(context);
    attach<math::ExpM1Op, expm1Vjp>(context);
    attach<math::LogOp, logVjp>(context);
    attach<math::Log2Op, log2Vjp>(context);
    attach<math::Log1pOp, log1pVjp>(context);
    attach<math::SqrtOp, sqrtVjp>(context);
    attach<math::RsqrtOp, rsqrtVjp>(context);
    attach<math::TanhOp, tanhVjp>(context);
    attach<math::SinOp, sinVjp>(context);
    attach<math::CosOp, cosVjp>(context);
    attach<math::SinhOp, sinhVjp>(context);
    attach<math::CoshOp, coshVjp>(context);
    attach<math::AtanOp, atanVjp>(context);
    attach<math::AbsFOp, absVjp>(context);
    attach<math::FmaOp, fmaVjp>(context);
    attach<math::PowFOp, powVjp>(context);
    attach<math::ErfOp, erfVjp>(context);
    attach<math::FloorOp, stepVjp<math::FloorOp>>(context);
    attach<math::CeilOp, stepVjp<math::CeilOp>>(context);
    attach<math::RoundOp, stepVjp<math::RoundOp>>(context);
    attach<math::RoundEvenOp, stepVjp<math::RoundEvenOp>>(context);
    attach<math::TruncOp, stepVjp<math::TruncOp>>(context);
  });
}

}  // namespace weir
