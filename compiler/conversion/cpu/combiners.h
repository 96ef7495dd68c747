// Ops that put the values of a reduction together.

#ifndef WEIR_COMPILER_CONVERSION_CPU_COMBINERS_H_
#define WEIR_COMPILER_CONVERSION_CPU_COMBINERS_H_

#include "compiler/conversion/cpu/kernel_builder.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

namespace weir {

/// The op that combines a reduction's values, if the region's result `i` is `op(argument, value)`
/// with a known op.
mlir::Operation* findCombiner(mlir::Block& block, unsigned numInputs, unsigned i);
/// The neutral element of a combiner; null if it has none.
mlir::TypedAttr neutralElement(mlir::Operation* combiner);
/// `x` and `y` combined, and how lanes of a vector are.
mlir::Value combine(KernelBuilder& b, mlir::Operation* combiner, mlir::Value x, mlir::Value y);
mlir::vector::CombiningKind combiningKind(mlir::Operation* combiner);

}  // namespace weir

#endif  // WEIR_COMPILER_CONVERSION_CPU_COMBINERS_H_
