// Costs as polynomials in the batch size B and the length T of the sequence.
//
//   Polynomial p = Polynomial::batch() * Polynomial::length() * 2.0;   // 2 B T
//   p.degreeInLength();                                                // 1
//   p.evaluate(/*batch=*/8, /*length=*/1024);                          // 16384

#ifndef WEIR_COMPILER_DIALECT_COST_H_
#define WEIR_COMPILER_DIALECT_COST_H_

#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "llvm/ADT/ArrayRef.h"
#include "mlir/IR/BuiltinTypes.h"

namespace weir {

/// A polynomial in B and T with non-negative exponents.
class Polynomial {
 public:
  Polynomial(double constant = 0);  // NOLINT: a number is a polynomial
  static Polynomial batch();
  static Polynomial length();

  Polynomial operator+(const Polynomial& other) const;
  Polynomial operator*(const Polynomial& other) const;
  Polynomial& operator+=(const Polynomial& other) { return *this = *this + other; }

  /// The largest exponent of T; 0 for a constant.
  int degreeInLength() const;
  double evaluate(double batch, double length) const;
  /// Such as "12 B T + 3 T^2".
  std::string str() const;
  bool isZero() const { return terms.empty(); }

 private:
  /// (exponent of B, exponent of T) -> coefficient.
  std::map<std::pair<int, int>, double> terms;
};

/// What an op needs: see CostOpInterface.
struct Cost {
  Polynomial flops, bytes, stateBytes;
  /// The operations of matrix products; under a causal mask those of the pairs that it lets
  /// through, which may be fewer than `flops` has.
  Polynomial products;
};

/// The number of elements of a type, where dimension 0 is the batch and dimension 1 the time if
/// they are dynamic.
Polynomial elementCount(mlir::Type type);

/// The bytes of a type at 4 bytes for a floating-point element (the compute type) and its own width
/// else.
Polynomial byteCount(mlir::Type type);

}  // namespace weir

#endif  // WEIR_COMPILER_DIALECT_COST_H_
