// The gradient of weir.attention: one weir.attention_vjp, and what it means.

#include "compiler/dialect/attention_ops.h"
#include "compiler/dialect/linalg_builder.h"
#include "compiler/dialect/op_support.h"
#include "compiler/dialect/region_ops.h"
#include "compiler/dialect/region_vjp.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/IR/TypeUtilities.h"

namespace weir {
using namespace mlir;

namespace {

/// With fewer queries, reading the keys takes the time, and there is nothing to keep out of memory.
constexpr int64_t kFewestQueries = 8;

bool suitsKernel(Operation* op, Value q, Value k, Value v) {
  if (!hasStaticShapes(op)) return false;
  Type element = getElementTypeOrSelf(q.getType());
  if (!element.isBF16() && !element.isF32() && !element.isF64()) return false;
  return getElementTypeOrSelf(k.getType()) == element &&
         getElementTypeOrSelf(v.getType()) == element && shapeOf(q)[1] >= kFewestQueries;
}

/// The op without gate, and with log_sum for a softmax, in the place of `op` (which is left without
/// uses, for its caller may still hold it): what backward reads is in memory.
AttentionOp withSavedValues(AttentionOp op) {
  bool softmax = op.getKernel() == "softmax";
  if (!op.getGate() && op.getLogSums() == softmax) return op;
  OpBuilder b(op);
  auto resultType = cast<RankedTensorType>(op.getResult().getType());
  SmallVector<Type> types{resultType};
  if (softmax)
    types.push_back(RankedTensorType::get(
        {resultType.getDimSize(0), static_cast<int64_t>(op.getNumHeads().value_or(1)),
         resultType.getDimSize(1)},
        accumulatorType(resultType.getElementType())));
  auto saved = AttentionOp::create(b, op.getLoc(), types, op.getQ(), op.getK(), op.getV(),
                                   op.getSizeOperands(), op.getBias(), Value(), op.getSegments(),
                                   op.getPosition(), op.getSizesAttr(), op.getNumHeadsAttr(),
                                   op.getKernelAttr(), op.getWindowAttr(), op.getWindowSizeAttr(),
                                   op.getLengthAttr(), softmax ? b.getUnitAttr() : UnitAttr());
  saved->setDiscardableAttrs(op->getDiscardableAttrDictionary());
  Value result = saved.getResult();
  if (op.getGate()) {
    LinalgBuilder l(b, op.getLoc());
    Type wide = accumulatorType(resultType.getElementType());
    result = l.elementwise(
        resultType.getShape(), resultType.getElementType(), {result, op.getGate()},
        {l.identity(3), l.identity(3)}, [&](ElementwiseBuilder e, ValueRange v) {
          return e.cast(e.mul(e.cast(v[0], wide), e.cast(v[1], wide)), resultType.getElementType());
        });
  }
  op.getResult().replaceAllUsesWith(result);
  if (op.getLogSum()) op.getLogSum().replaceAllUsesWith(saved.getLogSum());
  return saved;
}

/// Decomposes the ops of a block until each has a gradient rule of its own; weir.attention, too.
LogicalResult decomposeBlock(Block& block) {
  for (bool changed = true; changed;) {
    changed = false;
    for (Operation& op : llvm::make_early_inc_range(block)) {
      auto aggregate = dyn_cast<linalg::AggregatedOpInterface>(&op);
      bool hasRule = isa<DifferentiableOpInterface>(&op) && !isa<AttentionOp>(&op);
      if (!aggregate || hasRule) continue;
      IRRewriter rewriter(op.getContext());
      rewriter.setInsertionPoint(&op);
      FailureOr<SmallVector<Value>> values = aggregate.decomposeOperation(rewriter);
      if (failed(values)) return op.emitOpError() << "cannot be decomposed";
      rewriter.replaceOp(&op, *values);
      changed = true;
    }
  }
  return success();
}

}  // namespace

bool AttentionOp::hasKernel() { return isBound() && suitsKernel(*this, getQ(), getK(), getV()); }
bool AttentionVjpOp::hasKernel() { return suitsKernel(*this, getQ(), getK(), getV()); }

LogicalResult AttentionOp::buildVjp(OpBuilder& b, ValueRange cotangents,
                                    SmallVectorImpl<Value>& operandCotangents) {
  if (failed(requireDecomposable(*this, isBound()))) return failure();
  operandCotangents.append(getOperation()->getNumOperands(), Value());
  if (cotangents.size() > 1 && cotangents[1])
    return emitOpError() << "has no gradient by the logarithms of its sums";
  Value cotangent = cotangents[0];
  if (!cotangent) return success();
  AttentionOp saved = withSavedValues(*this);
  LinalgBuilder l(b, getLoc());
  bool softmax = getKernel() == "softmax";
  if (getGate()) {
    auto type = cast<RankedTensorType>(cotangent.getType());
    Type wide = accumulatorType(type.getElementType()),
         gate = getElementTypeOrSelf(getGate().getType());
    auto times = [&](Value other, Type element) {
      return l.elementwise(type.getShape(), element, {cotangent, other},
                           {l.identity(3), l.identity(3)}, [&](ElementwiseBuilder e, ValueRange v) {
                             return e.cast(e.mul(e.cast(v[0], wide), e.cast(v[1], wide)), element);
                           });
    };
    operandCotangents[getGateMutable()[0].getOperandNumber()] = times(saved.getResult(), gate);
    cotangent = times(getGate(), type.getElementType());
  }
  auto vjp = AttentionVjpOp::create(
      b, getLoc(), getQ().getType(), getK().getType(), getV().getType(),
      getBias() ? getBias().getType() : Type(), getQ(), getK(), getV(), getBias(), getSegments(),
      getPosition(), softmax ? saved.getResult() : Value(), softmax ? saved.getLogSum() : Value(),
      cotangent, b.getI64IntegerAttr(getNumHeads().value_or(1)), getKernelAttr(), getWindowAttr(),
      getWindowSizeAttr(), getLengthAttr());
  operandCotangents[0] = vjp.getDq();
  operandCotangents[1] = vjp.getDk();
  operandCotangents[2] = vjp.getDv();
  if (getBias()) operandCotangents[getBiasMutable()[0].getOperandNumber()] = vjp.getDbias();
  return success();
}

LogicalResult AttentionVjpOp::verify() {
  bool softmax = getKernel() == "softmax";
  if (static_cast<bool>(getOut()) != softmax || static_cast<bool>(getLogSum()) != softmax)
    return emitOpError() << "reads the result and the logarithms of the sums of a softmax, and of "
                            "nothing else";
  if (!softmax && !ElementwiseBuilder::isActivation(getKernel()))
    return emitOpError() << "has unknown kernel \"" << getKernel() << "\"";
  for (auto [input, result] : {std::pair<Value, Value>(getQ(), getDq()),
                               {getK(), getDk()},
                               {getV(), getDv()},
                               {getBias(), getDbias()}})
    if (static_cast<bool>(input) != static_cast<bool>(result) ||
        (input && input.getType() != result.getType()))
      return emitOpError() << "gives a cotangent of the type of each operand";
  return success();
}

FailureOr<SmallVector<Value>> AttentionVjpOp::decomposeOperation(OpBuilder& b) {
  if (failed(requireDecomposable(*this))) return failure();
  SmallVector<Value> inputs{getQ(), getK(), getV()};
  if (getBias()) inputs.push_back(getBias());
  Region scratch;
  Block* block;
  Type wide = accumulatorType(getElementTypeOrSelf(getQ().getType()));
  auto resultType = RankedTensorType::get(shapeOf(getCotangent()), wide);
  {
    OpBuilder::InsertionGuard guard(b);
    SmallVector<Type> types = llvm::map_to_vector(inputs, [](Value v) { return v.getType(); });
    block = b.createBlock(&scratch, {}, types, SmallVector<Location>(types.size(), getLoc()));
    auto attention = AttentionOp::create(
        b, getLoc(), resultType, Type(), block->getArgument(0), block->getArgument(1),
        block->getArgument(2), ValueRange(), getBias() ? Value(block->getArgument(3)) : Value(),
        Value(), getSegments(), getPosition(), AffineMapAttr::get(AffineMap::get(getContext())),
        getNumHeadsAttr(), getKernelAttr(), getWindowAttr(), getWindowSizeAttr(), getLengthAttr(),
        UnitAttr());
    YieldOp::create(b, getLoc(), attention.getResult());
    if (failed(decomposeBlock(*block))) return failure();
  }
  LinalgBuilder l(b, getLoc());
  Value cotangent = getCotangent();
  if (cotangent.getType() != resultType)
    cotangent =
        l.elementwise(resultType.getShape(), wide, cotangent, l.identity(3),
                      [&](ElementwiseBuilder e, ValueRange v) { return e.cast(v[0], wide); });
  RegionVjp vjp(b, *block, inputs);
  SmallVector<Value> results;
  if (failed(vjp.pullBack(cotangent, SmallVector<bool>(inputs.size(), true), results)))
    return failure();
  for (auto [result, input] : llvm::zip_equal(results, inputs))
    if (!result) result = l.filledLike(0, input);
  return results;
}

}  // namespace weir
