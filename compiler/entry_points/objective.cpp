#include "compiler/entry_points/objective.h"

#include "compiler/dialect/linalg_builder.h"
#include "compiler/dialect/loss_ops.h"
#include "compiler/dialect/sizes.h"
#include "compiler/entry_points/arguments.h"
#include "mlir/IR/TypeUtilities.h"

namespace weir {
using namespace mlir;

LogicalResult bindInitialStates(func::FuncOp model) {
  OpBuilder b = OpBuilder::atBlockBegin(&model.front());
  llvm::BitVector states(model.getNumArguments());
  for (unsigned i = 0; i < model.getNumArguments(); ++i) {
    if (!model.getArgAttr(i, kStateAttr)) continue;
    std::string error;
    StringRef text = stringAttr(model.getArgAttr(i, kInitAttr), "zeros");
    FailureOr<Initializer> init = Initializer::parse(text, error);
    if (failed(init))
      return model.emitError() << "state " << model.getArgAttr(i, kStateAttr) << ": " << error;
    double value = init->kind == "ones" ? 1 : init->kind == "constant" ? *init->value : 0;
    if (init->kind != "zeros" && init->kind != "ones" && init->kind != "constant")
      return model.emitError() << "state " << model.getArgAttr(i, kStateAttr) << " cannot start as "
                               << text << "; a state starts as zeros, ones or constant(x)";
    BlockArgument argument = model.getArgument(i);
    LinalgBuilder l(b, model.getLoc());
    argument.replaceAllUsesWith(l.filledLike(value, argument));
    states.set(i);
  }
  if (failed(model.eraseArguments(states))) return model.emitError() << "cannot drop its states";
  return success();
}

LogicalResult addCrossEntropyObjective(func::FuncOp model) {
  if (failed(bindInitialStates(model))) return failure();
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
  terminator->setOperands(loss.getResults());
  model.setFunctionType(b.getFunctionType(model.getArgumentTypes(), SmallVector<Type>(5, scalar)));
  SmallVector<Attribute> names;
  for (StringRef name : {"loss", "loss_sum", "correct", "count", "sequences_correct"})
    names.push_back(b.getDictionaryAttr(b.getNamedAttr(kOutputAttr, b.getStringAttr(name))));
  model.setResAttrsAttr(b.getArrayAttr(names));
  return success();
}

}  // namespace weir
