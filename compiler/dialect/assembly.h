// Custom directives for types and numbers that several families' assembly formats share.

#ifndef WEIR_COMPILER_DIALECT_ASSEMBLY_H_
#define WEIR_COMPILER_DIALECT_ASSEMBLY_H_

#include "mlir/IR/OpImplementation.h"

namespace weir {

/// custom<SameOrOther>(type($x), type($result)): `T` where both types are equal, else `T -> U`.
mlir::ParseResult parseSameOrOther(mlir::OpAsmParser& parser, mlir::Type& first,
                                   mlir::Type& result);
void printSameOrOther(mlir::OpAsmPrinter& printer, mlir::Operation* op, mlir::Type first,
                      mlir::Type result);

/// custom<AllSame>(type($a), type($b), type($result)): `T` where all are equal, else `T, U -> V`.
mlir::ParseResult parseAllSame(mlir::OpAsmParser& parser, mlir::Type& a, mlir::Type& b,
                               mlir::Type& result);
void printAllSame(mlir::OpAsmPrinter& printer, mlir::Operation* op, mlir::Type a, mlir::Type b,
                  mlir::Type result);

/// custom<Number>($value): a floating-point number without a type.
mlir::ParseResult parseNumber(mlir::OpAsmParser& parser, mlir::FloatAttr& value);
void printNumber(mlir::OpAsmPrinter& printer, mlir::Operation* op, mlir::FloatAttr value);

/// custom<Epsilon>($eps): `eps(1.0e-5)`, or nothing for the default, which the op gives when it is
/// built.
mlir::ParseResult parseEpsilon(mlir::OpAsmParser& parser, mlir::FloatAttr& value);
void printEpsilon(mlir::OpAsmPrinter& printer, mlir::Operation* op, mlir::FloatAttr value);

/// custom<EachSame>(type($inputs), type($results)): the types of the inputs, which are those of the
/// results.
mlir::ParseResult parseEachSame(mlir::OpAsmParser& parser,
                                llvm::SmallVectorImpl<mlir::Type>& inputs,
                                llvm::SmallVectorImpl<mlir::Type>& results);
void printEachSame(mlir::OpAsmPrinter& printer, mlir::Operation* op, mlir::TypeRange inputs,
                   mlir::TypeRange results);

/// custom<KeywordSizes>("\"heads\"", $size_operands, $sizes): `heads [%h]`, or nothing.
mlir::ParseResult parseKeywordSizes(
    mlir::OpAsmParser& parser, llvm::StringRef keyword,
    llvm::SmallVectorImpl<mlir::OpAsmParser::UnresolvedOperand>& operands,
    mlir::AffineMapAttr& sizes);
void printKeywordSizes(mlir::OpAsmPrinter& printer, mlir::Operation* op, llvm::StringRef keyword,
                       mlir::ValueRange operands, mlir::AffineMapAttr sizes);

}  // namespace weir

#endif  // WEIR_COMPILER_DIALECT_ASSEMBLY_H_
