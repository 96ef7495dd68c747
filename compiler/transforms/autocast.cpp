// Mixed precision by rounding where ops ask for it; no op is named here.
//
// A value is rounded once for all products that read it. Their cotangents are bf16, too: a
// gradient between kernels is an activation like any other.

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Builders.h"

#include "compiler/dialect/sequence_interfaces.h"
#include "compiler/transforms/autocast_pass.h"

namespace weir {

#define GEN_PASS_DEF_AUTOCAST
#include "compiler/transforms/autocast_pass.h.inc"

using namespace mlir;

namespace {

/// The bf16 type of the shape of an f32 tensor; null for any other type.
RankedTensorType narrowed(Type type) {
  auto tensor = dyn_cast<RankedTensorType>(type);
  if (!tensor || !tensor.getElementType().isF32()) return {};
  return tensor.clone(BFloat16Type::get(type.getContext()));
}

/// A sum with something else is computed where the product is: rounding in between would save no
/// memory. It is how a block joins the residual stream.
bool isSummand(Value value) { return llvm::any_of(value.getUsers(), llvm::IsaPred<arith::AddFOp>); }

/// What the function gives away, or a step of a recurrence: states among them.
bool isYielded(Value value) {
  return llvm::any_of(value.getUsers(),
                      [](Operation* user) { return user->hasTrait<OpTrait::IsTerminator>(); });
}

/// Whether what `op` names can be rounded in the region that it is in.
bool mayRound(AutocastOpInterface op) {
  return llvm::all_of(op.autocastOperands(), [&](OpOperand* operand) {
    auto argument = dyn_cast<BlockArgument>(operand->get());
    auto around = dyn_cast<AutocastOpInterface>(op->getParentOp());
    return !argument || !around || !narrowed(argument.getType()) ||
           argument.getOwner()->getParentOp() != around || around.mayRoundInside(argument);
  });
}

/// Regions take what the op's operands have become.
void updateRegionArguments(Operation* op) {
  auto regions = dyn_cast<RegionArgumentsOpInterface>(op);
  if (!regions) return;
  for (Region& region : op->getRegions()) {
    SmallVector<Type> types =
        regions.regionArgumentTypes(region.getRegionNumber(), op->getOperandTypes());
    for (auto [argument, type] : llvm::zip_equal(region.getArguments(), types))
      argument.setType(type);
  }
}

class Rounding {
 public:
  /// `value` in bf16; a value of another type than f32 stays.
  Value round(Value value) {
    RankedTensorType type = narrowed(value.getType());
    if (!type) return value;
    auto extended = value.getDefiningOp<arith::ExtFOp>();
    if (extended && extended.getIn().getType() == type) return extended.getIn();
    Value& rounded = known[value];
    if (!rounded) {
      OpBuilder b(value.getContext());
      b.setInsertionPointAfterValue(value);
      rounded = arith::TruncFOp::create(b, value.getLoc(), type, value);
    }
    return rounded;
  }

  /// Everything that reads `result` reads it rounded, though still as f32.
  void roundForReaders(Value result) {
    if (!narrowed(result.getType()) || isSummand(result) || isYielded(result)) return;
    Value rounded = round(result);
    OpBuilder b(result.getContext());
    b.setInsertionPointAfterValue(rounded);
    auto extended = arith::ExtFOp::create(b, result.getLoc(), result.getType(), rounded,
                                          arith::FastMathFlagsAttr());
    result.replaceAllUsesExcept(extended, rounded.getDefiningOp());
  }

 private:
  DenseMap<Value, Value> known;
};

/// An op whose result is read rounded only gives it so.
void roundInside(Value result) {
  auto rounded = result.hasOneUse() ? dyn_cast<arith::TruncFOp>(*result.user_begin()) : nullptr;
  if (!rounded || !narrowed(result.getType())) return;
  result.setType(rounded.getType());
  rounded.getResult().replaceAllUsesWith(result);
  rounded.erase();
}

struct Autocast : impl::AutocastBase<Autocast> {
  using AutocastBase::AutocastBase;

  void runOnOperation() override {
    func::FuncOp function = getOperation();
    if (function.isExternal()) return;
    // Those in steps of recurrences, too, after the recurrence.
    SmallVector<AutocastOpInterface> ops;
    function.walk<WalkOrder::PreOrder>([&](AutocastOpInterface op) { ops.push_back(op); });
    Rounding rounding;
    for (AutocastOpInterface op : ops) {
      if (!mayRound(op)) continue;
      for (OpOperand* operand : op.autocastOperands()) operand->set(rounding.round(operand->get()));
      updateRegionArguments(op);
      if (op.keepsF32Result()) continue;
      for (Value result : op.roundedResults()) rounding.roundForReaders(result);
    }
    function.walk([](arith::ExtFOp op) {
      if (op.use_empty()) op.erase();
    });
    for (AutocastOpInterface op : ops) {
      if (!op.roundsItself()) continue;
      for (Value result : op.roundedResults()) roundInside(result);
    }
  }
};

}  // namespace
}  // namespace weir
