// Elementary functions on vectors, without calls.

#ifndef WEIR_COMPILER_CONVERSION_CPU_MATH_EXPANSION_H_
#define WEIR_COMPILER_CONVERSION_CPU_MATH_EXPANSION_H_

#include "compiler/conversion/cpu/kernel_builder.h"
#include "mlir/Pass/Pass.h"

namespace weir {

/// On math.exp: its operand is known to be in [-87.3, 88.3], or nan.
constexpr llvm::StringLiteral kBounded = "weir.bounded";

/// On math.erf: what is meant is the gradient of GELU at the operand, Phi(x) + x phi(x).
constexpr llvm::StringLiteral kGeluGradient = "weir.gelu_gradient";

/// Puts one op (kGeluGradient) in place of the arithmetic of GELU's gradient in f32: erf and exp of
/// the same x take twice as long as the sum that is wanted.
void joinGeluGradients(mlir::Region& region);

/// Emits the value of the scalar math op `op` on `operands` (vectors), or returns null if the op
/// needs no expansion here. f32: exp to 0.9 ulp for results in [1.2e-38, 2.4e38], 0 below, clamped
/// above. log1p without cancellation for f32 and f64.
mlir::Value expandMath(KernelBuilder& b, mlir::Operation* op, mlir::ValueRange operands);

/// n, the integer nearest to x * factor, which the low bits of t hold too: rounding is by adding a
/// magic number.
struct Multiple {
  mlir::Value n, t;
};
Multiple nearestMultiple(KernelBuilder& b, mlir::Value x, double factor);

/// Whether there are tables for vectors of this type.
bool hasTables(mlir::Type type);
/// erf by polynomials of degree 5 on intervals around the multiples of 17/64, minimax of the
/// relative error, 1.5 ulp, with half the operations of a function without tables. From 65/16 on it
/// is 1.
mlir::Value erfByTable(KernelBuilder& b, mlir::Value x);
/// The gradient of GELU, with an absolute error of 1.3e-7, as erf and exp would have. From 6.09 on
/// it is 1, from -6.09 on 0.
mlir::Value geluGradientByTable(KernelBuilder& b, mlir::Value x);

/// Expands what expandMath left to the polynomials of MLIR (f32 tanh, log, erf, sin, cos, ...) and
/// bf16 conversions that the target has no instruction for. f64 functions stay and become calls of
/// libm.
std::unique_ptr<mlir::Pass> createExpandVectorMathPass(CpuTarget target);

}  // namespace weir

#endif  // WEIR_COMPILER_CONVERSION_CPU_MATH_EXPANSION_H_
