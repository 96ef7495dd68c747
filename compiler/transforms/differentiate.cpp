// Reverse-mode differentiation of a whole function: one walk backwards over its
// ops, each of which answers for itself.

#include "compiler/dialect/dialect.h"
#include "compiler/dialect/interfaces.h"
#include "compiler/dialect/region_vjp.h"
#include "compiler/transforms/slices.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Linalg/Transforms/Transforms.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/IR/TypeUtilities.h"
#include "mlir/Transforms/RegionUtils.h"
#include "llvm/ADT/STLExtras.h"

#include "compiler/transforms/differentiate_pass.h"

namespace weir {
#define GEN_PASS_DEF_DIFFERENTIATE
#include "compiler/transforms/differentiate_pass.h.inc"
namespace {

using namespace mlir;

/// Marks the ops that are inserted into the function's own block.
struct BackwardMarker : OpBuilder::Listener {
  explicit BackwardMarker(Block* block) : block(block) {}
  void notifyOperationInserted(Operation* op, OpBuilder::InsertPoint) override {
    if (op->getBlock() == block) op->setAttr("weir.backward", UnitAttr::get(op->getContext()));
  }
  Block* block;
};

struct Wanted {
  BlockArgument argument;
  StringAttr name;
};

struct Seed {
  unsigned result;
  StringAttr name;
};

class JointFunction {
 public:
  JointFunction(func::FuncOp func, ArrayRef<Wanted> wanted, ArrayRef<Seed> seeds,
                bool seedsAreArguments)
      : func(func),
        block(func.front()),
        wanted(wanted),
        seeds(seeds),
        seedsAreArguments(seedsAreArguments) {}

  LogicalResult run();

 private:
  void findActive();
  FailureOr<bool> decomposeOne();
  LogicalResult pullBack(Operation* op);
  void accumulate(Value value, Value cotangent);

  func::FuncOp func;
  Block& block;
  ArrayRef<Wanted> wanted;
  ArrayRef<Seed> seeds;
  bool seedsAreArguments;
  BackwardMarker marker{&block};
  OpBuilder builder{func.getContext(), &marker};
  DenseSet<Value> active;  // depends on an argument whose gradient is wanted
  DenseMap<Value, Value> cotangents;
};

bool isConstantTo(Operation& op) { return op.hasAttr(kStopGradient); }

void JointFunction::findActive() {
  active.clear();
  for (const Wanted& want : wanted) active.insert(want.argument);
  auto isActive = [&](Value value) { return active.contains(value); };
  for (Operation& op : block.without_terminator()) {
    if (isConstantTo(op)) continue;
    ValueRange operands = op.getOperands();
    if (auto fill = dyn_cast<linalg::FillOp>(op))
      operands = fill.getInputs();  // the old contents don't matter
    SetVector<Value> captured;
    getUsedValuesDefinedAbove(op.getRegions(), captured);
    if (llvm::none_of(operands, isActive) && llvm::none_of(captured, isActive)) continue;
    for (Value result : op.getResults())
      if (isDifferentiableType(result.getType())) active.insert(result);
  }
}

/// Replaces one active op without a rule by simpler ops. True if it did, false
/// if every op has its rule.
FailureOr<bool> JointFunction::decomposeOne() {
  IRRewriter rewriter(func.getContext());
  for (Operation& op : block.without_terminator()) {
    if (isa<DifferentiableOpInterface>(op) ||
        llvm::none_of(op.getResults(), [&](Value v) { return active.contains(v); }))
      continue;
    rewriter.setInsertionPoint(&op);
    if (auto linalgOp = dyn_cast<linalg::LinalgOp>(op)) {
      if (!isa<linalg::FillOp>(op) && succeeded(linalg::generalizeNamedOp(rewriter, linalgOp)))
        return true;
    }
    auto aggregated = dyn_cast<linalg::AggregatedOpInterface>(op);
    if (!aggregated) continue;  // an error only if a cotangent arrives here
    FailureOr<SmallVector<Value>> values = aggregated.decomposeOperation(rewriter);
    if (failed(values)) return op.emitOpError("has no gradient and cannot be decomposed");
    rewriter.replaceOp(&op, *values);
    return true;
  }
  return false;
}

void JointFunction::accumulate(Value value, Value cotangent) {
  if (!cotangent || !active.contains(value)) return;
  Value& sum = cotangents[value];
  Value joined = sum ? joinDisjointSlices(builder, value.getLoc(), sum, cotangent) : Value();
  sum = joined ? joined : addCotangents(builder, value.getLoc(), sum, cotangent);
}

LogicalResult JointFunction::pullBack(Operation* op) {
  SmallVector<Value> resultCotangents;
  for (Value result : op->getResults()) resultCotangents.push_back(cotangents.lookup(result));
  if (llvm::none_of(resultCotangents, [](Value v) { return static_cast<bool>(v); }))
    return success();
  auto rule = dyn_cast<DifferentiableOpInterface>(op);
  if (!rule) return op->emitOpError("has no gradient: it implements no DifferentiableOpInterface");
  SetVector<Value> captured;
  getUsedValuesDefinedAbove(op->getRegions(), captured);
  if (llvm::any_of(captured, [&](Value v) { return active.contains(v); }))
    return op->emitOpError("has no gradient: its region captures a value that needs one");

  SmallVector<Value> operands(op->getOperands());  // the rule may replace the op
  SmallVector<bool> needed;
  for (Value operand : operands) needed.push_back(active.contains(operand));
  SmallVector<Value> operandCotangents;
  if (failed(rule.buildNeededVjp(builder, resultCotangents, needed, operandCotangents)))
    return failure();
  if (operandCotangents.size() != operands.size())
    return op->emitOpError("its gradient has ")
           << operandCotangents.size() << " cotangents for " << operands.size() << " operands";
  for (auto [operand, cotangent] : llvm::zip_equal(operands, operandCotangents)) {
    if (cotangent && active.contains(operand) && cotangent.getType() != operand.getType())
      return op->emitOpError("its gradient has type ")
             << cotangent.getType() << " for " << operand.getType();
    accumulate(operand, cotangent);
  }
  return success();
}

LogicalResult JointFunction::run() {
  while (true) {
    findActive();
    FailureOr<bool> changed = decomposeOne();
    if (failed(changed)) return failure();
    if (!*changed) break;
  }
  SmallVector<Operation*> ops;
  for (Operation& op : block.without_terminator()) ops.push_back(&op);
  auto ret = cast<func::ReturnOp>(block.getTerminator());
  builder.setInsertionPoint(ret);

  for (const Seed& seed : seeds) {
    Value value = ret.getOperand(seed.result);
    Location loc = value.getLoc();
    Value cotangent;
    if (seedsAreArguments) {
      auto attrs = builder.getDictionaryAttr(builder.getNamedAttr("weir.cotangent", seed.name));
      if (failed(func.insertArgument(func.getNumArguments(), value.getType(), attrs, loc)))
        return failure();
      cotangent = block.getArguments().back();
    } else {
      TypedAttr one = builder.getFloatAttr(getElementTypeOrSelf(value.getType()), 1.0);
      if (auto shaped = dyn_cast<ShapedType>(value.getType()))
        one = DenseElementsAttr::get(shaped, one);
      cotangent = arith::ConstantOp::create(builder, loc, one);
    }
    accumulate(value, cotangent);
  }
  for (Operation* op : llvm::reverse(ops))
    if (failed(pullBack(op))) return failure();

  for (const Wanted& want : wanted) {
    Value gradient = cotangents.lookup(want.argument);
    auto type = dyn_cast<RankedTensorType>(want.argument.getType());
    if (!gradient) {  // the result does not depend on it
      Location loc = want.argument.getLoc();
      if (!type) {
        gradient =
            arith::ConstantOp::create(builder, loc, builder.getZeroAttr(want.argument.getType()));
      } else if (type.hasStaticShape()) {
        Value zero =
            arith::ConstantOp::create(builder, loc, builder.getZeroAttr(type.getElementType()));
        Value empty = tensor::EmptyOp::create(builder, loc, type.getShape(), type.getElementType());
        gradient = linalg::FillOp::create(builder, loc, zero, empty).getResult(0);
      } else {
        return func.emitOpError("the gradient of '")
               << want.name.getValue() << "' needs a static shape";
      }
    }
    ret.getOperandsMutable().append(gradient);
    auto attrs = builder.getDictionaryAttr(builder.getNamedAttr("weir.gradient", want.name));
    if (failed(func.insertResult(func.getNumResults(), gradient.getType(), attrs)))
      return failure();
  }
  formConcats(builder, block);
  eraseDeadOps(block);
  return success();
}

struct Differentiate : impl::DifferentiateBase<Differentiate> {
  using DifferentiateBase::DifferentiateBase;

  void runOnOperation() override {
    func::FuncOp func = getOperation();
    if (func.isExternal()) return;
    bool carries = seed == "states", seedsAreArguments = carries || seed == "cotangents";
    if (!seedsAreArguments && seed != "one") {
      func.emitError("weir-differentiate: seed must be 'one', 'cotangents' or 'states', not '")
          << seed << "'";
      return signalPassFailure();
    }
    SmallVector<Seed> seeds;
    for (unsigned i = 0; i < func.getNumResults(); ++i) {
      if (func.getResultAttr(i, "weir.gradient")) return;  // done before
      Type type = func.getResultTypes()[i];
      auto output = func.getResultAttrOfType<StringAttr>(i, "weir.output");
      auto state = func.getResultAttrOfType<StringAttr>(i, "weir.state");
      if (seedsAreArguments) {
        bool isWanted = state || (carries ? output && output == result : bool(output));
        if (isWanted && isDifferentiableType(type))
          seeds.push_back({i, output ? output
                              : carries
                                  ? StringAttr::get(&getContext(), "state." + state.getValue())
                                  : state});
        continue;
      }
      if (!output || output != result) continue;
      auto shaped = dyn_cast<ShapedType>(type);
      if (!isDifferentiableType(type) ||
          (shaped && (!shaped.hasStaticShape() || shaped.getNumElements() != 1))) {
        func.emitError("the result '")
            << result << "' to differentiate is no float scalar but " << type;
        return signalPassFailure();
      }
      seeds.push_back({i, output});
    }
    if (seeds.empty()) return;
    if (!func.getBody().hasOneBlock()) {
      func.emitError("a function with control flow between blocks has no gradient");
      return signalPassFailure();
    }
    SmallVector<Wanted> wanted;
    for (BlockArgument argument : func.getArguments()) {
      if (!isDifferentiableType(argument.getType())) continue;
      auto name = func.getArgAttrOfType<StringAttr>(argument.getArgNumber(), "weir.param");
      if (!name && inputs) {
        name = func.getArgAttrOfType<StringAttr>(argument.getArgNumber(), "weir.input");
        if (!name) name = func.getArgAttrOfType<StringAttr>(argument.getArgNumber(), "weir.state");
      }
      if (carries && !name)
        if (auto state = func.getArgAttrOfType<StringAttr>(argument.getArgNumber(), "weir.state"))
          name = StringAttr::get(&getContext(), "state." + state.getValue());
      if (name) wanted.push_back({argument, name});
    }
    if (failed(JointFunction(func, wanted, seeds, seedsAreArguments).run())) signalPassFailure();
  }
};

}  // namespace
}  // namespace weir
