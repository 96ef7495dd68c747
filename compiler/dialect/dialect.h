// The dialect `weir` and the attributes and types that its families of ops share. The ops are in
// <family>_ops.h.

#ifndef WEIR_COMPILER_DIALECT_DIALECT_H_
#define WEIR_COMPILER_DIALECT_DIALECT_H_

#include "mlir/IR/Attributes.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/Types.h"

namespace weir {
// The names that upstream interfaces use unqualified in what they generate for our ops.
using mlir::FailureOr;
using mlir::OpBuilder;
using mlir::SmallVector;
using mlir::Value;
}  // namespace weir

#include "compiler/dialect/weir_dialect.h.inc"

#include "compiler/dialect/enums.h.inc"

#define GET_ATTRDEF_CLASSES
#include "compiler/dialect/attributes.h.inc"

#define GET_TYPEDEF_CLASSES
#include "compiler/dialect/types.h.inc"

namespace weir {
/// On an op that is a product, or becomes one: a TilesAttr.
inline constexpr llvm::StringLiteral kTilesAttr = "weir.tiles";
}  // namespace weir

#endif  // WEIR_COMPILER_DIALECT_DIALECT_H_
