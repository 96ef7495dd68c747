// weir.recurrence: assembly, types, verifier. Its gradient is in recurrence_vjp.cpp.

#include "compiler/dialect/recurrence_ops.h"

#include "compiler/dialect/op_support.h"
#include "compiler/dialect/region_ops.h"
#include "compiler/dialect/streaming.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "mlir/IR/TypeUtilities.h"

#define GET_OP_CLASSES
#include "compiler/dialect/recurrence_ops.cpp.inc"

namespace weir {
using namespace mlir;

void registerRecurrenceOps(WeirDialect& dialect) {
  dialect.registerOps<
#define GET_OP_LIST
#include "compiler/dialect/recurrence_ops.cpp.inc"
      >();
}

namespace {

/// A sequence's type at one time, and back.
RankedTensorType atOneTime(Type type) {
  auto tensor = cast<RankedTensorType>(type);
  SmallVector<int64_t> shape(tensor.getShape());
  if (shape.size() > 1) shape.erase(shape.begin() + 1);
  return RankedTensorType::get(shape, tensor.getElementType());
}

RankedTensorType overTime(Type type, int64_t time) {
  auto tensor = cast<RankedTensorType>(type);
  SmallVector<int64_t> shape(tensor.getShape());
  shape.insert(shape.begin() + std::min<size_t>(1, shape.size()), time);
  return RankedTensorType::get(shape, tensor.getElementType());
}

/// `keyword (%inside = %outside : type, ...)`.
ParseResult parseBindings(OpAsmParser& parser, SmallVectorImpl<OpAsmParser::Argument>& inside,
                          SmallVectorImpl<OpAsmParser::UnresolvedOperand>& outside,
                          SmallVectorImpl<Type>& types) {
  return parser.parseCommaSeparatedList(OpAsmParser::Delimiter::Paren, [&]() -> ParseResult {
    return failure(parser.parseArgument(inside.emplace_back()) || parser.parseEqual() ||
                   parser.parseOperand(outside.emplace_back()) ||
                   parser.parseColonType(types.emplace_back()));
  });
}

void printBindings(OpAsmPrinter& printer, ArrayRef<BlockArgument> inside, ValueRange outside) {
  printer << "(";
  llvm::interleaveComma(llvm::zip(inside, outside), printer, [&](auto pair) {
    auto [argument, value] = pair;
    printer << argument << " = " << value << " : " << value.getType();
  });
  printer << ")";
}

}  // namespace

ParseResult RecurrenceOp::parse(OpAsmParser& parser, OperationState& result) {
  SmallVector<OpAsmParser::Argument> inputArgs, stateArgs, capturedArgs;
  SmallVector<OpAsmParser::UnresolvedOperand> inputs, states, captured;
  SmallVector<Type> inputTypes, stateTypes, capturedTypes;
  llvm::SMLoc loc = parser.getCurrentLocation();
  if (parseBindings(parser, inputArgs, inputs, inputTypes) || parser.parseKeyword("from") ||
      parseBindings(parser, stateArgs, states, stateTypes))
    return failure();
  if (succeeded(parser.parseOptionalKeyword("using")) &&
      parseBindings(parser, capturedArgs, captured, capturedTypes))
    return failure();
  SmallVector<OpAsmParser::UnresolvedOperand> segments;
  SmallVector<Type> segmentTypes;
  if (succeeded(parser.parseOptionalKeyword("segments")))
    if (parser.parseLParen() || parser.parseOperand(segments.emplace_back()) ||
        parser.parseColonType(segmentTypes.emplace_back()) || parser.parseRParen())
      return failure();
  if (succeeded(parser.parseOptionalKeyword("reverse")))
    result.getOrAddProperties<Properties>().reverse = parser.getBuilder().getUnitAttr();
  for (Type type : inputTypes)
    if (!isa<RankedTensorType>(type))
      return parser.emitError(loc)
             << "an input of weir.recurrence must be a ranked tensor, not " << type;
  SmallVector<OpAsmParser::Argument> arguments;
  for (auto [argument, type] : llvm::zip(inputArgs, inputTypes)) {
    argument.type = atOneTime(type);
    arguments.push_back(argument);
  }
  for (auto [argument, type] : llvm::zip(stateArgs, stateTypes)) {
    argument.type = type;
    arguments.push_back(argument);
  }
  for (auto [argument, type] : llvm::zip(capturedArgs, capturedTypes)) {
    argument.type = type;
    arguments.push_back(argument);
  }
  SmallVector<Type> resultTypes;
  Region* region = result.addRegion();
  if (parser.parseRegion(*region, arguments) || parser.parseOptionalAttrDict(result.attributes) ||
      parser.parseArrow() || parser.parseTypeList(resultTypes))
    return failure();
  result.addTypes(resultTypes);
  result.getOrAddProperties<Properties>().operandSegmentSizes = {
      static_cast<int32_t>(inputs.size()), static_cast<int32_t>(states.size()),
      static_cast<int32_t>(captured.size()), static_cast<int32_t>(segments.size())};
  return failure(parser.resolveOperands(inputs, inputTypes, loc, result.operands) ||
                 parser.resolveOperands(states, stateTypes, loc, result.operands) ||
                 parser.resolveOperands(captured, capturedTypes, loc, result.operands) ||
                 parser.resolveOperands(segments, segmentTypes, loc, result.operands));
}

void RecurrenceOp::print(OpAsmPrinter& printer) {
  printer << " ";
  printBindings(printer, getInputArguments(), getInputs());
  printer << " from ";
  printBindings(printer, getStateArguments(), getInitial());
  if (!getCaptured().empty()) {
    printer << " using ";
    printBindings(printer, getCapturedArguments(), getCaptured());
  }
  if (getSegments())
    printer << " segments(" << getSegments() << " : " << getSegments().getType() << ")";
  if (getReverse()) printer << " reverse";
  printer << " ";
  printer.printRegion(getStep(), /*printEntryBlockArgs=*/false);
  printer.printOptionalAttrDict((*this)->getAttrs(), {"operandSegmentSizes", "reverse"});
  printer << " -> ";
  llvm::interleaveComma(getResultTypes(), printer);
}

SmallVector<Type> RecurrenceOp::regionArgumentTypes(unsigned, TypeRange operandTypes) {
  SmallVector<Type> types;
  unsigned inputs = getInputs().size(), rest = getInitial().size() + getCaptured().size();
  for (Type type : operandTypes.take_front(inputs)) types.push_back(atOneTime(type));
  llvm::append_range(types, operandTypes.slice(inputs, rest));
  return types;
}

LogicalResult RecurrenceOp::inferReturnTypes(MLIRContext*, std::optional<Location> location,
                                             Adaptor adaptor, SmallVectorImpl<Type>& inferred) {
  if (adaptor.getInputs().empty())
    return emitOptionalError(location, "weir.recurrence needs an input");
  auto first = cast<RankedTensorType>(adaptor.getInputs()[0].getType());
  if (first.getRank() < 2)
    return emitOptionalError(location, "an input of weir.recurrence has batch and time, but is ",
                             first);
  if (adaptor.getStep().empty() || !adaptor.getStep().front().mightHaveTerminator())
    return emitOptionalError(location, "weir.recurrence needs a step that ends with weir.yield");
  OperandRange yields = adaptor.getStep().front().getTerminator()->getOperands();
  size_t states = adaptor.getInitial().size();
  if (yields.size() < states)
    return emitOptionalError(location, "yields ", yields.size(), " values for ", states, " states");
  for (Value output : yields.drop_back(states)) {
    if (!isa<RankedTensorType>(output.getType()))
      return emitOptionalError(location, "yields ", output.getType(), ", which is no tensor");
    inferred.push_back(overTime(output.getType(), first.getDimSize(1)));
  }
  llvm::append_range(inferred, adaptor.getInitial().getTypes());
  return success();
}
bool RecurrenceOp::isCompatibleReturnTypes(TypeRange l, TypeRange r) { return compatible(l, r); }

LogicalResult RecurrenceOp::verify() {
  Block& block = getStep().front();
  auto yield = dyn_cast<YieldOp>(block.getTerminator());
  if (!yield) return emitOpError() << "needs a step that ends with weir.yield";
  SmallVector<Type> expected = regionArgumentTypes(0, getOperandTypes());
  if (block.getNumArguments() != expected.size() || !compatible(expected, block.getArgumentTypes()))
    return emitOpError() << "has a step of arguments (" << block.getArgumentTypes() << "), not ("
                         << expected << ")";
  int64_t time = cast<RankedTensorType>(getInputs()[0].getType()).getDimSize(1);
  for (Type type : getInputs().getTypes()) {
    auto tensor = cast<RankedTensorType>(type);
    if (tensor.getRank() < 2)
      return emitOpError() << "takes inputs of batch and time, not " << type;
    if (!ShapedType::isDynamic(time) && !ShapedType::isDynamic(tensor.getDimSize(1)) &&
        tensor.getDimSize(1) != time)
      return emitOpError() << "has inputs of different lengths, " << time << " and "
                           << tensor.getDimSize(1);
  }
  size_t numStates = getInitial().size();
  if (yield.getValues().size() < numStates)
    return yield.emitOpError() << "yields " << yield.getValues().size() << " values for "
                               << numStates << " states";
  TypeRange newStates = yield.getValues().take_back(numStates).getTypes();
  if (!compatible(newStates, getInitial().getTypes()))
    return yield.emitOpError() << "must yield states of types " << getInitial().getTypes()
                               << ", not " << newStates;
  return success();
}

void RecurrenceOp::bindSegments(Value segments) { getSegmentsMutable().assign(segments); }
void RecurrenceOp::bindStart(Value) {}
bool RecurrenceOp::isCausal() { return !getReverse(); }

LogicalResult RecurrenceOp::stateSpecs(const StreamContext&,
                                       SmallVectorImpl<StreamStateSpec>& specs) {
  FailureOr<bool> carried = isCarriedByLayer(*this, getInitial());
  if (failed(carried)) return failure();
  if (*carried) return success();
  for (auto [number, type] : llvm::enumerate(getInitial().getTypes()))
    specs.push_back({"state" + std::to_string(number), cast<RankedTensorType>(type)});
  return success();
}

namespace {

/// The results of a single step, which has nothing to run in order: its ops are like any others.
SmallVector<Value> inlineStep(LinalgBuilder& l, RecurrenceOp op, ValueRange states) {
  IRMapping mapping;
  for (auto [argument, input] : llvm::zip_equal(op.getInputArguments(), op.getInputs()))
    mapping.map(argument, l.reshape(input, shapeOf(argument)));
  mapping.map(op.getStateArguments(), states);
  mapping.map(op.getCapturedArguments(), op.getCaptured());
  for (Operation& inner : op.getStep().front().without_terminator())
    l.builder().clone(inner, mapping);
  SmallVector<Value> results;
  for (auto [result, yielded] :
       llvm::zip_equal(op.getResults(), op.getStep().front().getTerminator()->getOperands()))
    results.push_back(l.reshape(mapping.lookupOrDefault(yielded), shapeOf(result)));
  return results;
}

}  // namespace

FailureOr<SmallVector<Value>> RecurrenceOp::buildStep(OpBuilder& b,
                                                      const StreamArguments& arguments,
                                                      SmallVectorImpl<Value>& newStates) {
  LinalgBuilder l(b, getLoc());
  SmallVector<Value> states;
  for (auto [number, initial] : llvm::enumerate(getInitial())) {
    Value state = initial;
    if (!arguments.states.empty())
      state = startFrom(l, arguments, initial, arguments.states[number]);
    states.push_back(keepWithinSegment(l, arguments, state));
  }
  if (shapeOf(getInputs()[0])[1] == 1) {
    SmallVector<Value> results = inlineStep(l, *this, states);
    if (!arguments.states.empty())
      llvm::append_range(newStates, ArrayRef<Value>(results).take_back(states.size()));
    return results;
  }
  auto step = cast<RecurrenceOp>(b.clone(*getOperation()));
  step.getInitialMutable().assign(states);
  if (!arguments.states.empty()) llvm::append_range(newStates, step.getFinals());
  return llvm::to_vector_of<Value>(step.getResults());
}

/// Captured tensors of which only products in the step read.
SmallVector<OpOperand*> RecurrenceOp::autocastOperands() {
  SmallVector<OpOperand*> operands;
  MutableOperandRange captured = getCapturedMutable();
  for (auto [i, argument] : llvm::enumerate(getCapturedArguments())) {
    bool onlyProducts = llvm::all_of(argument.getUses(), [](OpOperand& use) {
      auto op = dyn_cast<AutocastOpInterface>(use.getOwner());
      return op && llvm::is_contained(op.autocastOperands(), &use);
    });
    if (!argument.use_empty() && onlyProducts) operands.push_back(&captured[i]);
  }
  return operands;
}
SmallVector<Value> RecurrenceOp::roundedResults() { return {}; }
/// What all rows share would be rounded in every step.
bool RecurrenceOp::mayRoundInside(BlockArgument argument) {
  return !llvm::is_contained(getCapturedArguments(), argument);
}

Cost RecurrenceOp::cost() {
  Cost cost = streamingCost(*this, 0);
  // A step's cost, once a token: the ops in the region know their own.
  getStep().walk([&](CostOpInterface op) {
    Cost step = op.cost();
    cost.flops += step.flops * Polynomial::length();
    cost.products += step.products * Polynomial::length();
  });
  for (Type type : getInitial().getTypes()) cost.stateBytes += byteCount(type);
  return cost;
}

}  // namespace weir
