#include "compiler/conversion/cpu/region_vectorizer.h"

#include "compiler/conversion/cpu/math_expansion.h"
#include "compiler/dialect/elementwise_ops.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/TypeUtilities.h"

namespace weir {

using namespace mlir;

namespace {

/// exp(-x) for sigmoids in f32, in [e^-87, e^80]: its reciprocal is a normal number, so an estimate
/// of that has all its digits, and the product of both is 1.
Value boundedExp(OpBuilder& b, Location loc, Value x) {
  auto clamped = [&](arith::CmpFPredicate outside, double bound) {
    Value limit = arith::ConstantOp::create(b, loc, b.getF32FloatAttr(bound));
    Value isOutside = arith::CmpFOp::create(b, loc, outside, x, limit);  // nan is not
    return arith::SelectOp::create(b, loc, isOutside, limit, x);
  };
  x = clamped(arith::CmpFPredicate::OLT, -80);
  x = clamped(arith::CmpFPredicate::OGT, 87);
  auto exponential = math::ExpOp::create(b, loc, arith::NegFOp::create(b, loc, x));
  exponential->setAttr(kBounded, b.getUnitAttr());
  return exponential;
}

/// sigmoid(-x) = exp(-x) sigmoid(x), where sigmoid(x) is computed anyhow: gates and their gradients
/// need both, and the exponential is that of sigmoid(x). In f32 only.
void shareSigmoids(Region& region) {
  SmallVector<SigmoidOp> complements;
  region.walk([&](SigmoidOp op) {
    auto negation = op.getOperand().getDefiningOp<arith::NegFOp>();
    if (!negation || !op.getType().isF32()) return;
    for (Operation* user : negation.getOperand().getUsers())
      if (isa<SigmoidOp>(user) && user->getBlock() == op->getBlock()) {
        complements.push_back(op);
        return;
      }
  });
  for (SigmoidOp op : complements) {
    OpBuilder b(op);
    Value x = op.getOperand().getDefiningOp<arith::NegFOp>().getOperand();
    Value exponential = boundedExp(b, op.getLoc(), x);
    Value sigmoid = SigmoidOp::create(b, op.getLoc(), x.getType(), x);
    op->replaceAllUsesWith(
        ValueRange{Value(arith::MulFOp::create(b, op.getLoc(), exponential, sigmoid))});
    op->erase();
  }
}

/// 1 / (1 + exp(-x)) by an estimate of the reciprocal and a Newton step: a vector division takes as
/// long as the exponential.
void expandSigmoid(SigmoidOp op) {
  OpBuilder b(op);
  Location loc = op.getLoc();
  Value one = arith::ConstantOp::create(b, loc, b.getF32FloatAttr(1));
  Value exponential = boundedExp(b, loc, op.getOperand());
  Value denominator = arith::AddFOp::create(b, loc, one, exponential);
  Value quotient = arith::DivFOp::create(b, loc, one, denominator,
                                         arith::FastMathFlags::arcp | arith::FastMathFlags::ninf);
  op->replaceAllUsesWith(ValueRange{quotient});
  op->erase();
}

/// Decomposes ops that `matches`, and those that come of them, until there are none.
LogicalResult decomposeAll(Region& region, function_ref<bool(Operation*)> matches) {
  for (bool changed = true; changed;) {
    changed = false;
    SmallVector<linalg::AggregatedOpInterface> ops;
    region.walk([&](linalg::AggregatedOpInterface op) {
      // Kernels that are one op on tensors are emitted as they are.
      bool isKernel = isa<RankedTensorType>(op->getResult(0).getType()) &&
                      !OpTrait::hasElementwiseMappableTraits(op);
      if (!isKernel && matches(op)) ops.push_back(op);
    });
    for (linalg::AggregatedOpInterface op : ops) {
      OpBuilder builder(op);
      FailureOr<SmallVector<Value>> values = op.decomposeOperation(builder);
      if (failed(values)) return op->emitOpError("cannot be expanded into scalar arithmetic");
      op->replaceAllUsesWith(*values);
      op->erase();
      changed = true;
    }
  }
  return success();
}

}  // namespace

LogicalResult expandRegionOps(Region& region) {
  // Sigmoids last, so that all of them are seen: silu and others are made of them.
  if (failed(decomposeAll(region, [](Operation* op) { return !isa<SigmoidOp>(op); })))
    return failure();
  shareSigmoids(region);
  SmallVector<SigmoidOp> sigmoids;
  region.walk([&](SigmoidOp op) {
    if (op.getType().isF32()) sigmoids.push_back(op);
  });
  for (SigmoidOp op : sigmoids) expandSigmoid(op);
  if (failed(decomposeAll(region, [](Operation*) { return true; }))) return failure();
  joinGeluGradients(region);
  return success();
}

namespace {

bool isBf16(Type type) { return getElementTypeOrSelf(type).isBF16(); }

/// bf16 is a storage type: arithmetic on it happens in f32.
bool computesInBf16(Operation* op) {
  if (isa<arith::ExtFOp, arith::TruncFOp, arith::BitcastOp, arith::SelectOp, arith::ConstantOp>(op))
    return false;
  return llvm::any_of(op->getOperandTypes(), isBf16) || llvm::any_of(op->getResultTypes(), isBf16);
}

Type vectorOf(Type scalar, int64_t lanes) { return VectorType::get({lanes}, scalar); }

Value createElementwise(KernelBuilder& b, Operation* op, ArrayRef<Value> operands, int64_t lanes) {
  bool widen = computesInBf16(op);
  auto widened = [&](Type type) -> Type { return widen && isBf16(type) ? b.getF32Type() : type; };
  SmallVector<Value> inputs(operands);
  if (widen)
    for (Value& value : inputs)
      if (isBf16(value.getType()))
        value = arith::ExtFOp::create(b, vectorOf(b.getF32Type(), lanes), value);
  Type scalar = op->getResult(0).getType();
  Value result;
  if (Value expanded = expandMath(b, op, inputs)) {
    result = expanded;
  } else {
    OperationState state(b.getLoc(), op->getName(), inputs, {vectorOf(widened(scalar), lanes)},
                         op->getAttrs());
    for (OpResult extra : llvm::drop_begin(op->getResults()))
      state.types.push_back(vectorOf(extra.getType(), lanes));
    state.propertiesAttr = op->getPropertiesAsAttribute();
    result = b.create(state)->getResult(0);
  }
  if (widen && isBf16(scalar)) result = arith::TruncFOp::create(b, vectorOf(scalar, lanes), result);
  return result;
}

}  // namespace

FailureOr<ValueList> vectorizeBlock(KernelBuilder& b, Block& block, ValueRange args, int64_t lanes,
                                    const IRMapping& captured, function_ref<Value(int64_t)> index) {
  IRMapping map;
  map.map(block.getArguments(), args);
  auto lookup = [&](Value value) -> Value {
    if (Value mapped = map.lookupOrNull(value)) return mapped;
    Value scalar = captured.lookupOrNull(value);
    if (!scalar) {
      Operation* constant = value.getDefiningOp<arith::ConstantOp>();
      if (!constant) return Value();
      scalar = b.clone(*constant)->getResult(0);
    }
    Value splat = b.splat(scalar, lanes);
    map.map(value, splat);
    return splat;
  };
  for (Operation& op : block.without_terminator()) {
    if (auto constant = dyn_cast<arith::ConstantOp>(op)) {
      auto type = cast<VectorType>(vectorOf(constant.getType(), lanes));
      map.map(constant.getResult(),
              arith::ConstantOp::create(
                  b, type, DenseElementsAttr::get(type, Attribute(constant.getValue()))));
      continue;
    }
    if (auto indexOp = dyn_cast<linalg::IndexOp>(op)) {
      map.map(indexOp.getResult(), index(indexOp.getDim()));
      continue;
    }
    if (op.getNumRegions() != 0 || op.getNumResults() == 0 ||
        !OpTrait::hasElementwiseMappableTraits(&op))
      return op.emitOpError("is not elementwise: it cannot run on vectors");
    SmallVector<Value> operands;
    for (Value operand : op.getOperands()) {
      Value value = lookup(operand);
      if (!value) return op.emitOpError("uses a value that the kernel does not have");
      operands.push_back(value);
    }
    Value first = createElementwise(b, &op, operands, lanes);
    map.map(op.getResult(0), first);
    for (unsigned i = 1; i < op.getNumResults(); ++i)
      map.map(op.getResult(i), first.getDefiningOp()->getResult(i));
  }
  ValueList results;
  for (Value value : block.getTerminator()->getOperands()) {
    Value mapped = lookup(value);
    if (!mapped)
      return block.getTerminator()->emitOpError("yields a value that the kernel does not have");
    results.push_back(mapped);
  }
  return results;
}

}  // namespace weir
