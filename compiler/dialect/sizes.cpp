#include "compiler/dialect/sizes.h"

#include <cstdio>
#include <cstdlib>

#include "mlir/IR/Builders.h"

using namespace mlir;

namespace weir {

ParseResult parseSizes(OpAsmParser& parser,
                       SmallVectorImpl<OpAsmParser::UnresolvedOperand>& operands,
                       AffineMapAttr& sizes) {
  Attribute map;
  NamedAttrList ignored;
  if (parser.parseAffineMapOfSSAIds(operands, map, "sizes", ignored,
                                    OpAsmParser::Delimiter::OptionalSquare))
    return failure();
  sizes = dyn_cast_or_null<AffineMapAttr>(map);
  if (!sizes) sizes = AffineMapAttr::get(AffineMap::get(parser.getContext()));
  return success();
}

void printSizes(OpAsmPrinter& printer, Operation*, ValueRange operands, AffineMapAttr sizes) {
  if (!sizes || sizes.getValue().getNumResults() == 0) return;
  printer << "[";
  printer.printAffineMapOfSSAIds(sizes, operands);
  printer << "]";
}

LogicalResult verifySizes(Operation* op, ValueRange operands, AffineMap sizes, int64_t numSizes) {
  if (static_cast<int64_t>(sizes.getNumResults()) != numSizes)
    return op->emitOpError() << "needs " << numSizes << " size" << (numSizes == 1 ? "" : "s")
                             << " in brackets, but has " << sizes.getNumResults();
  if (sizes.getNumInputs() != operands.size())
    return op->emitOpError() << "has sizes over " << sizes.getNumInputs() << " values, but "
                             << operands.size() << " size operands";
  return success();
}

bool Initializer::takesValue(StringRef kind) {
  return kind == "constant" || kind == "normal" || kind == "uniform";
}

bool Initializer::isKnown(StringRef kind) {
  return takesValue(kind) || kind == "zeros" || kind == "ones" || kind == "linear";
}

StringRef Initializer::knownKinds() {
  return "zeros, ones, constant(x), normal(std), uniform(bound), linear";
}

static std::string unknownKind(StringRef kind) {
  return "unknown initializer '" + kind.str() + "'; known are " + Initializer::knownKinds().str();
}

static std::string wrongValue(StringRef kind) {
  return "initializer '" + kind.str() + "' takes " +
         (Initializer::takesValue(kind) ? "a number in parentheses" : "no value");
}

FailureOr<Initializer> Initializer::parse(StringRef text, std::string& error) {
  Initializer result;
  auto [kind, rest] = text.split('(');
  result.kind = kind.trim().str();
  if (!isKnown(result.kind)) {
    error = unknownKind(result.kind);
    return failure();
  }
  if (kind.size() != text.size()) {
    double value;
    if (!rest.consume_back(")") || rest.trim().getAsDouble(value)) {
      error = "initializer '" + text.str() + "' is malformed";
      return failure();
    }
    result.value = value;
  }
  if (result.value.has_value() != takesValue(result.kind)) {
    error = wrongValue(result.kind);
    return failure();
  }
  return result;
}

std::string formatNumber(double value) {
  char text[40];
  for (int digits = 1; digits <= 17; ++digits) {
    std::snprintf(text, sizeof text, "%.*g", digits, value);
    if (std::strtod(text, nullptr) == value) break;
  }
  // MLIR's lexer wants a point in every float, before the exponent.
  std::string result = text;
  if (result.find_first_of(".in") == std::string::npos) {
    size_t exponent = result.find('e');
    result.insert(exponent == std::string::npos ? result.size() : exponent, ".0");
  }
  return result;
}

std::string Initializer::str() const {
  return value ? kind + "(" + formatNumber(*value) + ")" : kind;
}

/// The part inside `init(...)`; `operand` is null where an SSA value isn't allowed.
static ParseResult parseInitBody(OpAsmParser& parser,
                                 std::optional<OpAsmParser::UnresolvedOperand>* operand,
                                 StringAttr& init) {
  if (parser.parseLParen()) return failure();
  SMLoc loc = parser.getCurrentLocation();
  std::string kind;
  if (parser.parseKeywordOrString(&kind)) return failure();
  if (!Initializer::isKnown(kind)) return parser.emitError(loc) << unknownKind(kind);
  Initializer initializer{kind, std::nullopt};
  bool hasOperand = false;
  if (succeeded(parser.parseOptionalLParen())) {
    OptionalParseResult parsedOperand;
    OpAsmParser::UnresolvedOperand value;
    if (operand) parsedOperand = parser.parseOptionalOperand(value);
    if (parsedOperand.has_value()) {
      if (failed(*parsedOperand)) return failure();
      *operand = value;
      hasOperand = true;
    } else {
      Attribute attribute;
      if (parser.parseAttribute(attribute)) return failure();
      if (auto number = dyn_cast<FloatAttr>(attribute))
        initializer.value = number.getValueAsDouble();
      else if (auto number = dyn_cast<IntegerAttr>(attribute); number && !isa<BoolAttr>(attribute))
        initializer.value = static_cast<double>(number.getInt());
      else
        return parser.emitError(loc) << wrongValue(kind);
    }
    if (parser.parseRParen()) return failure();
  }
  if ((initializer.value.has_value() || hasOperand) != Initializer::takesValue(kind))
    return parser.emitError(loc) << wrongValue(kind);
  if (parser.parseRParen()) return failure();
  init = parser.getBuilder().getStringAttr(initializer.str());
  return success();
}

ParseResult parseInit(OpAsmParser& parser, StringAttr& init) {
  if (failed(parser.parseOptionalKeyword("init"))) return success();
  return parseInitBody(parser, nullptr, init);
}

void printInit(OpAsmPrinter& printer, Operation*, StringAttr init) {
  if (init) printer << "init(" << init.getValue() << ")";
}

ParseResult parseInitWithOperand(OpAsmParser& parser,
                                 std::optional<OpAsmParser::UnresolvedOperand>& operand,
                                 StringAttr& init) {
  if (parser.parseKeyword("init")) return failure();
  return parseInitBody(parser, &operand, init);
}

void printInitWithOperand(OpAsmPrinter& printer, Operation* op, Value operand, StringAttr init) {
  if (!operand) return printInit(printer, op, init);
  printer << "init(" << init.getValue() << "(" << operand << "))";
}

void printPlain(OpAsmPrinter& printer, Attribute value) {
  auto real = dyn_cast<FloatAttr>(value);
  auto whole = dyn_cast<IntegerAttr>(value);
  if (real && real.getType().isF64() && real.getValue().isFinite()) {
    printer << formatNumber(real.getValueAsDouble());
  } else if (whole && whole.getType().isSignlessInteger(64)) {
    printer << whole.getInt();
  } else if (auto array = dyn_cast<ArrayAttr>(value)) {
    printer << "[";
    llvm::interleaveComma(array, printer, [&](Attribute each) { printPlain(printer, each); });
    printer << "]";
  } else {
    printer.printAttribute(value);
  }
}

}  // namespace weir
