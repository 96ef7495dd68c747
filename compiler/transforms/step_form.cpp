// The ops along time say what they carry and how they go on (StreamableOpInterface); all that is
// done here is to name the states, to keep the stream's own, and to put things in place.

#include "compiler/transforms/step_form.h"

#include "compiler/dialect/dialect.h"
#include "compiler/dialect/linalg_builder.h"
#include "compiler/dialect/model_ops.h"
#include "compiler/dialect/scan_ops.h"
#include "compiler/dialect/streaming.h"
#include "compiler/transforms/step_form_pass.h"
#include "llvm/ADT/StringSet.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Verifier.h"

namespace weir {

#define GEN_PASS_DEF_STEPFORM
#include "compiler/transforms/step_form_pass.h.inc"

using namespace mlir;

namespace {

/// An op along time, and what it carries.
struct StreamedOp {
  StreamableOpInterface op;
  SmallVector<StreamStateSpec> specs;
};

class StepFormBuilder {
 public:
  StepFormBuilder(func::FuncOp function, const StepFormSettings& settings)
      : function(function),
        settings(settings),
        builder(OpBuilder::atBlockBegin(&function.front())),
        builders(builder, function.getLoc()) {}

  LogicalResult run();

 private:
  LogicalResult findContext();
  LogicalResult findOps();
  LogicalResult readContext();
  LogicalResult rewrite(StreamedOp& streamed);
  void finishContext();
  BlockArgument addState(StringRef name, RankedTensorType type, StringRef init);
  void setNext(StringRef name, Value value);
  std::string pathOf(Operation* op);

  func::FuncOp function;
  StepFormSettings settings;
  OpBuilder builder;
  LinalgBuilder builders;
  int64_t batch = 0, time = 0;
  /// `segments` is null where a row is one document.
  Value start, segments;
  /// Before the call, and at its first token (StreamArguments).
  Value lastPosition, lastSegment, position, previous;
  SmallVector<StreamedOp> streamedOps;
  llvm::StringSet<> paths;
};

LogicalResult StepFormBuilder::findContext() {
  for (BlockArgument argument : function.getArguments()) {
    unsigned index = argument.getArgNumber();
    if (function.getArgAttr(index, "weir.start")) start = argument;
    if (function.getArgAttr(index, "weir.segments")) segments = argument;
    if (auto state = function.getArgAttrOfType<StringAttr>(index, "weir.state"))
      paths.insert(state.getValue());
    auto type = dyn_cast<RankedTensorType>(argument.getType());
    if (time == 0 && type && type.getRank() > 1 && function.getArgAttr(index, "weir.input")) {
      batch = type.getDimSize(0);
      time = type.getDimSize(1);
    }
  }
  if (!start)
    return function.emitError()
           << "has no 'weir.start' to go on from: a step form is expanded with `start`";
  if (time == 0) return function.emitError() << "has no input of batch and time to step through";
  if (ShapedType::isDynamic(batch) || ShapedType::isDynamic(time))
    return function.emitError() << "must be specialized before it gets a step form";
  return success();
}

LogicalResult StepFormBuilder::findOps() {
  StreamContext context{batch, settings.context, segments != nullptr, settings.roundsProducts};
  int64_t limit = std::numeric_limits<int64_t>::max();
  WalkResult result = function.walk([&](TimeMixingOpInterface op) {
    if (!op.isCausal()) {
      op->emitError() << "'" << op->getName() << "' op looks ahead: it has no step form";
      return WalkResult::interrupt();
    }
    auto streamable = dyn_cast<StreamableOpInterface>(op.getOperation());
    if (!streamable || op->getParentOp() != function) {
      op->emitError() << "'" << op->getName() << "' op "
                      << (streamable ? "is inside of another op" : "can't be cut along time")
                      << ": it has no step form";
      return WalkResult::interrupt();
    }
    StreamedOp& streamed = streamedOps.emplace_back(StreamedOp{streamable, {}});
    if (failed(streamable.stateSpecs(context, streamed.specs))) return WalkResult::interrupt();
    if (std::optional<int64_t> known = streamable.positionLimit()) limit = std::min(limit, *known);
    return WalkResult::advance();
  });
  if (limit != std::numeric_limits<int64_t>::max())
    function->setAttr(kPositionLimitAttr, builder.getI64IntegerAttr(limit));
  return failure(result.wasInterrupted());
}

BlockArgument StepFormBuilder::addState(StringRef name, RankedTensorType type, StringRef init) {
  unsigned index = function.getNumArguments();
  DictionaryAttr attributes =
      builder.getDictionaryAttr({builder.getNamedAttr("weir.state", builder.getStringAttr(name)),
                                 builder.getNamedAttr("weir.init", builder.getStringAttr(init))});
  (void)function.insertArgument(index, type, attributes, function.getLoc());
  return function.getArgument(index);
}

void StepFormBuilder::setNext(StringRef name, Value value) {
  Operation* terminator = function.front().getTerminator();
  DictionaryAttr attributes =
      builder.getDictionaryAttr(builder.getNamedAttr("weir.state", builder.getStringAttr(name)));
  (void)function.insertResult(function.getNumResults(), value.getType(), attributes);
  terminator->insertOperands(terminator->getNumOperands(), value);
}

/// Where the call begins: states of the stream become what StreamArguments speaks of.
LogicalResult StepFormBuilder::readContext() {
  for (StringRef name : {kStreamStart, kStreamPosition, kStreamSegment})
    if (!paths.insert(name).second)
      return function.emitError() << "has a state '" << name << "', which is the stream's own";
  unsigned index = cast<BlockArgument>(start).getArgNumber();
  function.removeArgAttr(index, builder.getStringAttr("weir.start"));
  function.setArgAttr(index, "weir.state", builder.getStringAttr(kStreamStart));
  function.setArgAttr(index, "weir.init", builder.getStringAttr("zeros"));
  if (!segments) return success();

  LinalgBuilder& l = builders;
  Type i32 = builder.getI32Type(), i64 = builder.getI64Type();
  lastPosition = addState(kStreamPosition, RankedTensorType::get({batch}, i64), "zeros");
  lastSegment = addState(kStreamSegment, RankedTensorType::get({batch}, i32), "zeros");
  AffineMap row = l.map(1, {0}), scalar = l.map(1, {});
  AffineMap first = AffineMap::get(
      1, 0, {builder.getAffineDimExpr(0), builder.getAffineConstantExpr(0)}, builder.getContext());
  previous = l.elementwise({batch}, i32, {segments, lastSegment, start}, {first, row, scalar},
                           [&](ElementwiseBuilder e, ValueRange v) {
                             return e.select(e.equal(v[2], e.integer(0, i64)), v[0], v[1]);
                           });
  position = l.elementwise({batch}, i64, {segments, previous, lastPosition}, {first, row, row},
                           [&](ElementwiseBuilder e, ValueRange v) {
                             return e.select(e.equal(v[0], v[1]), v[2], e.integer(0, i64));
                           });
  return success();
}

/// Where it ends: the states of the stream for the next call.
void StepFormBuilder::finishContext() {
  builder.setInsertionPoint(function.front().getTerminator());
  LinalgBuilder& l = builders;
  Type f64 = builder.getF64Type(), i64 = builder.getI64Type();
  setNext(kStreamStart, l.elementwise({start}, [&](ElementwiseBuilder e, ValueRange v) {
    return e.addIntegers(v[0], e.integer(time, i64));
  }));
  if (!segments) return;
  Value next;
  if (time == 1) {
    next = l.elementwise({position}, [&](ElementwiseBuilder e, ValueRange v) {
      return e.addIntegers(v[0], e.integer(1, i64));
    });
  } else {
    // Counting is a scan that the segments reset; it is in f64, where it is exact.
    Value ones = l.filled(1, {batch, time}, f64);
    Value before =
        l.elementwise({batch}, f64, position, l.identity(1),
                      [&](ElementwiseBuilder e, ValueRange v) { return e.toFloat(v[0], f64); });
    auto count = ScanOp::create(builder, function.getLoc(),
                                TypeRange{ones.getType(), RankedTensorType::get({batch}, f64)},
                                ValueRange{ones, ones}, before, segments, ArrayAttr(), ArrayAttr(),
                                UnitAttr(), IntegerAttr());
    next =
        l.elementwise({batch}, i64, count.getFinal(), l.identity(1),
                      [&](ElementwiseBuilder e, ValueRange v) { return e.toInteger(v[0], i64); });
  }
  setNext(kStreamPosition, next);
  setNext(kStreamSegment, l.reshape(l.sliceDim(segments, 1, time - 1, 1), {batch}));
}

/// "layer.0.attention", or with a number after it where the scope has several.
std::string StepFormBuilder::pathOf(Operation* op) {
  auto scope = op->getAttrOfType<StringAttr>(kScopeAttr);
  std::string path = op->getName().stripDialect().str();
  if (scope && !scope.empty()) path = scope.getValue().str() + "." + path;
  for (int number = 0;; ++number) {
    std::string numbered = number == 0 ? path : path + "." + std::to_string(number);
    if (paths.insert(numbered).second) return numbered;
  }
}

LogicalResult StepFormBuilder::rewrite(StreamedOp& streamed) {
  Operation* op = streamed.op;
  std::string path = streamed.specs.empty() ? "" : pathOf(op) + ".";
  SmallVector<Value> states, newStates;
  for (const StreamStateSpec& spec : streamed.specs) {
    if (!paths.insert(path + spec.name).second)
      return op->emitOpError() << "carries a state '" << path + spec.name
                               << "', a name that is taken already";
    states.push_back(addState(path + spec.name, spec.type, spec.init));
  }
  StreamArguments arguments{states, start, position, segments, previous, settings.context};
  builder.setInsertionPoint(op);
  FailureOr<SmallVector<Value>> results = streamed.op.buildStep(builder, arguments, newStates);
  if (failed(results)) return failure();
  assert(newStates.size() == states.size() && results->size() == op->getNumResults());
  for (auto [spec, value] : llvm::zip(streamed.specs, newStates)) setNext(path + spec.name, value);
  op->replaceAllUsesWith(*results);
  op->erase();
  return success();
}

LogicalResult StepFormBuilder::run() {
  // What comes from a state is asked before there are more of them.
  if (failed(findContext()) || failed(findOps()) || failed(readContext())) return failure();
  for (StreamedOp& streamed : streamedOps)
    if (failed(rewrite(streamed))) return failure();
  finishContext();
  // Equal layers must be equal again, for their kernels to be merged.
  function.walk([](Operation* op) { op->removeDiscardableAttr(kScopeAttr); });
  return verify(function);
}

struct StepForm : impl::StepFormBase<StepForm> {
  using StepFormBase::StepFormBase;

  void runOnOperation() override {
    if (getOperation().isExternal()) return;
    if (failed(deriveStepForm(getOperation(), {context, roundsProducts}))) signalPassFailure();
  }
};

}  // namespace

LogicalResult deriveStepForm(func::FuncOp function, const StepFormSettings& settings) {
  if (settings.context < 0)
    return function.emitError() << "can't look back on " << settings.context << " tokens";
  MLIRContext* context = function.getContext();
  context->loadDialect<arith::ArithDialect, linalg::LinalgDialect, tensor::TensorDialect>();
  return StepFormBuilder(function, settings).run();
}

LogicalResult checkLengthIsFree(func::FuncOp expanded) {
  WalkResult result = expanded.walk([](DimOp op) {
    if (op.getAxis() != Axis::Time || op->use_empty()) return WalkResult::advance();
    op.emitOpError() << "asks for the length of the whole sequence: it has no step form";
    return WalkResult::interrupt();
  });
  return failure(result.wasInterrupted());
}

}  // namespace weir
