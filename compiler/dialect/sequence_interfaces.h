// The interfaces of the ops of the sequence level (sequence_interfaces.td) and the types they speak
// in.

#ifndef WEIR_COMPILER_DIALECT_SEQUENCE_INTERFACES_H_
#define WEIR_COMPILER_DIALECT_SEQUENCE_INTERFACES_H_

#include <optional>
#include <string>

#include "compiler/dialect/cost.h"
#include "llvm/ADT/SmallVector.h"
#include "mlir/IR/AffineMap.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinTypes.h"
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

/// What a stream is, for an op that says what it carries.
struct StreamContext {
  int64_t batch;
  /// How many tokens, itself included, a token of attention looks back on at most: the bound of its
  /// cache. 0 where none is given.
  int64_t context;
  /// Whether rows hold several documents.
  bool segments;
  /// Whether products read bf16: what only they read is kept so.
  bool roundsProducts = false;
};

/// A state that an op carries along time.
struct StreamStateSpec {
  std::string name;
  /// Static, with the batch first.
  mlir::RankedTensorType type;
  /// zeros | ones | constant(x): its value before the first token.
  std::string init = "zeros";
};

/// What an op's step form is made of, besides the operands of the op: they hold the new tokens.
struct StreamArguments {
  /// One for each of the op's StreamStateSpecs.
  mlir::ValueRange states;
  /// tensor<i64>: the tokens of the row before these, which is also the place on the grid of
  /// chunks.
  mlir::Value start;
  /// tensor<batch x i64>: the position in its document of the row's first new token. Null without
  /// segments: it is `start` then.
  mlir::Value position;
  /// tensor<batch x n x i32>, or null.
  mlir::Value segments;
  /// tensor<batch x i32>: the id of the token before the first new one (where start = 0, the id of
  /// the first one itself). Null without segments.
  mlir::Value previous;
  /// As in StreamContext.
  int64_t context;
};

}  // namespace weir

#include "compiler/dialect/sequence_interfaces.h.inc"

#endif  // WEIR_COMPILER_DIALECT_SEQUENCE_INTERFACES_H_
