// Logits on blocks of tokens and classes: what weir.logit_statistics and its gradient share.
//
// Logits are computed with classes as rows, so that the lanes of a vector are tokens: a maximum or
// a sum over classes is a vector. A few rows at a time stay in the second cache.

#ifndef WEIR_COMPILER_CONVERSION_CPU_LOGIT_BLOCKS_H_
#define WEIR_COMPILER_CONVERSION_CPU_LOGIT_BLOCKS_H_

#include <algorithm>

#include "compiler/conversion/cpu/thread_matrices.h"

namespace weir {

/// Classes whose logits are computed at a time.
constexpr int64_t kLogitRows = 64;

/// Checks that features and weight lie in memory.
mlir::LogicalResult checkLogitOperands(KernelFunction& f, mlir::Operation* op);

/// Sizes of the work; they depend on shapes only, and on how tensors lie in memory.
struct LogitSizes {
  LogitSizes(mlir::Value x, mlir::Value weight, llvm::ArrayRef<const TensorValue*> ofTokens);

  int64_t fullTokens() const { return time / tokenBlock; }
  int64_t restTokens() const { return time % tokenBlock; }
  int64_t fullClasses() const { return classes / classBlock; }
  int64_t restClasses() const { return classes % classBlock; }
  /// Parts into which classes are divided for threads.
  int64_t parts() const { return std::clamp<int64_t>(fullClasses(), 1, CpuTarget::kWorkers); }

  int64_t batch, time, features, classes;
  bool isFlat;
  int64_t tokenBlock, classBlock, least;
};

/// A block of tokens: `count` of them from `first` on, in row `row`.
struct TokenBlock {
  mlir::Value row, first;
  int64_t count;
};

class Logits {
 public:
  Logits(KernelFunction& f, const LogitSizes& size, mlir::Value x, mlir::Value weight,
         mlir::Value targets);

 protected:
  /// Features of tokens, tokens x features, or results for them.
  Matrix tokensOf(const TensorValue& tensor, const TokenBlock& block);
  /// A number for each token of a block, as `rows` equal rows.
  Matrix rowOf(const TensorValue& tensor, const TokenBlock& block, int64_t rows);
  Matrix classesOf(const TensorValue& tensor, mlir::Value first, int64_t rows);
  /// Calls `body` for blocks of `step` of `count` rows: the first, and how many.
  void forBlocks(int64_t count, int64_t step, llvm::function_ref<void(mlir::Value, int64_t)> body);
  /// Calls `body` for tokens of a block whose target is one of `rows` classes from `first` on, with
  /// its number in the block and the class's.
  void forTargets(const TokenBlock& block, mlir::Value first, int64_t rows,
                  llvm::function_ref<void(mlir::Value, mlir::Value)> body);
  /// exp(x) of an x <= 60 or nan; what is less than 1e-37 is that.
  mlir::Value exponential(ElementwiseBuilder e, mlir::Value x);

  KernelFunction& f;
  KernelBuilder& b;
  const LogitSizes& size;
  const mlir::Type narrow, wide;
  const TensorValue &x, &weight, &targets;
};

}  // namespace weir

#endif  // WEIR_COMPILER_CONVERSION_CPU_LOGIT_BLOCKS_H_
