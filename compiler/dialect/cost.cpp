#include "compiler/dialect/cost.h"

#include <algorithm>
#include <cmath>

#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/raw_ostream.h"
#include "mlir/IR/TypeUtilities.h"

namespace weir {

Polynomial::Polynomial(double constant) {
  if (constant != 0) terms[{0, 0}] = constant;
}

Polynomial Polynomial::batch() {
  Polynomial p;
  p.terms[{1, 0}] = 1;
  return p;
}

Polynomial Polynomial::length() {
  Polynomial p;
  p.terms[{0, 1}] = 1;
  return p;
}

Polynomial Polynomial::operator+(const Polynomial& other) const {
  Polynomial sum = *this;
  for (const auto& [exponents, coefficient] : other.terms) sum.terms[exponents] += coefficient;
  return sum;
}

Polynomial Polynomial::operator*(const Polynomial& other) const {
  Polynomial product;
  for (const auto& [a, x] : terms)
    for (const auto& [b, y] : other.terms)
      product.terms[{a.first + b.first, a.second + b.second}] += x * y;
  return product;
}

int Polynomial::degreeInLength() const {
  int degree = 0;
  for (const auto& [exponents, coefficient] : terms)
    if (coefficient != 0) degree = std::max(degree, exponents.second);
  return degree;
}

double Polynomial::evaluate(double batch, double length) const {
  double value = 0;
  for (const auto& [exponents, coefficient] : terms)
    value += coefficient * std::pow(batch, exponents.first) * std::pow(length, exponents.second);
  return value;
}

std::string Polynomial::str() const {
  if (terms.empty()) return "0";
  std::string text;
  llvm::raw_string_ostream os(text);
  bool first = true;
  for (auto it = terms.rbegin(); it != terms.rend(); ++it) {
    const auto& [exponents, coefficient] = *it;
    if (!first) os << " + ";
    first = false;
    os << llvm::formatv("{0:f0}", coefficient);
    if (exponents.first) os << " B";
    if (exponents.first > 1) os << "^" << exponents.first;
    if (exponents.second) os << " T";
    if (exponents.second > 1) os << "^" << exponents.second;
  }
  return text;
}

Polynomial elementCount(mlir::Type type) {
  auto tensor = mlir::dyn_cast<mlir::RankedTensorType>(type);
  if (!tensor) return 1;
  Polynomial count = 1;
  bool batchSeen = false;
  for (int64_t size : tensor.getShape()) {
    if (!mlir::ShapedType::isDynamic(size)) {
      count = count * Polynomial(static_cast<double>(size));
    } else {
      count = count * (batchSeen ? Polynomial::length() : Polynomial::batch());
      batchSeen = true;
    }
  }
  return count;
}

Polynomial byteCount(mlir::Type type) {
  mlir::Type element = mlir::getElementTypeOrSelf(type);
  double bytes = 4;
  if (element.isIntOrIndex() && !element.isIndex()) {
    unsigned wholeBytes = llvm::divideCeil(element.getIntOrFloatBitWidth(), 8);
    bytes = wholeBytes;
  }
  return elementCount(type) * Polynomial(bytes);
}

}  // namespace weir
