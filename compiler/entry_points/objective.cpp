#include "compiler/entry_points/objective.h"

#include "compiler/dialect/linalg_builder.h"
#include "compiler/dialect/loss_ops.h"
#include "compiler/entry_points/arguments.h"
#include "compiler/entry_points/initialize.h"
#include "mlir/IR/TypeUtilities.h"

namespace weir {
using namespace mlir;

LogicalResult bindInitialStates(func::FuncOp model) {
  OpBuilder b = OpBuilder::atBlockBegin(&model.front());
  llvm::BitVector states(model.getNumArguments());
  for (unsigned i = 0; i < model.getNumArguments(); ++i) {
    if (!model.getArgAttr(i, kStateAttr)) continue;
    BlockArgument argument = model.getArgument(i);
    LinalgBuilder l(b, model.getLoc());
    FailureOr<Value> initial =
        initialState(l, model.getLoc(), stringAttr(model.getArgAttr(i, kStateAttr)),
                     stringAttr(model.getArgAttr(i, kInitAttr), "zeros"),
                     cast<RankedTensorType>(argument.getType()));
    if (failed(initial)) return failure();
    argument.replaceAllUsesWith(*initial);
    states.set(i);
  }
  if (failed(model.eraseArguments(states))) return model.emitError() << "cannot drop its states";
  return success();
}

LogicalResult addCrossEntropyObjective(func::FuncOp model, bool carriesState) {
  if (!carriesState && failed(bindInitialStates(model))) return failure();
  Operation* terminator = model.front().getTerminator();
  Value logits;
  for (unsigned i = 0; i < model.getNumResults(); ++i) {
    if (!model.getResultAttr(i, kOutputAttr)) continue;
    if (logits)
      return model.emitError()
             << "has several outputs, so it is not clear which are the logits to train";
    logits = terminator->getOperand(i);
  }
  auto type = logits ? dyn_cast<RankedTensorType>(logits.getType()) : RankedTensorType();
  if (!type || type.getRank() != 3 || !isa<FloatType>(type.getElementType()))
    return model.emitError()
           << "needs an output of batch, time and vocabulary to train by cross-entropy";

  OpBuilder b(terminator);
  auto targetsType = RankedTensorType::get(type.getShape().drop_back(), b.getI32Type());
  unsigned position = model.getNumArguments();
  DictionaryAttr attributes =
      b.getDictionaryAttr(b.getNamedAttr(kInputAttr, b.getStringAttr("targets")));
  if (failed(model.insertArgument(position, targetsType, attributes, model.getLoc())))
    return failure();
  Type scalar = RankedTensorType::get({}, accumulatorType(type.getElementType()));
  auto loss = CrossEntropyOp::create(b, model.getLoc(), SmallVector<Type>(5, scalar), logits,
                                     model.getArgument(position));
  SmallVector<Value> results(loss.getResults());
  SmallVector<Attribute> names;
  for (StringRef name : {"loss", "loss_sum", "correct", "count", "sequences_correct"})
    names.push_back(b.getDictionaryAttr(b.getNamedAttr(kOutputAttr, b.getStringAttr(name))));
  for (unsigned i = 0; carriesState && i < model.getNumResults(); ++i) {
    if (!model.getResultAttr(i, kStateAttr)) continue;
    results.push_back(terminator->getOperand(i));
    names.push_back(model.getResultAttrDict(i));
  }
  terminator->setOperands(results);
  model.setFunctionType(
      b.getFunctionType(model.getArgumentTypes(), TypeRange(ValueRange(results))));
  model.setResAttrsAttr(b.getArrayAttr(names));
  return success();
}

}  // namespace weir
