// Operands of products in the order in which AMX reads them.
//
// A tile register holds 16 rows of 64 bytes: of A, 16 rows and 32 steps of k; of B, 16 pairs of
// steps and 16 columns, both halves of a pair adjacent. Tiles take 1 KB each, are padded with
// zeros, and lie in pairs (32 rows of A, 32 columns of B), those along k one after the other.
//
// An operand of f32 is packed as three of bf16 whose sum it is: x = x0 + x1 + x2, each rounded to
// nearest from what the ones before leave, so that |x1| <= 2^-9 |x| and |x2| <= 2^-18 |x| and
// nothing is left of the 24 bits. Products of parts are exact in f32. Exceptions: of |x| < 2^-102
// low bits are lost (bf16 has no subnormals here), and where x is infinite, or beyond 3.39e38, x1
// is no number.

#ifndef WEIR_COMPILER_CONVERSION_CPU_MATRIX_PACKING_H_
#define WEIR_COMPILER_CONVERSION_CPU_MATRIX_PACKING_H_

#include "compiler/conversion/cpu/product.h"

namespace weir {

constexpr int64_t kTileSide = 16;    // rows of a tile, columns of a tile of C
constexpr int64_t kTileSteps = 32;   // steps of k in a tile
constexpr int64_t kTileWords = 256;  // 32-bit words of a tile
constexpr int64_t kMatrixTileBytes = 1024;

/// Tiles of k, and panels of 32 columns, of a product.
inline int64_t depthTiles(const Product& p) { return divideUp(p.extent(p.k), kTileSteps); }
inline int64_t panelCount(const Product& p) { return divideUp(p.extent(p.n), 2 * kTileSide); }

/// An operand seen as a matrix: `x` counts rows of A or columns of B.
struct MatrixOperand {
  Access access;
  mlir::Value base;
  int64_t strideX = 0, strideK = 0;
  mlir::Value sizeX, sizeK;
  /// Whether tiles never reach beyond the last x or k.
  bool wholeX = false, wholeK = false;
  bool isLeft = false;
  int64_t parts = 1;
};

/// Operand `input` of `product`, from element `base` on.
MatrixOperand matrixOperand(KernelBuilder& b, const Product& product, unsigned input,
                            mlir::Value base);

/// Parts of bf16 that an operand with elements of `element` has.
int64_t partsOf(mlir::Type element);

/// A buffer of tiles, as words and as rows of bf16.
struct TileBuffer {
  mlir::Value words, tiles;
};
TileBuffer tileBuffer(KernelBuilder& b, mlir::Value bytes, mlir::Value offset, int64_t tiles);

/// Number of the first tile of 32 x and 32 k: pair `x` of rows or columns, pair `k` of steps.
mlir::Value tileIndex(KernelBuilder& b, mlir::Value x, mlir::Value k, int64_t part, int64_t parts,
                      int64_t depth);

/// Whether rows of k lie one after the other in memory, so that packing goes by them.
inline bool walksRowsOfK(const MatrixOperand& operand) {
  return std::abs(operand.strideK) > std::abs(operand.strideX);
}

/// Packs `steps` tiles of k of `count` pairs of x; the buffer has room for `depth` tiles of k.
void packTiles(KernelBuilder& b, const MatrixOperand& operand, mlir::Value count, int64_t steps,
               int64_t depth, mlir::Value words);
/// Packs those of one pair of x and one tile of k.
void packPair(KernelBuilder& b, const MatrixOperand& operand, mlir::Value x, mlir::Value k,
              int64_t depth, mlir::Value words);

/// A vector of 1s for the first `size` lanes of a tile's side.
mlir::Value tileMask(KernelBuilder& b, mlir::Value size);

}  // namespace weir

#endif  // WEIR_COMPILER_CONVERSION_CPU_MATRIX_PACKING_H_
