// How the ops of the model level are written and read, where a declarative format can't say it.

#include "compiler/dialect/model_ops.h"
#include "compiler/dialect/sizes.h"
#include "llvm/ADT/StringExtras.h"
#include "mlir/IR/Builders.h"

using namespace mlir;

namespace weir {

using UnresolvedOperand = OpAsmParser::UnresolvedOperand;

//===----------------------------------------------------------------------===//
// weir.layer @name(%x: type, ...) -> types attributes {...} { body }
//===----------------------------------------------------------------------===//

static ParseResult parseDefinition(OpAsmParser& parser, OperationState& result,
                                   StringAttr functionTypeName, StringAttr argNamesName,
                                   StringAttr symbolName) {
  Builder& builder = parser.getBuilder();
  StringAttr name;
  if (parser.parseSymbolName(name)) return failure();
  result.addAttribute(symbolName, name);
  SmallVector<OpAsmParser::Argument> arguments;
  SmallVector<Type> results;
  if (parser.parseArgumentList(arguments, OpAsmParser::Delimiter::Paren, /*allowType=*/true) ||
      parser.parseOptionalArrowTypeList(results) ||
      parser.parseOptionalAttrDictWithKeyword(result.attributes))
    return failure();
  SmallVector<Type> types;
  SmallVector<Attribute> names;
  for (OpAsmParser::Argument& argument : arguments) {
    types.push_back(argument.type);
    StringRef text = argument.ssaName.name.drop_front();
    names.push_back(
        builder.getStringAttr((llvm::isDigit(text.front()) ? "arg" + text : Twine(text))));
  }
  result.addAttribute(functionTypeName, TypeAttr::get(builder.getFunctionType(types, results)));
  result.addAttribute(argNamesName, builder.getArrayAttr(names));
  return parser.parseRegion(*result.addRegion(), arguments);
}

template <typename Definition>
static void printDefinition(OpAsmPrinter& printer, Definition op) {
  printer << " ";
  printer.printSymbolName(op.getSymName());
  printer << "(";
  llvm::interleaveComma(op.getBody().getArguments(), printer,
                        [&](BlockArgument argument) { printer.printRegionArgument(argument); });
  printer << ")";
  printer.printOptionalArrowTypeList(op.getFunctionType().getResults());
  printer.printOptionalAttrDictWithKeyword(
      op->getAttrs(),
      {op.getSymNameAttrName(), op.getFunctionTypeAttrName(), op.getArgNamesAttrName()});
  printer << " ";
  printer.printRegion(op.getBody(), /*printEntryBlockArgs=*/false);
}

ParseResult LayerOp::parse(OpAsmParser& parser, OperationState& result) {
  return parseDefinition(parser, result, getFunctionTypeAttrName(result.name),
                         getArgNamesAttrName(result.name), getSymNameAttrName(result.name));
}

void LayerOp::print(OpAsmPrinter& printer) { printDefinition(printer, *this); }

ParseResult ModelOp::parse(OpAsmParser& parser, OperationState& result) {
  return parseDefinition(parser, result, getFunctionTypeAttrName(result.name),
                         getArgNamesAttrName(result.name), getSymNameAttrName(result.name));
}

void ModelOp::print(OpAsmPrinter& printer) { printDefinition(printer, *this); }

//===----------------------------------------------------------------------===//
// weir.return %a, %b, state("h" = %last : type) : types
//===----------------------------------------------------------------------===//

ParseResult ReturnOp::parse(OpAsmParser& parser, OperationState& result) {
  SmallVector<UnresolvedOperand> outputs, states;
  SmallVector<Type> outputTypes, stateTypes;
  SmallVector<Attribute> names;
  auto parseStates = [&]() -> ParseResult {
    return parser.parseCommaSeparatedList(OpAsmParser::Delimiter::Paren, [&] {
      std::string name;
      if (parser.parseString(&name) || parser.parseEqual() ||
          parser.parseOperand(states.emplace_back()) ||
          parser.parseColonType(stateTypes.emplace_back()))
        return failure();
      names.push_back(parser.getBuilder().getStringAttr(name));
      return success();
    });
  };
  bool more = true;
  while (more) {
    if (succeeded(parser.parseOptionalKeyword("state"))) {
      if (parseStates()) return failure();
      break;
    }
    UnresolvedOperand output;
    OptionalParseResult parsed = parser.parseOptionalOperand(output);
    if (!parsed.has_value()) {
      if (outputs.empty()) break;
      return parser.emitError(parser.getCurrentLocation(), "expected a value or 'state(...)'");
    }
    if (failed(*parsed)) return failure();
    outputs.push_back(output);
    more = succeeded(parser.parseOptionalComma());
  }
  SMLoc loc = parser.getCurrentLocation();
  if (parser.parseOptionalAttrDict(result.attributes)) return failure();
  if (!outputs.empty() && parser.parseColonTypeList(outputTypes)) return failure();
  if (parser.resolveOperands(outputs, outputTypes, loc, result.operands) ||
      parser.resolveOperands(states, stateTypes, loc, result.operands))
    return failure();
  Properties& properties = result.getOrAddProperties<Properties>();
  properties.state_names = parser.getBuilder().getArrayAttr(names);
  properties.operandSegmentSizes = {static_cast<int32_t>(outputs.size()),
                                    static_cast<int32_t>(states.size())};
  return success();
}

void ReturnOp::print(OpAsmPrinter& printer) {
  if (!getOutputs().empty()) printer << " " << getOutputs();
  if (!getStates().empty()) {
    printer << (getOutputs().empty() ? " " : ", ") << "state(";
    llvm::interleaveComma(llvm::zip(getStateNames().getAsRange<StringAttr>(), getStates()), printer,
                          [&](auto pair) {
                            auto [name, value] = pair;
                            printer << name << " = " << value << " : " << value.getType();
                          });
    printer << ")";
  }
  printer.printOptionalAttrDict((*this)->getAttrs(),
                                {getStateNamesAttrName(), getOperandSegmentSizesAttrName()});
  if (!getOutputs().empty()) printer << " : " << getOutputs().getTypes();
}

//===----------------------------------------------------------------------===//
// weir.config "name" default value [: type] | default [size] : index | default "word" oneof [...]
//===----------------------------------------------------------------------===//

ParseResult ConfigOp::parse(OpAsmParser& parser, OperationState& result) {
  Builder& builder = parser.getBuilder();
  Properties& properties = result.getOrAddProperties<Properties>();
  std::string name;
  if (parser.parseString(&name) || parser.parseKeyword("default")) return failure();
  properties.name = builder.getStringAttr(name);
  Type type;
  SMLoc loc = parser.getCurrentLocation();
  if (succeeded(parser.parseOptionalLSquare())) {
    SmallVector<UnresolvedOperand> operands;
    Attribute map;
    NamedAttrList ignored;
    if (parser.parseAffineMapOfSSAIds(operands, map, "size", ignored,
                                      OpAsmParser::Delimiter::None) ||
        parser.parseRSquare() ||
        parser.resolveOperands(operands, builder.getIndexType(), result.operands))
      return failure();
    properties.default_size = cast<AffineMapAttr>(map);
    type = builder.getIndexType();
  } else {
    Attribute value;
    if (parser.parseAttribute(value)) return failure();
    if (isa<BoolAttr>(value)) {
      type = builder.getI1Type();
    } else if (auto number = dyn_cast<IntegerAttr>(value)) {
      if (!number.getType().isIndex() && !number.getType().isInteger(64))
        return parser.emitError(loc)
               << "a whole number as a default is an index, not a " << number.getType();
      value = builder.getIndexAttr(number.getInt());
      type = builder.getIndexType();
    } else if (auto number = dyn_cast<FloatAttr>(value)) {
      if (!number.getType().isF64())
        return parser.emitError(loc)
               << "a number with a point as a default is an f64, not a " << number.getType();
      type = builder.getF64Type();
    } else if (isa<StringAttr>(value)) {
      type = ChoiceType::get(parser.getContext());
      ArrayAttr choices;
      if (parser.parseKeyword("oneof", " and the words that the option allows")) return failure();
      loc = parser.getCurrentLocation();
      if (parser.parseAttribute(choices)) return failure();
      if (!llvm::all_of(choices, llvm::IsaPred<StringAttr>))
        return parser.emitError(loc, "expected a list of words");
      properties.choices = choices;
    } else {
      return parser.emitError(loc) << "expected a default: a number, true, false, a word, or a "
                                      "size in brackets";
    }
    properties.default_value = value;
  }
  loc = parser.getCurrentLocation();
  if (succeeded(parser.parseOptionalColon())) {
    Type written;
    if (parser.parseType(written)) return failure();
    if (written != type)
      return parser.emitError(loc)
             << "the default says that option '" << name << "' is " << type << ", not " << written;
  }
  result.addTypes(type);
  return parser.parseOptionalAttrDict(result.attributes);
}

void ConfigOp::print(OpAsmPrinter& printer) {
  printer << " " << getNameAttr() << " default ";
  if (getDefaultSize()) {
    printer << "[";
    printer.printAffineMapOfSSAIds(getDefaultSizeAttr(), getSizeOperands());
    printer << "] : index";
  } else if (auto number = dyn_cast<FloatAttr>(*getDefaultValue())) {
    printer << formatNumber(number.getValueAsDouble()) << " : f64";
  } else {
    printer.printAttribute(*getDefaultValue());
  }
  if (getChoices()) printer << " oneof " << *getChoices();
  printer.printOptionalAttrDict(
      (*this)->getAttrs(), {getNameAttrName(), getDefaultValueAttrName(), getDefaultSizeAttrName(),
                            getChoicesAttrName()});
}

//===----------------------------------------------------------------------===//
// weir.case %kind : types "word" { ... } ... | true { ... } false { ... }
//===----------------------------------------------------------------------===//

ParseResult CaseOp::parse(OpAsmParser& parser, OperationState& result) {
  Builder& builder = parser.getBuilder();
  UnresolvedOperand selector;
  if (parser.parseOperand(selector) || parser.parseOptionalColonTypeList(result.types))
    return failure();
  SmallVector<Attribute> labels;
  while (true) {
    std::string word;
    StringRef keyword;
    if (succeeded(parser.parseOptionalString(&word)))
      labels.push_back(builder.getStringAttr(word));
    else if (succeeded(parser.parseOptionalKeyword(&keyword, {"true", "false"})))
      labels.push_back(builder.getBoolAttr(keyword == "true"));
    else
      break;
    if (parser.parseRegion(*result.addRegion())) return failure();
  }
  if (labels.empty())
    return parser.emitError(parser.getCurrentLocation(),
                            "expected a region with its label: a word, true or false");
  Type type = isa<BoolAttr>(labels.front()) ? Type(builder.getI1Type())
                                            : Type(ChoiceType::get(parser.getContext()));
  result.getOrAddProperties<Properties>().labels = builder.getArrayAttr(labels);
  return failure(parser.resolveOperand(selector, type, result.operands) ||
                 parser.parseOptionalAttrDict(result.attributes));
}

void CaseOp::print(OpAsmPrinter& printer) {
  printer << " " << getSelector();
  if (getNumResults()) printer << " : " << getResultTypes();
  printer.increaseIndent();
  for (auto [label, region] : llvm::zip(getLabels(), getCases())) {
    printer.printNewline();
    if (auto flag = dyn_cast<BoolAttr>(label))
      printer << (flag.getValue() ? "true " : "false ");
    else
      printer << label << " ";
    printer.printRegion(region);
  }
  printer.decreaseIndent();
  printer.printOptionalAttrDict((*this)->getAttrs(), {getLabelsAttrName()});
}

//===----------------------------------------------------------------------===//
// weir.repeat count [as "name"] [index %i] (%r = %x, ...) : types { ... }
//===----------------------------------------------------------------------===//

ParseResult RepeatOp::parse(OpAsmParser& parser, OperationState& result) {
  Builder& builder = parser.getBuilder();
  Properties& properties = result.getOrAddProperties<Properties>();
  SmallVector<UnresolvedOperand> countOperands;
  AffineMap count;
  int64_t number;
  OptionalParseResult literal = parser.parseOptionalInteger(number);
  if (literal.has_value()) {
    if (failed(*literal)) return failure();
    count = AffineMap::getConstantMap(number, parser.getContext());
  } else {
    UnresolvedOperand operand;
    OptionalParseResult value = parser.parseOptionalOperand(operand);
    if (value.has_value()) {
      if (failed(*value)) return failure();
      countOperands.push_back(operand);
      count = AffineMap::getMultiDimIdentityMap(1, parser.getContext());
    } else {
      Attribute map;
      NamedAttrList ignored;
      if (parser.parseAffineMapOfSSAIds(countOperands, map, "count", ignored)) return failure();
      count = cast<AffineMapAttr>(map).getValue();
    }
  }
  properties.count = AffineMapAttr::get(count);
  if (succeeded(parser.parseOptionalKeyword("as"))) {
    std::string name;
    if (parser.parseString(&name)) return failure();
    properties.instance = builder.getStringAttr(name);
  }
  SmallVector<OpAsmParser::Argument> arguments;
  if (succeeded(parser.parseOptionalKeyword("index"))) {
    if (parser.parseArgument(arguments.emplace_back())) return failure();
    arguments.back().type = builder.getIndexType();
  }
  SmallVector<OpAsmParser::Argument> carried;
  SmallVector<UnresolvedOperand> inits;
  SMLoc loc = parser.getCurrentLocation();
  if (parser.parseAssignmentList(carried, inits) || parser.parseOptionalColonTypeList(result.types))
    return failure();
  if (result.types.size() != carried.size())
    return parser.emitError(loc) << carried.size() << " values are carried, but "
                                 << result.types.size() << " types are given";
  for (auto [argument, type] : llvm::zip(carried, result.types)) argument.type = type;
  arguments.append(carried);
  if (parser.resolveOperands(countOperands, builder.getIndexType(), result.operands) ||
      parser.resolveOperands(inits, result.types, loc, result.operands))
    return failure();
  properties.operandSegmentSizes = {static_cast<int32_t>(countOperands.size()),
                                    static_cast<int32_t>(inits.size())};
  return failure(parser.parseRegion(*result.addRegion(), arguments) ||
                 parser.parseOptionalAttrDict(result.attributes));
}

void RepeatOp::print(OpAsmPrinter& printer) {
  printer << " ";
  if (auto literal = dyn_cast<AffineConstantExpr>(getCount().getResult(0))) {
    printer << literal.getValue();
  } else {
    printer << "[";
    printer.printAffineMapOfSSAIds(getCountAttr(), getCountOperands());
    printer << "]";
  }
  if (getInstance()) printer << " as " << getInstanceAttr();
  if (hasIndex()) {
    printer << " index ";
    printer.printRegionArgument(getBody().getArgument(0), {}, /*omitType=*/true);
  }
  printer << " (";
  llvm::interleaveComma(llvm::zip(getCarried(), getInits()), printer, [&](auto pair) {
    printer.printRegionArgument(std::get<0>(pair), {}, /*omitType=*/true);
    printer << " = " << std::get<1>(pair);
  });
  printer << ")";
  if (getNumResults()) printer << " : " << getResultTypes();
  printer << " ";
  printer.printRegion(getBody(), /*printEntryBlockArgs=*/false);
  printer.printOptionalAttrDict((*this)->getAttrs(), {getCountAttrName(), getInstanceAttrName(),
                                                      getOperandSegmentSizesAttrName()});
}

//===----------------------------------------------------------------------===//
// weir.apply "layer"(%x, ...) {option = constant, option = %value : type} [as "name"] : types
//===----------------------------------------------------------------------===//

ParseResult ApplyOp::parse(OpAsmParser& parser, OperationState& result) {
  Builder& builder = parser.getBuilder();
  Properties& properties = result.getOrAddProperties<Properties>();
  std::string layer;
  SmallVector<UnresolvedOperand> inputs, values;
  SmallVector<Type> valueTypes;
  SmallVector<Attribute> names;
  NamedAttrList options;
  if (parser.parseString(&layer) || parser.parseOperandList(inputs, OpAsmParser::Delimiter::Paren))
    return failure();
  SMLoc loc = parser.getCurrentLocation();
  auto parseOption = [&]() -> ParseResult {
    SMLoc nameLoc = parser.getCurrentLocation();
    std::string name;
    if (parser.parseKeywordOrString(&name) || parser.parseEqual()) return failure();
    UnresolvedOperand value;
    OptionalParseResult parsed = parser.parseOptionalOperand(value);
    if (parsed.has_value()) {
      Type type = builder.getIndexType();
      if (failed(*parsed)) return failure();
      if (succeeded(parser.parseOptionalColon()) && parser.parseType(type)) return failure();
      values.push_back(value);
      valueTypes.push_back(type);
      names.push_back(builder.getStringAttr(name));
      return success();
    }
    Attribute constant;
    if (parser.parseAttribute(constant)) return failure();
    if (options.get(name)) return parser.emitError(nameLoc) << "option '" << name << "' twice";
    options.append(name, constant);
    return success();
  };
  if (parser.parseCommaSeparatedList(OpAsmParser::Delimiter::OptionalBraces, parseOption))
    return failure();
  if (succeeded(parser.parseOptionalKeyword("as"))) {
    std::string name;
    if (parser.parseString(&name)) return failure();
    properties.instance = builder.getStringAttr(name);
  }
  Type type;
  if (parser.parseColonType(type)) return failure();
  SmallVector<Type> inputTypes(inputs.size(), type);
  if (auto function = dyn_cast<FunctionType>(type)) {
    inputTypes.assign(function.getInputs().begin(), function.getInputs().end());
    result.addTypes(function.getResults());
  } else {
    result.addTypes(type);
  }
  if (parser.resolveOperands(inputs, inputTypes, loc, result.operands) ||
      parser.resolveOperands(values, valueTypes, loc, result.operands))
    return failure();
  properties.layer = builder.getStringAttr(layer);
  properties.options = options.getDictionary(parser.getContext());
  properties.option_names = builder.getArrayAttr(names);
  properties.operandSegmentSizes = {static_cast<int32_t>(inputs.size()),
                                    static_cast<int32_t>(values.size())};
  return parser.parseOptionalAttrDict(result.attributes);
}

void ApplyOp::print(OpAsmPrinter& printer) {
  printer << " " << getLayerAttr() << "(" << getInputs() << ")";
  if (!getOptions().empty() || !getOptionValues().empty()) {
    printer << " {";
    llvm::interleaveComma(getOptions(), printer, [&](NamedAttribute option) {
      printer.printKeywordOrString(option.getName());
      printer << " = ";
      printPlain(printer, option.getValue());
    });
    if (!getOptions().empty() && !getOptionValues().empty()) printer << ", ";
    llvm::interleaveComma(llvm::zip(getOptionNames().getAsRange<StringAttr>(), getOptionValues()),
                          printer, [&](auto pair) {
                            auto [name, value] = pair;
                            printer.printKeywordOrString(name.getValue());
                            printer << " = " << value;
                            if (!value.getType().isIndex()) printer << " : " << value.getType();
                          });
    printer << "}";
  }
  if (getInstance()) printer << " as " << getInstanceAttr();
  printer << " : ";
  if (getNumResults() == 1 &&
      llvm::all_equal(llvm::concat<const Type>(SmallVector<Type>(getInputs().getTypes()),
                                               SmallVector<Type>(getResultTypes()))))
    printer << getResultTypes().front();
  else
    printer.printFunctionalType(getInputs().getTypes(), getResultTypes());
  printer.printOptionalAttrDict((*this)->getAttrs(),
                                {getLayerAttrName(), getOptionNamesAttrName(), getOptionsAttrName(),
                                 getInstanceAttrName(), getOperandSegmentSizesAttrName()});
}

}  // namespace weir
