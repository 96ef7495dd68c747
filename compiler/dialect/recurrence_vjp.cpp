// The gradient of weir.recurrence, in two parts.
//
// Along time only the states' cotangents have to be carried: a reverse recurrence computes, from
// the cotangents of the outputs and of the state after a step, that of the state before it, and
// writes down what came in. With those known, all steps are independent rows: the step is applied
// once more, to batch x time rows, and differentiated there, which gives the cotangents of the
// inputs and of the captured tensors as large products. Products of the step itself are taken from
// there, too, instead of being computed again along time.

#include "compiler/dialect/linalg_builder.h"
#include "compiler/dialect/op_support.h"
#include "compiler/dialect/recurrence_ops.h"
#include "compiler/dialect/region_ops.h"
#include "compiler/dialect/region_vjp.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/IR/TypeUtilities.h"

namespace weir {
using namespace mlir;

namespace {

/// Clones the ops of `body` at the builder with other operand types, inferring result types as it
/// goes.
FailureOr<SmallVector<Value>> cloneStep(OpBuilder& b, Block& body, ValueRange arguments) {
  IRMapping mapping;
  mapping.map(body.getArguments(), arguments);
  for (Operation& op : body.without_terminator()) {
    Operation* clone = b.clone(op, mapping);
    auto inferable = dyn_cast<InferTypeOpInterface>(clone);
    SmallVector<Type> types;
    if (inferable) {
      if (failed(inferable.inferReturnTypes(
              clone->getContext(), clone->getLoc(), clone->getOperands(),
              clone->getDiscardableAttrDictionary(), clone->getPropertiesStorage(),
              clone->getRegions(), types)))
        return failure();
    } else if (OpTrait::hasElementwiseMappableTraits(clone) && clone->getNumOperands() > 0) {
      for (Type type : clone->getResultTypes())
        types.push_back(
            RankedTensorType::get(shapeOf(clone->getOperand(0)), getElementTypeOrSelf(type)));
    } else {
      return op.emitOpError()
             << "cannot be in the step of a weir.recurrence that is differentiated";
    }
    for (auto [result, type] : llvm::zip(clone->getResults(), types)) result.setType(type);
  }
  return llvm::map_to_vector(body.getTerminator()->getOperands(),
                             [&](Value value) { return mapping.lookupOrDefault(value); });
}

/// Decomposes the ops of a block until each has a gradient rule of its own or can't be decomposed.
LogicalResult decomposeBlock(Block& block) {
  for (bool changed = true; changed;) {
    changed = false;
    for (Operation& op : llvm::make_early_inc_range(block)) {
      auto aggregate = dyn_cast<linalg::AggregatedOpInterface>(&op);
      if (!aggregate || isa<DifferentiableOpInterface>(&op)) continue;
      IRRewriter rewriter(op.getContext());
      rewriter.setInsertionPoint(&op);
      FailureOr<SmallVector<Value>> values = aggregate.decomposeOperation(rewriter);
      if (failed(values)) return op.emitOpError() << "cannot be decomposed";
      rewriter.replaceOp(&op, *values);
      changed = true;
    }
  }
  return success();
}

/// A block of the step on arguments of the given types, ready to be differentiated; owned by
/// `region`.
FailureOr<Block*> stepOn(OpBuilder& b, RecurrenceOp op, Region& region, TypeRange types) {
  OpBuilder::InsertionGuard guard(b);
  SmallVector<Location> locs(types.size(), op.getLoc());
  Block* block = b.createBlock(&region, {}, types, locs);
  FailureOr<SmallVector<Value>> yields = cloneStep(b, op.getStep().front(), block->getArguments());
  if (failed(yields)) return failure();
  YieldOp::create(b, op.getLoc(), *yields);
  if (failed(decomposeBlock(*block))) return failure();
  return block;
}

/// [batch, time, ...] as [batch * time, ...].
Value asRows(LinalgBuilder& l, Value sequence) {
  SmallVector<int64_t> shape(shapeOf(sequence));
  shape[1] *= shape[0];
  shape.erase(shape.begin());
  return l.reshape(sequence, shape);
}

/// The states before each step: `initial`, then `states` without the last (the other way round in
/// reverse); zero where the segment changes.
Value statesBefore(LinalgBuilder& l, RecurrenceOp op, Value initial, Value states) {
  ArrayRef<int64_t> shape = shapeOf(states);
  SmallVector<int64_t> single(shape);
  single[1] = 1;
  Value first = l.reshape(initial, single);
  int64_t time = shape[1];
  Value before = first;
  if (time > 1) {
    before = op.getReverse() ? l.concat(1, {l.sliceDim(states, 1, 1, time - 1), first})
                             : l.concat(1, {first, l.sliceDim(states, 1, 0, time - 1)});
  }
  return before;
}

/// 1 where a step goes on from the state before it, -1 where the segment changes: batch x time, in
/// `element`.
Value continuity(LinalgBuilder& l, RecurrenceOp op, Type element) {
  ArrayRef<int64_t> shape = shapeOf(op.getSegments());
  int64_t time = shape[1];
  Value edge = l.filled(1, {shape[0], 1}, element);
  if (time == 1) return edge;
  Value inner = l.elementwise(
      {shape[0], time - 1}, element,
      {l.sliceDim(op.getSegments(), 1, 0, time - 1), l.sliceDim(op.getSegments(), 1, 1, time - 1)},
      {l.identity(2), l.identity(2)}, [&](ElementwiseBuilder e, ValueRange v) {
        return e.select(e.equal(v[0], v[1]), e.constant(1, element), e.constant(-1, element));
      });
  return op.getReverse() ? l.concat(1, {inner, edge}) : l.concat(1, {edge, inner});
}

/// x where its `mask` (over the first `dims` of x's dimensions) goes on, else 0: a product would
/// let a NaN through.
Value masked(LinalgBuilder& l, Value x, Value mask, ArrayRef<unsigned> dims) {
  unsigned rank = shapeOf(x).size();
  Type element = getElementTypeOrSelf(x.getType());
  return l.elementwise(shapeOf(x), element, {x, mask}, {l.identity(rank), l.map(rank, dims)},
                       [&](ElementwiseBuilder e, ValueRange v) {
                         return e.selectNonNegative(v[1], v[0], e.constant(0, element));
                       });
}

/// The number of the output that is the same value as state `s`; the number of outputs if none is.
unsigned outputOfState(RecurrenceOp op, unsigned s) {
  OperandRange yields = op.getStep().front().getTerminator()->getOperands();
  unsigned index = 0;
  while (index < op.getNumOutputs() && yields[index] != yields[op.getNumOutputs() + s]) ++index;
  return index;
}

/// The same recurrence with the states that no output gives as further outputs, before the last
/// states. It takes the place of `op` (which is left without uses, for its caller may still hold
/// it) and belongs to the forward direction.
RecurrenceOp withStateOutputs(RecurrenceOp op, ArrayRef<unsigned> missing) {
  OpBuilder builder(op);
  unsigned numOutputs = op.getNumOutputs();
  int64_t time = shapeOf(op.getInputs()[0])[1];
  SmallVector<Type> types(op.getOutputs().getTypes());
  for (unsigned s : missing) {
    SmallVector<int64_t> shape(shapeOf(op.getInitial()[s]));
    shape.insert(shape.begin() + 1, time);
    types.push_back(
        RankedTensorType::get(shape, getElementTypeOrSelf(op.getInitial()[s].getType())));
  }
  llvm::append_range(types, op.getFinals().getTypes());
  auto wide = RecurrenceOp::create(builder, op.getLoc(), types, op.getInputs(), op.getInitial(),
                                   op.getCaptured(), op.getSegments(), op.getReverseAttr());
  wide->setDiscardableAttrs(op->getDiscardableAttrDictionary());
  IRMapping mapping;
  op.getStep().cloneInto(&wide.getStep(), mapping);
  Operation* terminator = wide.getStep().front().getTerminator();
  SmallVector<Value> yields(terminator->getOperands());
  SmallVector<Value> states =
      llvm::map_to_vector(missing, [&](unsigned s) { return yields[numOutputs + s]; });
  yields.insert(yields.begin() + numOutputs, states.begin(), states.end());
  terminator->setOperands(yields);
  for (auto [from, to] : llvm::zip(op.getOutputs(), wide.getOutputs())) from.replaceAllUsesWith(to);
  for (auto [from, to] : llvm::zip(op.getFinals(), wide.getFinals())) from.replaceAllUsesWith(to);
  return wide;
}

/// A value of the step that a product gave, and its counterpart where all steps are rows.
struct HoistedProduct {
  Value inStep, onRows;
};

/// What reads `value` alone and computes it further, element by element; null if nothing does.
Operation* elementwiseUser(Value value) {
  Operation* user = value.hasOneUse() ? *value.user_begin() : nullptr;
  if (!user || user->getNumResults() != 1) return nullptr;
  auto generic = dyn_cast<linalg::GenericOp>(user);
  bool elementwise =
      generic ? generic.getNumReductionLoops() == 0 : OpTrait::hasElementwiseMappableTraits(user);
  auto shape = [](Value v) { return cast<ShapedType>(v.getType()).getShape(); };
  return elementwise && shape(user->getResult(0)) == shape(value) ? user : nullptr;
}

/// Products of the step, whose states are known by now: as rows of one large product they take far
/// less time than one by one. `rows` is the same block, of the same ops, on `time` times as many
/// rows. They are taken where they are narrowest.
SmallVector<HoistedProduct> findProducts(Block& step, Block& rows, int64_t time) {
  SmallVector<HoistedProduct> found;
  DenseMap<Value, Value> onRows;
  for (auto [op, rowsOp] : llvm::zip_equal(step, rows))
    for (auto [value, rowsValue] : llvm::zip_equal(op.getResults(), rowsOp.getResults()))
      onRows[value] = rowsValue;
  for (auto product : step.getOps<linalg::GenericOp>()) {
    if (product.getNumDpsInputs() != 2 || product.getNumResults() != 1 ||
        product.getNumReductionLoops() == 0)
      continue;
    Value narrowest = product.getResult(0);
    for (Operation* next = elementwiseUser(narrowest); next;
         next = elementwiseUser(next->getResult(0))) {
      auto bits = [](Value v) { return getElementTypeOrSelf(v.getType()).getIntOrFloatBitWidth(); };
      if (bits(next->getResult(0)) < bits(narrowest)) narrowest = next->getResult(0);
    }
    SmallVector<int64_t> shape(shapeOf(narrowest));
    if (shape.empty()) continue;
    shape[0] *= time;
    if (shapeOf(onRows[narrowest]) == ArrayRef<int64_t>(shape))
      found.push_back({narrowest, onRows[narrowest]});
  }
  return found;
}

}  // namespace

LogicalResult RecurrenceOp::buildVjp(OpBuilder& b, ValueRange cotangents,
                                     SmallVectorImpl<Value>& operandCotangents) {
  if (failed(requireDecomposable(*this))) return failure();
  Location loc = getLoc();
  LinalgBuilder l(b, loc);
  unsigned numOutputs = getNumOutputs(), numStates = getInitial().size(),
           numInputs = getInputs().size();

  // The gradient needs the states after each step, which therefore have to be among the outputs.
  SmallVector<Value> states;
  SmallVector<unsigned> missing;
  for (unsigned s = 0; s < numStates; ++s) {
    unsigned index = outputOfState(*this, s);
    states.push_back(getResults()[index]);
    if (index == numOutputs) missing.push_back(s);
  }
  if (!missing.empty()) {
    RecurrenceOp wide = withStateOutputs(*this, missing);
    SmallVector<Value> all(cotangents);
    all.insert(all.begin() + numOutputs, missing.size(), Value());
    return wide.buildVjp(b, all, operandCotangents);
  }

  SmallVector<Value> before;
  Value mask;
  if (getSegments()) mask = continuity(l, *this, getElementTypeOrSelf(getInitial()[0].getType()));
  for (unsigned s = 0; s < numStates; ++s) {
    before.push_back(statesBefore(l, *this, getInitial()[s], states[s]));
    if (mask) before.back() = masked(l, before.back(), mask, {0, 1});
  }
  // Zeros for cotangents that don't come in.
  SmallVector<Value> outputCotangents, finalCotangents;
  for (unsigned i = 0; i < numOutputs; ++i)
    outputCotangents.push_back(cotangents[i] ? cotangents[i] : l.filledLike(0, getResults()[i]));
  for (unsigned s = 0; s < numStates; ++s) {
    Value cotangent = cotangents[numOutputs + s];
    finalCotangents.push_back(cotangent ? cotangent : l.filledLike(0, getInitial()[s]));
  }

  // The step on one time, and on all of them as rows.
  SmallVector<Value> rowArguments;
  for (Value input : getInputs()) rowArguments.push_back(asRows(l, input));
  for (Value state : before) rowArguments.push_back(asRows(l, state));
  llvm::append_range(rowArguments, getCaptured());
  Region stepRegion, rowsRegion;
  FailureOr<Block*> step = stepOn(b, *this, stepRegion, getStep().getArgumentTypes()),
                    rows = stepOn(b, *this, rowsRegion, ValueRange(rowArguments).getTypes());
  if (failed(step) || failed(rows)) return failure();
  RegionVjp rowsVjp(b, **rows, rowArguments);
  SmallVector<HoistedProduct> products = findProducts(**step, **rows, shapeOf(getInputs()[0])[1]);

  // Part one, in the other direction: inputs are (x, states before, output cotangents, products[,
  // mask]), the state is the cotangent of the state after the step, and the outputs are what it
  // was.
  SmallVector<Value> reverseInputs(getInputs());
  reverseInputs.append(before);
  reverseInputs.append(outputCotangents);
  for (const HoistedProduct& product : products) {
    Value all = rowsVjp.primal(product.onRows);
    SmallVector<int64_t> shape(shapeOf(all));
    ArrayRef<int64_t> first = shapeOf(getInputs()[0]);
    shape[0] = first[0];
    shape.insert(shape.begin() + 1, first[1]);
    reverseInputs.push_back(l.reshape(all, shape));
  }
  if (mask) reverseInputs.push_back(mask);
  SmallVector<Type> resultTypes;
  for (unsigned s = 0; s < numStates; ++s) resultTypes.push_back(states[s].getType());
  for (Value state : getInitial()) resultTypes.push_back(state.getType());
  auto reverse =
      RecurrenceOp::create(b, loc, resultTypes, reverseInputs, finalCotangents, getCaptured(),
                           Value(), getReverse() ? UnitAttr() : b.getUnitAttr());
  {
    OpBuilder::InsertionGuard guard(b);
    SmallVector<Type> types = reverse.regionArgumentTypes(0, reverse.getOperandTypes());
    SmallVector<Location> locs(types.size(), loc);
    Block* block = b.createBlock(&reverse.getStep(), {}, types, locs);
    auto arguments = block->getArguments();
    unsigned next = numInputs;
    SmallVector<Value> stepArguments(arguments.take_front(numInputs + numStates));
    next += numStates;
    SmallVector<Value> stepCotangents(arguments.slice(next, numOutputs));
    next += numOutputs;
    auto productArguments = arguments.slice(next, products.size());
    next += products.size();
    Value maskNow = mask ? Value(arguments[next++]) : Value();
    SmallVector<Value> carried(arguments.slice(next, numStates));
    next += numStates;
    llvm::append_range(stepArguments, arguments.drop_front(next));
    stepCotangents.append(carried);

    b.setInsertionPointToEnd(block);
    RegionVjp vjp(b, **step, stepArguments);
    SmallVector<bool> needed(stepArguments.size(), false);
    std::fill_n(needed.begin() + numInputs, numStates, true);
    SmallVector<Value> argumentCotangents;
    if (failed(vjp.pullBack(stepCotangents, needed, argumentCotangents))) return failure();
    for (auto [product, argument] : llvm::zip_equal(products, productArguments))
      vjp.primal(product.inStep).replaceAllUsesWith(argument);
    SmallVector<Value> results = carried;
    for (unsigned s = 0; s < numStates; ++s) {
      Value cotangent = argumentCotangents[numInputs + s];
      LinalgBuilder inner(b, loc);
      if (!cotangent) cotangent = inner.filledLike(0, stepArguments[numInputs + s]);
      if (maskNow) cotangent = masked(inner, cotangent, maskNow, {0});
      results.push_back(cotangent);
    }
    YieldOp::create(b, loc, results);
    eraseDeadOps(*block);
  }

  // Part two: all steps as rows.
  SmallVector<Value> rowCotangents;
  for (Value cotangent : outputCotangents) rowCotangents.push_back(asRows(l, cotangent));
  for (Value carried : reverse.getOutputs()) rowCotangents.push_back(asRows(l, carried));
  SmallVector<Value> gradients;
  SmallVector<bool> needed(rowArguments.size(), true);
  std::fill_n(needed.begin() + numInputs, numStates, false);
  if (failed(rowsVjp.pullBack(rowCotangents, needed, gradients))) return failure();
  for (unsigned i = 0; i < numInputs; ++i)
    operandCotangents.push_back(gradients[i] ? l.reshape(gradients[i], shapeOf(getInputs()[i]))
                                             : Value());
  llvm::append_range(operandCotangents, reverse.getFinals());
  for (unsigned i = 0; i < getCaptured().size(); ++i)
    operandCotangents.push_back(gradients[numInputs + numStates + i]);
  if (getSegments()) operandCotangents.push_back(Value());
  return success();
}

}  // namespace weir
