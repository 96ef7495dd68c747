// The interfaces of the ops of the sequence level (sequence_interfaces.td) and the types they speak
// in.

#ifndef WEIR_COMPILER_DIALECT_SEQUENCE_INTERFACES_H_
#define WEIR_COMPILER_DIALECT_SEQUENCE_INTERFACES_H_

#include <string>

#include "compiler/dialect/cost.h"
#include "llvm/ADT/SmallVector.h"
#include "mlir/IR/AffineMap.h"
#include "mlir/IR/OpDefinition.h"

namespace weir {

/// A trainable tensor that an op asks for.
struct ParameterSpec {
  /// The last segment of its path, such as "weight".
  std::string name;
  llvm::SmallVector<int64_t> shape;
  /// zeros | ones | constant(x) | normal(std) | uniform(bound).
  std::string init;
  /// The path (from the root of the model) of the parameter it shares, or empty.
  std::string tiedTo;
};

}  // namespace weir

#include "compiler/dialect/sequence_interfaces.h.inc"

#endif  // WEIR_COMPILER_DIALECT_SEQUENCE_INTERFACES_H_
