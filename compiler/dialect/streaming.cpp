#include "compiler/dialect/streaming.h"

#include "compiler/dialect/feature_ops.h"
#include "llvm/ADT/SetVector.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/TypeUtilities.h"

namespace weir {
using namespace mlir;

FailureOr<bool> isCarriedByLayer(Operation* op, ValueRange initial) {
  llvm::SetVector<Value> reached(initial.begin(), initial.end());
  bool fromState = false, fromTokens = false;
  for (size_t next = 0; next < reached.size(); ++next) {
    Value value = reached[next];
    if (Operation* definition = value.getDefiningOp()) {
      // These take nothing but the shape of the tensor that they are like.
      if (isa<ConstantOp>(definition)) continue;
      if (auto broadcast = dyn_cast<BroadcastOp>(definition))
        reached.insert(broadcast->getOperand(0));
      else
        reached.insert_range(definition->getOperands());
      continue;
    }
    auto argument = cast<BlockArgument>(value);
    auto function = dyn_cast<func::FuncOp>(argument.getOwner()->getParentOp());
    if (!function) continue;
    fromState |= function.getArgAttr(argument.getArgNumber(), "weir.state") != nullptr;
    fromTokens |= function.getArgAttr(argument.getArgNumber(), "weir.input") != nullptr;
  }
  if (fromTokens && !fromState)
    return op->emitOpError() << "starts from what the first tokens are: it has no step form";
  return fromState;
}

/// condition ? x : y over the shape of x, where the first inputs, mapped by `maps`, are what
/// `condition` reads.
static Value choose(LinalgBuilder& l, SmallVector<Value> inputs, SmallVector<AffineMap> maps,
                    llvm::function_ref<Value(ElementwiseBuilder, ValueRange)> condition, Value x,
                    Value y) {
  unsigned rank = shapeOf(x).size(), read = inputs.size();
  Type element = getElementTypeOrSelf(x.getType());
  for (Value value : {x, y}) {
    if (!value) continue;
    inputs.push_back(value);
    maps.push_back(l.identity(rank));
  }
  return l.elementwise(shapeOf(x), element, inputs, maps, [&](ElementwiseBuilder e, ValueRange v) {
    Value other;
    if (y)
      other = e.cast(v[read + 1], element);
    else
      other = isa<FloatType>(element) ? e.constant(0, element) : e.integer(0, element);
    return e.select(condition(e, v), v[read], other);
  });
}

Value keepWithinSegment(LinalgBuilder& l, const StreamArguments& arguments, Value state) {
  if (!arguments.segments) return state;
  unsigned rank = shapeOf(state).size();
  OpBuilder& b = l.builder();
  AffineMap first =
      AffineMap::get(rank, 0, {b.getAffineDimExpr(0), b.getAffineConstantExpr(0)}, b.getContext());
  return choose(
      l, {arguments.segments, arguments.previous}, {first, l.map(rank, {0})},
      [](ElementwiseBuilder e, ValueRange v) { return e.equal(v[0], v[1]); }, state, Value());
}

Value startFrom(LinalgBuilder& l, const StreamArguments& arguments, Value initial, Value state) {
  unsigned rank = shapeOf(state).size();
  return choose(
      l, {arguments.start}, {l.map(rank, {})},
      [](ElementwiseBuilder e, ValueRange v) {
        return e.equal(v[0], e.integer(0, v[0].getType()));
      },
      initial, state);
}

}  // namespace weir
