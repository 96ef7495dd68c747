// Shorthand for elementwise arithmetic, on scalars and on tensors of one type.
//
//   ElementwiseBuilder e(b, loc);
//   Value y = e.mul(x, e.sigmoid(x));

#ifndef WEIR_COMPILER_DIALECT_ELEMENTWISE_BUILDER_H_
#define WEIR_COMPILER_DIALECT_ELEMENTWISE_BUILDER_H_

#include "mlir/IR/Builders.h"
#include "mlir/IR/TypeUtilities.h"
#include "mlir/IR/Value.h"

namespace weir {

class ElementwiseBuilder {
 public:
  ElementwiseBuilder(mlir::OpBuilder& builder, mlir::Location loc) : b(builder), loc(loc) {}

  mlir::OpBuilder& builder() { return b; }

  /// The number `value` in the type of `like` (a splat where that is a tensor or a vector).
  mlir::Value constant(double value, mlir::Type like);
  mlir::Value constantLike(double value, mlir::Value like) {
    return constant(value, like.getType());
  }
  mlir::Value integer(int64_t value, mlir::Type like);

  mlir::Value add(mlir::Value x, mlir::Value y);
  mlir::Value sub(mlir::Value x, mlir::Value y);
  mlir::Value mul(mlir::Value x, mlir::Value y);
  mlir::Value div(mlir::Value x, mlir::Value y);
  mlir::Value neg(mlir::Value x);
  mlir::Value abs(mlir::Value x);
  mlir::Value maximum(mlir::Value x, mlir::Value y);
  mlir::Value exp(mlir::Value x);
  mlir::Value log(mlir::Value x);
  mlir::Value log1p(mlir::Value x);
  mlir::Value erf(mlir::Value x);
  mlir::Value tanh(mlir::Value x);
  mlir::Value rsqrt(mlir::Value x);
  mlir::Value sqrt(mlir::Value x);
  mlir::Value sin(mlir::Value x);
  mlir::Value cos(mlir::Value x);
  mlir::Value roundEven(mlir::Value x);
  mlir::Value addIntegers(mlir::Value x, mlir::Value y);
  mlir::Value subIntegers(mlir::Value x, mlir::Value y);
  mlir::Value mulIntegers(mlir::Value x, mlir::Value y);
  /// Of signed integers, rounded towards zero, and what that leaves.
  mlir::Value divIntegers(mlir::Value x, mlir::Value y);
  mlir::Value remIntegers(mlir::Value x, mlir::Value y);
  mlir::Value minIntegers(mlir::Value x, mlir::Value y);
  mlir::Value maxIntegers(mlir::Value x, mlir::Value y);
  /// The low bits of an integer, as an integer of a narrower type.
  mlir::Value narrowInteger(mlir::Value x, mlir::Type type);
  mlir::Value sigmoid(mlir::Value x);
  mlir::Value softplus(mlir::Value x);
  /// x >= 0 ? positive : negative.
  mlir::Value selectNonNegative(mlir::Value x, mlir::Value positive, mlir::Value negative);
  /// x > 0 ? positive : other.
  mlir::Value selectPositive(mlir::Value x, mlir::Value positive, mlir::Value other);
  /// x == y of integers, x >= y of integers, x >= y of numbers: an i1.
  mlir::Value equal(mlir::Value x, mlir::Value y);
  mlir::Value atLeast(mlir::Value x, mlir::Value y);
  mlir::Value select(mlir::Value condition, mlir::Value x, mlir::Value y);
  mlir::Value logicalAnd(mlir::Value x, mlir::Value y);
  /// In the body of a linalg.generic: the position along a dimension, as an integer of `type`.
  mlir::Value index(unsigned dim, mlir::Type type);
  /// A signed integer as a floating-point number.
  mlir::Value toFloat(mlir::Value integer, mlir::Type type);
  /// A whole number in floating point as a signed integer.
  mlir::Value toInteger(mlir::Value number, mlir::Type type);
  /// Extends or truncates a floating-point scalar to `type`; nothing where it has that type.
  mlir::Value cast(mlir::Value x, mlir::Type type);

  /// `name` is one of none, sigmoid, silu, gelu, gelu_tanh, relu, relu_squared, tanh, softplus;
  /// null for any other.
  mlir::Value activation(llvm::StringRef name, mlir::Value x);
  static bool isActivation(llvm::StringRef name);

 private:
  mlir::OpBuilder& b;
  mlir::Location loc;
};

}  // namespace weir

#endif  // WEIR_COMPILER_DIALECT_ELEMENTWISE_BUILDER_H_
