// The step form of weir.attention. Keys and values of the window's tokens are in rings. One token
// joins them and looks at them where they lie. For several the op itself does the work, on the
// tokens before them in order and on the new ones.

#include <cmath>

#include "compiler/dialect/attention_ops.h"
#include "compiler/dialect/linalg_builder.h"
#include "compiler/dialect/ring_ops.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/TypeUtilities.h"

namespace weir {
using namespace mlir;

namespace {

/// How many tokens a query sees, its own included. Fails with a diagnostic where there is no bound.
FailureOr<int64_t> windowOf(AttentionOp op, int64_t context) {
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
  return window;
}

/// The op for one token that the rings `keys` and `values` hold already.
Value ofOneToken(LinalgBuilder& l, AttentionOp op, const StreamArguments& arguments, Value keys,
                 Value values) {
  RingQuery q;
  q.query = op.getQ();
  q.keys = keys;
  q.values = values;
  q.heads = op.getNumHeads().value_or(1);
  q.place = placeInRing(l, keys, arguments.start);
  q.farthest = arguments.start;
  if (arguments.segments) q.farthestOfRow = arguments.position;
  q.bias = op.getBias();
  q.kernel = op.getKernel();
  double head = static_cast<double>(shapeOf(op.getQ())[2]) / static_cast<double>(q.heads);
  q.scale = q.kernel == "softmax"
                ? 1 / std::sqrt(head)
                : 1 / static_cast<double>(op.getLength().value_or(arguments.context));
  Value out = attendToRing(l, q);
  if (!op.getGate()) return out;
  return l.elementwise({out, op.getGate()},
                       [](ElementwiseBuilder e, ValueRange v) { return e.mul(v[0], v[1]); });
}

}  // namespace

LogicalResult AttentionOp::stateSpecs(const StreamContext& context,
                                      SmallVectorImpl<StreamStateSpec>& specs) {
  FailureOr<int64_t> window = windowOf(*this, context.context);
  if (failed(window)) return failure();
  if (*window == 1) return success();
  specs.push_back({"keys", ringType(context, getK(), *window), "zeros"});
  specs.push_back({"values", ringType(context, getV(), *window), "zeros"});
  return success();
}

FailureOr<SmallVector<Value>> AttentionOp::buildStep(OpBuilder& b, const StreamArguments& arguments,
                                                     SmallVectorImpl<Value>& newStates) {
  FailureOr<int64_t> window = windowOf(*this, arguments.context);
  if (failed(window)) return failure();
  // Activations are divided by the length of the whole, which a step doesn't see.
  if (getKernel() != "softmax" && !getLength() && arguments.context < 1)
    return emitOpError() << "divides by the length: its step form needs a context";
  LinalgBuilder l(b, getLoc());
  Value keys = getK(), values = getV(), start = arguments.start;
  if (*window > 1) {
    for (auto [ring, tokens] : llvm::zip(arguments.states, ValueRange{keys, values}))
      newStates.push_back(writeRing(l, ring, inTypeOf(l, ring, tokens), start));
    if (shapeOf(getQ())[1] == 1)
      return SmallVector<Value>{ofOneToken(l, *this, arguments, newStates[0], newStates[1])};
    keys = withTokensBefore(l, arguments.states[0], keys, start, *window - 1);
    values = withTokensBefore(l, arguments.states[1], values, start, *window - 1);
  }
  auto step = cast<AttentionOp>(b.clone(*getOperation()));
  step.getKMutable().assign(keys);
  step.getVMutable().assign(values);
  if (arguments.segments) step.getSegmentsMutable().assign(arguments.segments);
  step.getPositionMutable().assign(arguments.position ? arguments.position : start);
  step.setWindow("local");
  step.setWindowSize(*window);
  if (getKernel() != "softmax" && !getLength()) step.setLength(arguments.context);
  return SmallVector<Value>{step.getResult()};
}

}  // namespace weir
