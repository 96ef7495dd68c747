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

bool leavesFunction(Value value) {
  return llvm::any_of(value.getUsers(), llvm::IsaPred<func::ReturnOp>);
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
    if (!narrowed(result.getType()) || isSummand(result) || leavesFunction(result)) return;
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
    // Not the steps of recurrences: small products of states, which are f32.
    SmallVector<AutocastOpInterface> ops(function.front().getOps<AutocastOpInterface>());
    Rounding rounding;
    for (AutocastOpInterface op : ops) {
      for (OpOperand* operand : op.autocastOperands()) operand->set(rounding.round(operand->get()));
      if (op.keepsF32Result()) continue;
      for (Value result : op.roundedResults()) rounding.roundForReaders(result);
    }
    for (Operation& op : llvm::make_early_inc_range(llvm::reverse(function.front()))) {
      if (isa<arith::ExtFOp>(op) && op.use_empty()) op.erase();
    }
    for (AutocastOpInterface op : ops) {
      if (!op.roundsItself()) continue;
      for (Value result : op.roundedResults()) roundInside(result);
    }
  }
};

}  // namespace
}  // namespace weir
