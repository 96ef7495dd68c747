// What kind of work an op is, as fusion and dispatch see it: the predicates that more than one pass
// asks.

#ifndef WEIR_COMPILER_TRANSFORMS_OP_KINDS_H_
#define WEIR_COMPILER_TRANSFORMS_OP_KINDS_H_

#include <cstdint>

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/IR/Operation.h"

namespace weir {

/// An op that becomes a kernel of its own, whole: scans, recurrences, gathers and scatters, and
/// attention of the shapes that there is a kernel for.
bool isKernelRoot(mlir::Operation* op);

/// An op that may become a kernel of its own but has a decomposition into products, too.
bool isKernelOrProducts(mlir::Operation* op);

/// An op that only says where elements are: slices, reshapes, concatenations.
bool isView(mlir::Operation* op);

/// A product with accumulation: reduction loops, and a body that adds the product of two inputs to
/// the accumulator.
bool isContraction(mlir::linalg::GenericOp op);

/// All loops parallel.
bool isElementwise(mlir::linalg::GenericOp op);

/// A reduction over the outermost dimensions of everything it reads, such as the gradient of a
/// weight or a bias: no block of its inputs' rows is enough to finish any part of its result.
bool reducesOverRows(mlir::linalg::GenericOp op);

/// Whether a result of the body is its former value and a term, added as floats.
bool addsUp(mlir::linalg::GenericOp op, unsigned result);

/// Sums over rows whose results, one number a column, are small enough to stay in a cache while
/// rows pass by: what makes those rows can add them up.
bool isColumnSum(mlir::linalg::GenericOp op);

/// The body is conversions between types only (or nothing: a broadcast, a transposition).
bool isCastOnly(mlir::linalg::GenericOp op);

/// A body whose only result is rounded to a narrower type: its result is what lies in memory, so it
/// is not to be joined with what reads it.
bool roundsResult(mlir::linalg::GenericOp op);

/// Rough cost of evaluating the body once, in simple arithmetic operations; divisions and
/// transcendental functions count for several.
int64_t bodyCost(mlir::linalg::GenericOp op);

/// Iterations of all loops.
int64_t numPoints(mlir::linalg::GenericOp op);

/// Bytes of a tensor or scalar of this type, 0 for any other type.
int64_t byteSize(mlir::Type type);

}  // namespace weir

#endif  // WEIR_COMPILER_TRANSFORMS_OP_KINDS_H_
