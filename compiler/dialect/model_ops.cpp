// What the ops of the model level check. Their assembly is in model_assembly.cpp.

#include "compiler/dialect/model_ops.h"

#include "llvm/ADT/StringSet.h"
#include "mlir/IR/Builders.h"

#include "compiler/dialect/region_ops.h"
#include "compiler/dialect/sizes.h"

using namespace mlir;

#define GET_OP_CLASSES
#include "compiler/dialect/model_ops.cpp.inc"

namespace weir {

void registerModelOps(WeirDialect& dialect) {
  dialect.registerOps<
#define GET_OP_LIST
#include "compiler/dialect/model_ops.cpp.inc"
      >();
}

//===----------------------------------------------------------------------===//
// weir.layer, weir.model, weir.return
//===----------------------------------------------------------------------===//

static void nameArguments(Region& region, ArrayAttr names, OpAsmSetValueNameFn setName) {
  for (auto [argument, name] : llvm::zip(region.getArguments(), names.getAsRange<StringAttr>()))
    setName(argument, name.getValue());
}

void LayerOp::getAsmBlockArgumentNames(Region& region, OpAsmSetValueNameFn setName) {
  nameArguments(region, getArgNames(), setName);
}

void ModelOp::getAsmBlockArgumentNames(Region& region, OpAsmSetValueNameFn setName) {
  nameArguments(region, getArgNames(), setName);
}

ReturnOp LayerOp::getReturn() { return cast<ReturnOp>(getBody().front().getTerminator()); }

ReturnOp ModelOp::getReturn() { return cast<ReturnOp>(getBody().front().getTerminator()); }

template <typename Definition>
static LogicalResult verifyDefinition(Definition op) {
  Block& body = op.getBody().front();
  if (body.empty() || !isa<ReturnOp>(body.back()))
    return op.emitOpError() << "must end in 'weir.return'";
  FunctionType type = op.getFunctionType();
  if (!llvm::equal(body.getArgumentTypes(), type.getInputs()))
    return op.emitOpError() << "has a body whose arguments aren't those of its signature";
  if (op.getArgNames().size() != type.getNumInputs())
    return op.emitOpError() << "has " << type.getNumInputs() << " arguments but "
                            << op.getArgNames().size() << " names for them";
  llvm::StringMap<Operation*> names;
  for (Operation& inner : body) {
    StringRef name, what;
    if (auto config = dyn_cast<ConfigOp>(inner)) {
      name = config.getName();
      what = "option";
    } else if (auto state = dyn_cast<StateOp>(inner)) {
      name = state.getName();
      what = "state";
    } else {
      continue;
    }
    auto [it, isNew] = names.try_emplace((what + ":" + name).str(), &inner);
    if (isNew) continue;
    InFlightDiagnostic error = inner.emitOpError() << "is a second " << what << " '" << name
                                                   << "' in '@" << op.getSymName() << "'";
    error.attachNote(it->second->getLoc()) << "the first is here";
    return error;
  }
  return success();
}

LogicalResult LayerOp::verify() { return verifyDefinition(*this); }

LogicalResult ModelOp::verify() { return verifyDefinition(*this); }

LogicalResult ReturnOp::verify() {
  Operation* parent = (*this)->getParentOp();
  auto type = cast<FunctionType>(parent->getAttrOfType<TypeAttr>("function_type").getValue());
  StringRef parentName = SymbolTable::getSymbolName(parent).getValue();
  if (type.getNumResults() != getOutputs().size())
    return emitOpError() << "gives " << getOutputs().size() << " results, but '@" << parentName
                         << "' has " << type.getNumResults();
  for (auto [index, output] : llvm::enumerate(getOutputs()))
    if (output.getType() != type.getResult(index))
      return emitOpError() << "gives result #" << index << " the type " << output.getType()
                           << ", but '@" << parentName << "' declares " << type.getResult(index);
  if (getStateNames().size() != getStates().size())
    return emitOpError() << "has " << getStates().size() << " states but " << getStateNames().size()
                         << " names for them";
  llvm::StringMap<StateOp> states;
  for (StateOp state : parent->getRegion(0).front().getOps<StateOp>())
    states.insert({state.getName(), state});
  llvm::StringSet<> given;
  for (auto [value, attribute] : llvm::zip(getStates(), getStateNames().getAsRange<StringAttr>())) {
    StringRef name = attribute.getValue();
    auto it = states.find(name);
    if (it == states.end())
      return emitOpError() << "gives a next value to state '" << name << "', but '@" << parentName
                           << "' has no 'weir.state' of this name";
    if (!given.insert(name).second)
      return emitOpError() << "gives state '" << name << "' two next values";
    StateOp state = it->second;
    if (state.getType() != value.getType()) {
      InFlightDiagnostic error = emitOpError()
                                 << "gives state '" << name << "' a value of type "
                                 << value.getType() << ", but its type is " << state.getType();
      error.attachNote(state.getLoc()) << "the state is here";
      return error;
    }
  }
  for (auto& [name, state] : states) {
    if (given.contains(name)) continue;
    InFlightDiagnostic error = emitOpError() << "must give state '" << name << "' its next value";
    error.attachNote(StateOp(state).getLoc()) << "the state is here";
    return error;
  }
  return success();
}

//===----------------------------------------------------------------------===//
// weir.config
//===----------------------------------------------------------------------===//

static std::string oneOf(ArrayAttr choices) {
  std::string text;
  for (StringAttr choice : choices.getAsRange<StringAttr>()) {
    if (!text.empty()) text += " | ";
    text += "\"" + choice.getValue().str() + "\"";
  }
  return text;
}

static std::string typeText(ConfigOp op) {
  if (op.getChoices()) return oneOf(*op.getChoices());
  std::string text;
  llvm::raw_string_ostream(text) << op.getType();
  return text;
}

std::string ConfigOp::describe() {
  std::string text = getName().str() + " : " + typeText(*this) + " = ";
  llvm::raw_string_ostream stream(text);
  if (auto word = dyn_cast_or_null<StringAttr>(getDefaultValueAttr())) {
    stream << '"' << word.getValue() << '"';
  } else if (auto number = dyn_cast_or_null<FloatAttr>(getDefaultValueAttr())) {
    stream << formatNumber(number.getValueAsDouble());
  } else if (getDefaultValue()) {
    getDefaultValue()->print(stream, /*elideType=*/true);
  } else {
    // Sizes read better with the names of what they are made of: `2 * feature`.
    AffineMap map = *getDefaultSize();
    std::string expression;
    llvm::raw_string_ostream(expression) << map.getResult(0);
    for (auto [index, operand] : llvm::enumerate(getSizeOperands())) {
      std::string name = "value";
      if (auto dim = operand.getDefiningOp<DimOp>()) name = stringifyAxis(dim.getAxis()).str();
      if (auto config = operand.getDefiningOp<ConfigOp>()) name = config.getName().str();
      std::string key = index < map.getNumDims() ? "d" + std::to_string(index)
                                                 : "s" + std::to_string(index - map.getNumDims());
      for (size_t at = 0; (at = expression.find(key, at)) != std::string::npos;) {
        expression.replace(at, key.size(), name);
        at += name.size();
      }
    }
    stream << expression;
  }
  return text;
}

Attribute ConfigOp::convert(Attribute value, std::string& error) {
  Type type = getType();
  Builder builder(getContext());
  auto number = dyn_cast<IntegerAttr>(value);
  if (number && isa<BoolAttr>(value)) number = nullptr;
  if (type.isIndex() && number) return builder.getIndexAttr(number.getInt());
  if (type.isF64() && number) return builder.getF64FloatAttr(static_cast<double>(number.getInt()));
  if (auto real = dyn_cast<FloatAttr>(value); real && type.isF64())
    return builder.getF64FloatAttr(real.getValueAsDouble());
  if (type.isInteger(1) && isa<BoolAttr>(value)) return value;
  if (auto word = dyn_cast<StringAttr>(value); word && getChoices()) {
    for (StringAttr choice : getChoices()->getAsRange<StringAttr>())
      if (choice.getValue() == word.getValue()) return builder.getStringAttr(word.getValue());
  }
  llvm::raw_string_ostream stream(error);
  stream << "option '" << getName() << "' must be " << typeText(*this) << ", not ";
  value.print(stream, /*elideType=*/isa<FloatAttr>(value) || isa<IntegerAttr>(value));
  return nullptr;
}

LogicalResult ConfigOp::verify() {
  if (getName().empty()) return emitOpError() << "needs a name";
  if (getDefaultSize()) {
    if (getDefaultValue()) return emitOpError() << "can't have two defaults";
    if (!getType().isIndex())
      return emitOpError() << "has a default in brackets, so its type is index, not " << getType();
    return verifySizes(*this, getSizeOperands(), *getDefaultSize(), 1);
  }
  if (!getDefaultValue()) return emitOpError() << "needs a default";
  if (isa<ChoiceType>(getType()) != getChoices().has_value())
    return emitOpError()
           << "has a word as its default, and so needs 'oneof' and the words it allows";
  std::string error;
  Attribute converted = convert(*getDefaultValue(), error);
  if (!converted) return emitOpError() << "has a default that doesn't fit: " << error;
  if (getChoices()) {
    llvm::StringSet<> words;
    for (StringAttr choice : getChoices()->getAsRange<StringAttr>())
      if (!words.insert(choice.getValue()).second)
        return emitOpError() << "allows \"" << choice.getValue() << "\" twice";
  }
  return success();
}

//===----------------------------------------------------------------------===//
// weir.dim
//===----------------------------------------------------------------------===//

int64_t DimOp::getDimension() {
  switch (getAxis()) {
    case Axis::Batch:
      return 0;
    case Axis::Time:
      return 1;
    case Axis::Feature:
      return cast<RankedTensorType>(getInput().getType()).getRank() - 1;
  }
  llvm_unreachable("unknown axis");
}

LogicalResult DimOp::verify() {
  auto type = cast<RankedTensorType>(getInput().getType());
  bool isInteger = type.getElementType().isInteger();
  int64_t needed = getAxis() == Axis::Batch ? 1 : getAxis() == Axis::Time && !isInteger ? 3 : 2;
  if (getAxis() == Axis::Feature && isInteger) needed = 3;
  if (type.getRank() < needed)
    return emitOpError() << "asks for the " << stringifyAxis(getAxis()) << " of " << type
                         << ", which has none";
  return success();
}

OpFoldResult DimOp::fold(FoldAdaptor) {
  auto type = cast<RankedTensorType>(getInput().getType());
  int64_t dimension = getDimension();
  if (type.isDynamicDim(dimension)) return {};
  return IntegerAttr::get(IndexType::get(getContext()), type.getDimSize(dimension));
}

//===----------------------------------------------------------------------===//
// weir.case, weir.repeat, weir.apply
//===----------------------------------------------------------------------===//

/// Checks that a region ends in weir.yield with these types; `what` names the region in messages.
static LogicalResult verifyYield(Operation* op, Region& region, TypeRange types,
                                 const Twine& what) {
  auto yield = region.front().empty() ? YieldOp() : dyn_cast<YieldOp>(region.front().back());
  if (!yield) return op->emitOpError() << what << " must end in 'weir.yield'";
  if (yield.getValues().getTypes() == types) return success();
  InFlightDiagnostic error = yield.emitOpError() << "gives ";
  if (yield.getValues().empty())
    error << "nothing";
  else
    error << yield.getValues().getTypes();
  error << ", but " << what << " must give ";
  if (types.empty())
    error << "nothing";
  else
    error << types;
  return error;
}

LogicalResult CaseOp::verify() {
  if (getLabels().size() != getCases().size())
    return emitOpError() << "has " << getCases().size() << " regions but " << getLabels().size()
                         << " labels";
  bool byWord = isa<ChoiceType>(getSelector().getType());
  llvm::StringSet<> given;
  for (auto [label, region] : llvm::zip(getLabels(), getCases())) {
    std::string text;
    if (auto word = dyn_cast<StringAttr>(label); word && byWord)
      text = "\"" + word.getValue().str() + "\"";
    else if (auto flag = dyn_cast<BoolAttr>(label); flag && !byWord)
      text = flag.getValue() ? "true" : "false";
    else
      return emitOpError() << "has the label " << label << ", but chooses by "
                           << (byWord ? "words" : "true and false");
    if (!given.insert(text).second) return emitOpError() << "has two regions for " << text;
    if (failed(verifyYield(*this, region, getResultTypes(), "its region " + text)))
      return failure();
  }
  SmallVector<std::string> wanted = {"true", "false"};
  if (byWord) {
    // A choice that is handed on as a value is checked when the model is expanded.
    auto config = getSelector().getDefiningOp<ConfigOp>();
    if (!config || !config.getChoices()) return success();
    wanted.clear();
    for (StringAttr choice : config.getChoices()->getAsRange<StringAttr>())
      wanted.push_back("\"" + choice.getValue().str() + "\"");
    for (StringRef text : given.keys())
      if (!llvm::is_contained(wanted, text))
        return emitOpError() << "has a region for " << text << ", which option '"
                             << config.getName() << "' doesn't allow; it allows "
                             << oneOf(*config.getChoices());
  }
  for (const std::string& text : wanted)
    if (!given.contains(text)) return emitOpError() << "has no region for " << text;
  return success();
}

Block::BlockArgListType RepeatOp::getCarried() {
  return getBody().getArguments().drop_front(hasIndex() ? 1 : 0);
}

void RepeatOp::getAsmBlockArgumentNames(Region& region, OpAsmSetValueNameFn setName) {
  if (hasIndex()) setName(region.getArgument(0), "i");
}

LogicalResult RepeatOp::verify() {
  if (failed(verifySizes(*this, getCountOperands(), getCount(), 1))) return failure();
  if (auto count = dyn_cast<AffineConstantExpr>(getCount().getResult(0));
      count && count.getValue() < 0)
    return emitOpError() << "can't repeat " << count.getValue() << " times";
  size_t numArguments = getBody().getNumArguments();
  if (numArguments != getInits().size() && numArguments != getInits().size() + 1)
    return emitOpError() << "carries " << getInits().size() << " values, but its body has "
                         << numArguments << " arguments";
  if (hasIndex() && !getBody().getArgument(0).getType().isIndex())
    return emitOpError() << "has a body whose first argument isn't an index";
  for (auto [index, argument, init] : llvm::enumerate(getCarried(), getInits()))
    if (argument.getType() != init.getType())
      return emitOpError() << "carries value #" << index << " of type " << init.getType()
                           << " in an argument of type " << argument.getType();
  if (getResultTypes() != getInits().getTypes())
    return emitOpError() << "must have the types of its carried values as result types";
  return verifyYield(*this, getBody(), getResultTypes(), "its body");
}

LogicalResult ApplyOp::verify() {
  if (getLayer().empty()) return emitOpError() << "needs the name of a layer";
  if (getOptionNames().size() != getOptionValues().size())
    return emitOpError() << "has " << getOptionValues().size() << " option values but "
                         << getOptionNames().size() << " names for them";
  llvm::StringSet<> given;
  for (NamedAttribute option : getOptions()) given.insert(option.getName());
  for (StringAttr name : getOptionNames().getAsRange<StringAttr>())
    if (!given.insert(name.getValue()).second)
      return emitOpError() << "has the option '" << name.getValue() << "' twice";
  return success();
}

//===----------------------------------------------------------------------===//
// weir.param, weir.state
//===----------------------------------------------------------------------===//

/// Checks name, sizes and initial value; `leading` dimensions of the type have no size of their
/// own.
template <typename Declaration>
static LogicalResult verifyDeclaration(Declaration op, int64_t leading) {
  if (op.getName().empty()) return op.emitOpError() << "needs a name";
  auto type = cast<RankedTensorType>(op.getType());
  if (type.getRank() < leading)
    return op.emitOpError() << "has the type " << type << ", but the batch comes first";
  if (failed(verifySizes(op, op.getSizeOperands(), op.getSizes(), type.getRank() - leading)))
    return failure();
  for (auto [index, size] : llvm::enumerate(op.getSizes().getResults())) {
    auto constant = dyn_cast<AffineConstantExpr>(size);
    int64_t declared = type.getDimSize(leading + index);
    if (constant && constant.getValue() <= 0)
      return op.emitOpError() << "has a size of " << constant.getValue();
    if (!ShapedType::isDynamic(declared) && (!constant || constant.getValue() != declared))
      return op.emitOpError() << "has the type " << type << ", but its size #" << index << " is "
                              << (constant ? std::to_string(constant.getValue())
                                           : "only known when the model is expanded");
  }
  if (op.getInitValue()) {
    if (!Initializer::takesValue(op.getInit()))
      return op.emitOpError() << "has an initial value that takes no number: '" << op.getInit()
                              << "'";
    return success();
  }
  std::string error;
  if (failed(Initializer::parse(op.getInit(), error))) return op.emitOpError() << error;
  return success();
}

LogicalResult ParamOp::verify() {
  if (!isa<FloatType>(cast<RankedTensorType>(getType()).getElementType()))
    return emitOpError() << "must hold floating-point numbers, not " << getType();
  return verifyDeclaration(*this, 0);
}

LogicalResult StateOp::verify() {
  if (failed(verifyDeclaration(*this, 1))) return failure();
  if (!cast<RankedTensorType>(getType()).isDynamicDim(0))
    return emitOpError() << "has the type " << getType()
                         << ", but its batch must be open (the first dimension '?')";
  StringRef kind = getInit().split('(').first;
  if (kind != "zeros" && kind != "ones" && kind != "constant")
    return emitOpError() << "must start as zeros, ones or constant(x), not '" << getInit() << "'";
  return success();
}

}  // namespace weir
