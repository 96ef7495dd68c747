#include "compiler/conversion/cpu/combiners.h"

#include "llvm/ADT/TypeSwitch.h"
#include "mlir/Dialect/Arith/IR/Arith.h"

namespace weir {

using namespace mlir;

Operation* findCombiner(Block& block, unsigned numInputs, unsigned i) {
  Value argument = block.getArgument(numInputs + i);
  Operation* op = block.getTerminator()->getOperand(i).getDefiningOp();
  if (!op || op->getNumOperands() != 2 || !llvm::is_contained(op->getOperands(), argument))
    return nullptr;
  if (!argument.hasOneUse()) return nullptr;
  if (!isa<arith::AddFOp, arith::MulFOp, arith::MaximumFOp, arith::MinimumFOp, arith::MaxNumFOp,
           arith::MinNumFOp, arith::AddIOp, arith::MulIOp, arith::MaxSIOp, arith::MinSIOp,
           arith::AndIOp, arith::OrIOp>(op))
    return nullptr;
  return op;
}

TypedAttr neutralElement(Operation* combiner) {
  Builder b(combiner->getContext());
  Type type = combiner->getResult(0).getType();
  double infinity = std::numeric_limits<double>::infinity();
  if (isa<arith::AddFOp>(combiner)) return b.getFloatAttr(type, 0.0);
  if (isa<arith::MulFOp>(combiner)) return b.getFloatAttr(type, 1.0);
  if (isa<arith::MaximumFOp, arith::MaxNumFOp>(combiner)) return b.getFloatAttr(type, -infinity);
  if (isa<arith::MinimumFOp, arith::MinNumFOp>(combiner)) return b.getFloatAttr(type, infinity);
  unsigned width = type.getIntOrFloatBitWidth();
  if (isa<arith::AddIOp, arith::OrIOp>(combiner)) return b.getIntegerAttr(type, 0);
  if (isa<arith::MulIOp>(combiner)) return b.getIntegerAttr(type, 1);
  if (isa<arith::MaxSIOp>(combiner)) return b.getIntegerAttr(type, APInt::getSignedMinValue(width));
  if (isa<arith::MinSIOp>(combiner)) return b.getIntegerAttr(type, APInt::getSignedMaxValue(width));
  if (isa<arith::AndIOp>(combiner)) return b.getIntegerAttr(type, APInt::getAllOnes(width));
  return TypedAttr();
}

Value combine(KernelBuilder& b, Operation* combiner, Value x, Value y) {
  OperationState state(b.getLoc(), combiner->getName(), {x, y}, {x.getType()});
  return b.create(state)->getResult(0);
}

vector::CombiningKind combiningKind(Operation* combiner) {
  return llvm::TypeSwitch<Operation*, vector::CombiningKind>(combiner)
      .Case<arith::AddFOp, arith::AddIOp>([](auto) { return vector::CombiningKind::ADD; })
      .Case<arith::MulFOp, arith::MulIOp>([](auto) { return vector::CombiningKind::MUL; })
      .Case<arith::MaximumFOp>([](auto) { return vector::CombiningKind::MAXIMUMF; })
      .Case<arith::MinimumFOp>([](auto) { return vector::CombiningKind::MINIMUMF; })
      .Case<arith::MaxNumFOp>([](auto) { return vector::CombiningKind::MAXNUMF; })
      .Case<arith::MinNumFOp>([](auto) { return vector::CombiningKind::MINNUMF; })
      .Case<arith::MaxSIOp>([](auto) { return vector::CombiningKind::MAXSI; })
      .Case<arith::MinSIOp>([](auto) { return vector::CombiningKind::MINSI; })
      .Case<arith::AndIOp>([](auto) { return vector::CombiningKind::AND; })
      .Default([](auto) { return vector::CombiningKind::OR; });
}

}  // namespace weir
