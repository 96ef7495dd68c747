// Scalar regions on vectors.
//
// The region of a linalg.generic or of a scan is scalar code. Emitters run it on one vector per
// value: every elementwise op is created again on vector<Wx..>, uniform values are splats (hoisted
// out of loops later), and transcendental functions are expanded (math_expansion.h), so that no
// scalar floating-point arithmetic is left in an inner loop.

#ifndef WEIR_COMPILER_CONVERSION_CPU_REGION_VECTORIZER_H_
#define WEIR_COMPILER_CONVERSION_CPU_REGION_VECTORIZER_H_

#include "compiler/conversion/cpu/kernel_builder.h"
#include "mlir/IR/IRMapping.h"

namespace weir {

/// Replaces ops of `region` that can expand themselves (AggregatedOpInterface) by their expansion
/// until none is left.
mlir::LogicalResult expandRegionOps(mlir::Region& region);

/// Emits the ops of `block` on vectors of `lanes` and returns the operands of its terminator.
/// `args` are the values of the block arguments (vectors of `lanes`); `captured` maps values from
/// outside to scalars; `index` gives the vector of values of an iteration dimension (for
/// linalg.index).
mlir::FailureOr<ValueList> vectorizeBlock(KernelBuilder& b, mlir::Block& block,
                                          mlir::ValueRange args, int64_t lanes,
                                          const mlir::IRMapping& captured,
                                          llvm::function_ref<mlir::Value(int64_t)> index = nullptr);

}  // namespace weir

#endif  // WEIR_COMPILER_CONVERSION_CPU_REGION_VECTORIZER_H_
