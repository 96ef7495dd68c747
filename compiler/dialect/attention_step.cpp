// The step form of weir.attention: the same op on the new queries, and on the keys and values of a
// window that ends with the new tokens. The window is a shift register.

#include "compiler/dialect/attention_ops.h"
#include "compiler/dialect/linalg_builder.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/TypeUtilities.h"

namespace weir {
using namespace mlir;

namespace {

/// How many tokens before its own a query sees. Fails with a diagnostic where there is no bound.
FailureOr<int64_t> older(AttentionOp op, int64_t context) {
  if (op.getWindow() == "full") return op.emitOpError() << "looks ahead: it has no step form";
  int64_t window = op.getWindowSize() ? static_cast<int64_t>(*op.getWindowSize()) : context;
  if (window < 1)
    return op.emitOpError()
           << "looks back on all tokens: its step form needs the bound that a context is";
  if (op.getBias()) {
    int64_t length = (shapeOf(op.getBias())[0] + 1) / 2;
    if (length < window)
      return op.emitOpError() << "has a bias for " << length << " positions, fewer than the "
                              << window << " of the context of its step form";
  }
  return window - 1;
}

}  // namespace

LogicalResult AttentionOp::stateSpecs(const StreamContext& context,
                                      SmallVectorImpl<StreamStateSpec>& specs) {
  FailureOr<int64_t> size = older(*this, context.context);
  if (failed(size)) return failure();
  if (*size == 0) return success();
  for (auto [name, value] : {std::pair<StringRef, Value>{"keys", getK()}, {"values", getV()}}) {
    auto type = cast<RankedTensorType>(value.getType());
    specs.push_back({name.str(), type.clone({context.batch, *size, type.getDimSize(2)}), "zeros"});
  }
  return success();
}

FailureOr<SmallVector<Value>> AttentionOp::buildStep(OpBuilder& b, const StreamArguments& arguments,
                                                     SmallVectorImpl<Value>& newStates) {
  FailureOr<int64_t> size = older(*this, arguments.context);
  if (failed(size)) return failure();
  LinalgBuilder l(b, getLoc());
  int64_t time = shapeOf(getQ())[1];
  Value keys = getK(), values = getV();
  if (*size > 0) {
    keys = l.concat(1, {arguments.states[0], keys});
    values = l.concat(1, {arguments.states[1], values});
    newStates.push_back(l.sliceDim(keys, 1, time, *size));
    newStates.push_back(l.sliceDim(values, 1, time, *size));
  }
  auto step = cast<AttentionOp>(b.clone(*getOperation()));
  step.getKMutable().assign(keys);
  step.getVMutable().assign(values);
  if (arguments.segments) step.getSegmentsMutable().assign(arguments.segments);
  step.getPositionMutable().assign(arguments.position ? arguments.position : arguments.start);
  step.setWindow("local");
  step.setWindowSize(*size + 1);
  // Activations are divided by the length of the whole, which a step doesn't see.
  if (getKernel() != "softmax" && !getLength()) {
    if (arguments.context < 1)
      return emitOpError() << "divides by the length: its step form needs a context";
    step.setLength(arguments.context);
  }
  return SmallVector<Value>{step.getResult()};
}

}  // namespace weir
