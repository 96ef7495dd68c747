#include "compiler/dialect/assembly.h"

#include "compiler/dialect/sizes.h"
#include "mlir/IR/Builders.h"

namespace weir {
using namespace mlir;

ParseResult parseSameOrOther(OpAsmParser& parser, Type& first, Type& result) {
  if (parser.parseType(first)) return failure();
  result = first;
  return succeeded(parser.parseOptionalArrow()) ? parser.parseType(result) : ParseResult(success());
}

void printSameOrOther(OpAsmPrinter& printer, Operation*, Type first, Type result) {
  printer << first;
  if (result != first) printer << " -> " << result;
}

ParseResult parseAllSame(OpAsmParser& parser, Type& a, Type& b, Type& result) {
  if (parser.parseType(a)) return failure();
  b = result = a;
  if (failed(parser.parseOptionalComma())) return success();
  return failure(parser.parseType(b) || parser.parseArrow() || parser.parseType(result));
}

void printAllSame(OpAsmPrinter& printer, Operation*, Type a, Type b, Type result) {
  printer << a;
  if (a != b || a != result) printer << ", " << b << " -> " << result;
}

ParseResult parseNumber(OpAsmParser& parser, FloatAttr& value) {
  double number;
  if (parser.parseFloat(number)) return failure();
  value = parser.getBuilder().getF64FloatAttr(number);
  return success();
}

void printNumber(OpAsmPrinter& printer, Operation*, FloatAttr value) {
  printer << formatNumber(value.getValueAsDouble());
}

ParseResult parseEpsilon(OpAsmParser& parser, FloatAttr& value) {
  if (failed(parser.parseOptionalKeyword("eps"))) return success();
  return failure(parser.parseLParen() || parseNumber(parser, value) || parser.parseRParen());
}

void printEpsilon(OpAsmPrinter& printer, Operation* op, FloatAttr value) {
  if (!value) return;
  printer << "eps(";
  printNumber(printer, op, value);
  printer << ")";
}

ParseResult parseEachSame(OpAsmParser& parser, SmallVectorImpl<Type>& inputs,
                          SmallVectorImpl<Type>& results) {
  if (parser.parseTypeList(inputs)) return failure();
  results.assign(inputs.begin(), inputs.end());
  return success();
}

void printEachSame(OpAsmPrinter& printer, Operation*, TypeRange inputs, TypeRange) {
  llvm::interleaveComma(inputs, printer);
}

ParseResult parseKeywordSizes(OpAsmParser& parser, StringRef keyword,
                              SmallVectorImpl<OpAsmParser::UnresolvedOperand>& operands,
                              AffineMapAttr& sizes) {
  if (succeeded(parser.parseOptionalKeyword(keyword))) return parseSizes(parser, operands, sizes);
  sizes = AffineMapAttr::get(AffineMap::get(parser.getContext()));
  return success();
}

void printKeywordSizes(OpAsmPrinter& printer, Operation* op, StringRef keyword, ValueRange operands,
                       AffineMapAttr sizes) {
  if (!sizes || sizes.getValue().getNumResults() == 0) return;
  printer << " " << keyword << " ";
  printSizes(printer, op, operands, sizes);
}

}  // namespace weir
