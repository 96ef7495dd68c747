// Two pieces of assembly that many ops share, as custom directives: sizes, which are affine
// arithmetic on index values in square brackets, and initial values of parameters.
//
//   let assemblyFormat = [{ $input `,` $name custom<Sizes>($size_operands, $sizes)
//   custom<Init>($init) ... }];
//
//   %y = weir.linear %x, "in" [2 * %e + %s] init(normal(0.02)) : tensor<?x?x?xf32>

#ifndef WEIR_COMPILER_DIALECT_SIZES_H_
#define WEIR_COMPILER_DIALECT_SIZES_H_

#include <optional>
#include <string>

#include "llvm/ADT/SmallVector.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/OpImplementation.h"

namespace weir {

/// Parses `[` expressions `]`, or nothing at all, which gives a map without results.
mlir::ParseResult parseSizes(mlir::OpAsmParser& parser,
                             llvm::SmallVectorImpl<mlir::OpAsmParser::UnresolvedOperand>& operands,
                             mlir::AffineMapAttr& sizes);

/// Prints what parseSizes reads; a map without results prints nothing.
void printSizes(mlir::OpAsmPrinter& printer, mlir::Operation* op, mlir::ValueRange operands,
                mlir::AffineMapAttr sizes);

/// Checks that `sizes` has `numSizes` results and takes `operands`; reports on `op`.
mlir::LogicalResult verifySizes(mlir::Operation* op, mlir::ValueRange operands,
                                mlir::AffineMap sizes, int64_t numSizes);

/// How a parameter or state gets its first value. Text form: `zeros`, `ones`, `constant(x)`,
/// `normal(std)`, `uniform(bound)` (from -bound to bound), `linear` (uniform with bound 1 /
/// sqrt(fan in), the default of torch.nn.Linear).
struct Initializer {
  std::string kind;
  std::optional<double> value;

  /// Whether `kind` is known, and whether it takes a value.
  static bool isKnown(llvm::StringRef kind);
  static bool takesValue(llvm::StringRef kind);
  /// The known kinds, for messages.
  static llvm::StringRef knownKinds();
  /// Reads the text form; the error is a sentence.
  static mlir::FailureOr<Initializer> parse(llvm::StringRef text, std::string& error);
  /// The text form, with enough digits to give the same value back.
  std::string str() const;
};

/// Parses `init(` text form `)`, or nothing, which leaves `init` null.
mlir::ParseResult parseInit(mlir::OpAsmParser& parser, mlir::StringAttr& init);

/// Prints what parseInit reads.
void printInit(mlir::OpAsmPrinter& printer, mlir::Operation* op, mlir::StringAttr init);

/// As parseInit, but not optional, and the value may also be an SSA operand:
/// `init(uniform(%bound))` keeps the kind in `init`.
mlir::ParseResult parseInitWithOperand(mlir::OpAsmParser& parser,
                                       std::optional<mlir::OpAsmParser::UnresolvedOperand>& operand,
                                       mlir::StringAttr& init);

/// Prints what parseInitWithOperand reads; `operand` may be null.
void printInitWithOperand(mlir::OpAsmPrinter& printer, mlir::Operation* op, mlir::Value operand,
                          mlir::StringAttr init);

/// A number as text, with just enough digits to read back as the same double, and always with a
/// point.
std::string formatNumber(double value);

/// Prints an attribute as people write it: `0.1`, `256` and `[0.9, 0.99]` instead of 1.000000e-01,
/// 256 : i64 and so on.
void printPlain(mlir::OpAsmPrinter& printer, mlir::Attribute value);

}  // namespace weir

#endif  // WEIR_COMPILER_DIALECT_SIZES_H_
