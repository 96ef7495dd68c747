// Elementary functions on vectors, without calls.

#ifndef WEIR_COMPILER_CONVERSION_CPU_MATH_EXPANSION_H_
#define WEIR_COMPILER_CONVERSION_CPU_MATH_EXPANSION_H_

#include "compiler/conversion/cpu/kernel_builder.h"
#include "mlir/Pass/Pass.h"

namespace weir {

/// On math.exp: its operand is known to be in [-87.3, 88.3], or nan.
constexpr llvm::StringLiteral kBounded = "weir.bounded";

/// Emits the value of the scalar math op `op` on `operands` (vectors), or returns null if the op
/// needs no expansion here. f32: exp to 0.9 ulp for results in [1.2e-38, 2.4e38], 0 below, clamped
/// above. log1p without cancellation for f32 and f64.
mlir::Value expandMath(KernelBuilder& b, mlir::Operation* op, mlir::ValueRange operands);

/// Expands what expandMath left to the polynomials of MLIR (f32 tanh, log, erf, sin, cos, ...) and
/// bf16 conversions that the target has no instruction for. f64 functions stay and become calls of
/// libm.
std::unique_ptr<mlir::Pass> createExpandVectorMathPass(CpuTarget target);

}  // namespace weir

#endif  // WEIR_COMPILER_CONVERSION_CPU_MATH_EXPANSION_H_
