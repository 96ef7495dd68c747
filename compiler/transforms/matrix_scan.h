// Scans whose state is a matrix that grows by outer products and is read by a contraction: which
// they are, and whether they should be computed by products over chunks.
//
//   FailureOr<MatrixScan> form = matchMatrixScan(scan);
//   if (succeeded(form) && chunkOf(*form, /*bf16=*/true) > 0) ...

#ifndef WEIR_COMPILER_TRANSFORMS_MATRIX_SCAN_H_
#define WEIR_COMPILER_TRANSFORMS_MATRIX_SCAN_H_

#include "compiler/dialect/scan_ops.h"
#include "llvm/ADT/SmallBitVector.h"

namespace weir {

/// On a scan: tokens of a chunk, 0 for none, in place of what costs say.
inline constexpr llvm::StringLiteral kMatrixChunkAttr = "weir.matrix_chunk";

/// S_t = a_t S_{t-1} + k_t v_t^T and y_t = r_t sum over k of q_t S_t.
struct MatrixScan {
  enum class Decay { Shared, PerKey, PerValue };

  ScanOp scan;
  /// Dimensions of the scan's iteration space; `groups` are all others, in order. `batch` is known
  /// with segments only.
  unsigned time, key, value, batch = 0;
  llvm::SmallVector<unsigned> groups;
  Decay decayKind;
  /// The dimensions that a depends on, and those of k and q together.
  llvm::SmallBitVector decayDims, pairDims;
  /// Values of the prologue: a, and the factors of k and of v.
  mlir::Value decay;
  llvm::SmallVector<mlir::Value> keyFactors, valueFactors;
  /// Values of the epilogue: the factors of q and of r.
  llvm::SmallVector<mlir::Value> queryFactors, outerFactors;
  /// Extents of the iteration space.
  llvm::SmallVector<int64_t> sizes;

  /// States side by side: batch times heads.
  int64_t numMatrices() const;
};

/// Fails, without a message, where the scan isn't of this form. Needs static shapes. Writes out the
/// regions of the simple form.
mlir::FailureOr<MatrixScan> matchMatrixScan(ScanOp scan);

/// Operations of the scan as it is, and by chunks of so many tokens, in elementwise operations:
/// those of products count for less.
double costInOrder(const MatrixScan& form);
double costInChunks(const MatrixScan& form, int64_t chunk, bool bf16);

/// Tokens of a chunk, or 0 if the scan had better stay: by weir.matrix_chunk, else by cost.
int64_t chunkOf(const MatrixScan& form, bool bf16);

}  // namespace weir

#endif  // WEIR_COMPILER_TRANSFORMS_MATRIX_SCAN_H_
