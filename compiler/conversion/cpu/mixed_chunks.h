// What the kernels of weir.mixed_chunks and its gradient share: sizes, and a row's chunks as
// matrices.

#ifndef WEIR_COMPILER_CONVERSION_CPU_MIXED_CHUNKS_H_
#define WEIR_COMPILER_CONVERSION_CPU_MIXED_CHUNKS_H_

#include "compiler/conversion/cpu/thread_matrices.h"
#include "compiler/dialect/attention_ops.h"
#include "compiler/dialect/linalg_builder.h"

namespace weir {

/// The operands that both ops have.
struct MixedInputs {
  template <typename Op>
  explicit MixedInputs(Op op)
      : quadQ(op.getQuadQ()),
        quadK(op.getQuadK()),
        linQ(op.getLinQ()),
        linK(op.getLinK()),
        v(op.getV()),
        bias(op.getBias()),
        chunkSize(op.getChunkSize()),
        activation(op.getKernel()) {}
  mlir::Value quadQ, quadK, linQ, linK, v, bias;
  int64_t chunkSize;
  llvm::StringRef activation;
};

/// Sizes of the work; they depend on shapes and instruction set only.
struct ChunkSizes {
  explicit ChunkSizes(const MixedInputs& in);

  int64_t batch, time, quad, lin, features;
  /// Tokens by which weights are divided, and tokens of a chunk: no more than the row has.
  int64_t divisor, chunk;
  int64_t chunks;
  /// Whether the last chunk is short.
  bool uneven;
  /// Rows of weights that are computed at a time, with nothing right of them.
  int64_t rowBlock;
  /// Features of values that are worked on at a time.
  int64_t tile;
  int64_t tiles() const { return llvm::divideCeil(features, tile); }
  /// Whether there are too few rows to split the work by rows alone: sums are computed first, for
  /// tiles of features, and then chunks independently of each other.
  bool inPhases() const { return chunks > 1 && batch < CpuTarget::kWorkers; }
  int64_t work() const { return batch * time * (quad + features) * chunk; }
};

/// What a thread does: all of a row; or in phases, the sums that enter chunks for a tile of
/// features of a row; or the rest, for a chunk.
enum class Phase { All, Sums, Chunks };

/// Calls `sums` for each row and tile of features (its first feature, its width), then `chunks` for
/// each row and chunk, on all threads.
void forPhases(KernelFunction& f, const ChunkSizes& size,
               llvm::function_ref<void(mlir::Value row, mlir::Value first, int64_t width)> sums,
               llvm::function_ref<void(mlir::Value row, mlir::Value g)> chunks);

/// A tensor of a matrix s x e for each chunk, in shared scratch memory.
TensorValue sharedStates(KernelFunction& f, const ChunkSizes& size, mlir::Type element);

/// The work of one thread.
class MixedChunks {
 public:
  MixedChunks(KernelFunction& f, const MixedInputs& in, const ChunkSizes& size,
              mlir::Value threadOffset);

 protected:
  /// Tokens of chunk `g` of a tensor (batch x time x features). `buffer` holds a copy where the
  /// tensor can't be read as it lies: a chunk may be short, and a tensor one number. Tokens that
  /// the chunk lacks are zeros.
  Matrix chunkOf(const TensorValue& tensor, mlir::Value g, Matrix& buffer) {
    return chunkOf(tensor, g, buffer, b.constant(0), tensor.shape[2]);
  }
  /// `width` features from `first` on.
  Matrix chunkOf(const TensorValue& tensor, mlir::Value g, Matrix& buffer, mlir::Value first,
                 int64_t width);
  /// The same without a copy: to be written to. Counts the rows that there are.
  Matrix chunkOf(const TensorValue& tensor, mlir::Value g);
  /// Row `g` of the first two dimensions (batch, g) of `means`.
  Matrix meansOf(const TensorValue& means, mlir::Value g);
  /// Calls `body` with the first row, the number of rows, for each block of rows of a chunk.
  void forRowBlocks(llvm::function_ref<void(int64_t row, int64_t rows)> body);
  /// Calls `body` for each tile of features: its number, first feature, and width.
  void forTiles(llvm::function_ref<void(mlir::Value tile, mlir::Value first, int64_t width)> body);
  /// The bias of rows x columns where element (i, j) is bias(i - j + offset); null without one.
  /// `reversed`: of the same bias in reverse order.
  std::optional<Matrix> biasMatrix(int64_t offset, int64_t rows, int64_t columns);
  /// Scores to what the activation gets.
  mlir::Value scaled(ElementwiseBuilder e, mlir::Value score, mlir::Value bias);
  /// 1 / (C max(g, 1)).
  mlir::Value meanScale(mlir::Value g);

  KernelFunction& f;
  KernelBuilder& b;
  const MixedInputs& in;
  const ChunkSizes& size;
  ThreadMatrices t;
  mlir::Value row;

 private:
};

}  // namespace weir

#endif  // WEIR_COMPILER_CONVERSION_CPU_MIXED_CHUNKS_H_
