// Attention as blocks of queries and keys, for one head of one row at a time: what forward and
// backward share.
//
// Scores are computed transposed, a block of keys x queries, so that the lanes of a vector are
// queries: maxima, sums and everything that a query has one of are vectors, and no step adds up
// lanes. A matrix of scores is never wider than a block.

#ifndef WEIR_COMPILER_CONVERSION_CPU_ATTENTION_BLOCKS_H_
#define WEIR_COMPILER_CONVERSION_CPU_ATTENTION_BLOCKS_H_

#include "compiler/conversion/cpu/tile_products.h"

namespace weir {

/// What weir.attention and weir.attention_vjp say alike.
struct AttentionSettings {
  mlir::Value q, k, v, bias, segments, position;
  int64_t heads = 1;
  llvm::StringRef kernel, window;
  std::optional<int64_t> windowSize;
  std::optional<int64_t> length;

  template <typename Op>
  static AttentionSettings of(Op op, int64_t heads) {
    AttentionSettings s;
    s.q = op.getQ(), s.k = op.getK(), s.v = op.getV(), s.bias = op.getBias();
    s.segments = op.getSegments(), s.position = op.getPosition();
    s.heads = heads;
    s.kernel = op.getKernel(), s.window = op.getWindow();
    if (op.getWindowSize()) s.windowSize = static_cast<int64_t>(*op.getWindowSize());
    if (op.getLength()) s.length = static_cast<int64_t>(*op.getLength());
    return s;
  }
};

/// A scalar function on vectors: `build` gives its results from its arguments, in a builder.
class VectorFunction {
 public:
  VectorFunction(KernelFunction& f, mlir::Type type, unsigned arguments,
                 llvm::function_ref<ValueList(mlir::OpBuilder&, mlir::ValueRange)> build);
  ValueList operator()(mlir::ValueRange vectors);

 private:
  KernelFunction& f;
  mlir::Region region;
};

class AttentionBlocks {
 public:
  /// `queryBlock` and `keyBlock` are sizes of blocks for long sequences.
  AttentionBlocks(KernelFunction& f, mlir::Operation* op, AttentionSettings settings,
                  int64_t queryBlock, int64_t keyBlock);

  /// Checks the layout of operands, and writes the bias to scratch memory, with zeros around it.
  mlir::LogicalResult prepare();

  int64_t queryBlocks() const { return divideUp(queries, queryBlock); }
  int64_t keyBlocks() const { return divideUp(keys, keyBlock); }
  int64_t paddedQueries() const { return queryBlocks() * queryBlock; }
  int64_t paddedKeys() const { return keyBlocks() * keyBlock; }
  bool isSoftmax() const { return s.kernel == "softmax"; }
  /// What scores are multiplied by.
  double scale() const;

  /// Begins with a row and a head: reads the row's position.
  void enter(mlir::Value row, mlir::Value head);
  /// The head's features of all tokens of a tensor.
  TokenRows rows(mlir::Value tensor, const TensorValue& storage);
  TokenRows rows(mlir::Value tensor) { return rows(tensor, f.tensors[tensor]); }

  /// The keys [from, to) that may be seen by the block of queries from `query` on; `from` is where
  /// a block begins.
  std::pair<mlir::Value, mlir::Value> keysOf(mlir::Value query);
  /// The blocks of queries [from, to) that may see the block of keys from `key` on.
  std::pair<mlir::Value, mlir::Value> queryBlocksOf(mlir::Value key);
  /// Keys of the block at `key` that queries of the block at `query` may see, in multiples of 32;
  /// null where blocks are computed whole.
  mlir::Value countKeys(mlir::Value query, mlir::Value key);
  /// Emits `body(masked)` for blocks in which something is hidden, and for others.
  void ifMasked(mlir::Value query, mlir::Value key, llvm::function_ref<void(bool)> body);

  /// A vector of queries of a block; `query` is the first one's number.
  struct Lanes {
    mlir::Value query;
    /// Numbers, and with segments their ids.
    mlir::Value numbers, segments;
  };
  Lanes lanes(mlir::Value query);
  /// Which of the queries see `key`.
  mlir::Value visible(const Lanes& lanes, mlir::Value key);
  /// score * scale + bias.
  mlir::Value scaled(mlir::Value score, const Lanes& lanes, mlir::Value key);
  mlir::Value splat(double value);
  /// exp(x * factor - shift), no more than about 1, to the precision that weights are kept with;
  /// exactly 0 where it is below the smallest number.
  mlir::Value exponential(mlir::Value x, double factor, mlir::Value shift);
  mlir::Value larger(mlir::Value x, mlir::Value y);

  KernelFunction& f;
  KernelBuilder& b;
  mlir::Operation* op;
  AttentionSettings s;
  TileProducts tiles;
  int64_t batch, queries, keys, older, features, valueFeatures, queryBlock, keyBlock;
  mlir::Value row, head;
  /// A vector of sums, and of i32 of as many lanes.
  mlir::VectorType vectorType, intType;

 private:
  mlir::Value segmentOf(mlir::Value key);

  VectorFunction exp;
  mlir::Value firstSeen;   // no key before this one is seen
  mlir::Value paddedBias;  // by query + older - key
  int64_t biasOrigin = 0;  // where query + older = key
};

}  // namespace weir

#endif  // WEIR_COMPILER_CONVERSION_CPU_ATTENTION_BLOCKS_H_
