// Products of matrices in a thread's scratch memory: what kernels are made of that keep a block of
// scores there (attention).
//
//   TileProducts tiles(f, elementType);
//   ScratchMatrix a = tiles.left(offset, m, k), b = tiles.right(...), c = tiles.sums(...);
//   tiles.pack(tokens, ..., {{a, /*rowPerToken=*/true}});
//   tiles.multiply(c, a, b, {m, n, k}, /*accumulate=*/false);
//
// Operands are dense. With AMX (bf16 operands on a CPU that has it) left operands are bf16, right
// ones 32-bit words of two steps of k, (k, n) and (k + 1, n); else both have the type of the sums,
// f32 or f64, and products go through vector registers. Sums are row-major, always.

#ifndef WEIR_COMPILER_CONVERSION_CPU_TILE_PRODUCTS_H_
#define WEIR_COMPILER_CONVERSION_CPU_TILE_PRODUCTS_H_

#include "compiler/conversion/cpu/kernel_function.h"

namespace weir {

/// A matrix in scratch memory, from (row, column) of `memref` on.
struct ScratchMatrix {
  mlir::Value memref;
  mlir::Value row, column;
};

/// Rows of features in a kernel's argument, one for each token, features next to each other.
struct TokenRows {
  Access access;
  /// First feature of token 0, and from token to token.
  mlir::Value base;
  int64_t stride = 0;
  int64_t features = 0;
};

class TileProducts {
 public:
  /// For operands of `element`.
  TileProducts(KernelFunction& f, mlir::Type element);

  /// Type of sums; whether by AMX tiles.
  mlir::Type compute() const { return sum; }
  bool matrixTiles() const { return amx; }
  /// Lanes of a vector of sums.
  int64_t lanes() const { return width; }
  /// What the sizes of matrices are multiples of. Scratch memory beyond an operand's true size
  /// holds zeros, which pack() puts there.
  int64_t rowUnit() const { return amx ? 32 : 1; }
  int64_t columnUnit() const { return amx ? 32 : CpuTarget::kTileVectors * width; }
  int64_t depthUnit() const { return amx ? 32 : 1; }
  /// The least number of features that is a multiple of all units.
  int64_t padded(int64_t features) const { return roundUp(features, columnUnit()); }

  /// Bytes of a matrix of m x k, k x n or m x n elements.
  int64_t leftBytes(int64_t rows, int64_t depth) const;
  int64_t rightBytes(int64_t depth, int64_t columns) const;
  int64_t sumsBytes(int64_t rows, int64_t columns) const;
  /// Matrices at byte `offset` of the thread's scratch memory.
  ScratchMatrix left(mlir::Value offset, int64_t rows, int64_t depth);
  ScratchMatrix right(mlir::Value offset, int64_t depth, int64_t columns);
  ScratchMatrix sums(mlir::Value offset, int64_t rows, int64_t columns);
  /// The part of a right operand from depth `k` on (a multiple of the unit), or of the others from
  /// a row on.
  ScratchMatrix fromDepth(ScratchMatrix right, mlir::Value k);
  ScratchMatrix fromRow(ScratchMatrix matrix, mlir::Value row);

  /// Where pack() puts tokens: as the rows of a left operand or the columns of a right one, whose
  /// depth is features; or, `alongDepth`, the other way round, products then being sums over
  /// tokens.
  struct Packed {
    ScratchMatrix matrix;
    bool isLeft = true;
    bool alongDepth = false;
  };
  /// Copies tokens [first, first + count) and all features to each of `targets`, padded with zeros
  /// to `count` tokens (a multiple of 32) and padded(features) features. Tokens from `end` on do
  /// not exist.
  void pack(const TokenRows& source, mlir::Value first, int64_t count, mlir::Value end,
            llvm::ArrayRef<Packed> targets);

  /// What elements become on their way out, as vectors: of tokens, from `column` of sums on; of the
  /// features of one token, from `feature` on, those that `mask` has.
  using TokenMap = llvm::function_ref<mlir::Value(mlir::Value x, mlir::Value column)>;
  using FeatureMap = llvm::function_ref<mlir::Value(mlir::Value x, mlir::Value token,
                                                    mlir::Value feature, mlir::Value mask)>;
  /// Writes sums, whose rows are features and whose columns are tokens [first, first + count), to
  /// the tokens of `target` before `end`.
  void unpack(ScratchMatrix sums, const TokenRows& target, mlir::Value first, int64_t count,
              mlir::Value end, TokenMap ofTokens, FeatureMap ofFeatures = nullptr);

  struct Extents {
    int64_t m, n, k;
    /// If set, fewer rows or steps of k: multiples of 32, with AMX only.
    mlir::Value rows, depth;
  };
  /// sums = left * right, or sums += left * right.
  void multiply(ScratchMatrix sums, ScratchMatrix left, ScratchMatrix right, Extents extents,
                bool accumulate);

  /// Vectors of sums.
  mlir::Value load(ScratchMatrix sums, mlir::Value row, mlir::Value column);
  void store(mlir::Value vector, ScratchMatrix sums, mlir::Value row, mlir::Value column);
  /// Writes two rows (even, odd) of lanes to an operand whose rows of sums these are: as rows of a
  /// left operand, or as steps of the depth of a right one.
  void storeLeft(mlir::Value even, mlir::Value odd, ScratchMatrix left, mlir::Value row,
                 mlir::Value column);
  void storeRight(mlir::Value even, mlir::Value odd, ScratchMatrix right, mlir::Value depth,
                  mlir::Value column);

 private:
  void multiplyTiles(ScratchMatrix sums, ScratchMatrix left, ScratchMatrix right, Extents extents,
                     bool accumulate);
  void multiplyRegisters(ScratchMatrix sums, ScratchMatrix left, ScratchMatrix right,
                         Extents extents, bool accumulate);
  void packPairs(const TokenRows& source, mlir::Value first, mlir::Value t0, mlir::Value f0,
                 mlir::Value end, llvm::ArrayRef<Packed> targets);
  void packVectors(const TokenRows& source, mlir::Value first, mlir::Value t0, mlir::Value f0,
                   mlir::Value end, llvm::ArrayRef<Packed> targets);
  mlir::Value loadToken(const TokenRows& source, mlir::Value token, mlir::Value f0, int64_t count,
                        mlir::Value end);
  ScratchMatrix matrix(mlir::Value offset, int64_t rows, int64_t columns, mlir::Type element);

  KernelFunction& f;
  KernelBuilder& b;
  mlir::Type sum;
  bool amx;
  int64_t width;
};

/// A vector of floating-point numbers with elements of another type.
mlir::Value converted(KernelBuilder& b, mlir::Value vector, mlir::Type element);
/// `side` vectors of `side` lanes with rows and columns exchanged.
ValueList transposed(KernelBuilder& b, ValueList rows);

}  // namespace weir

#endif  // WEIR_COMPILER_CONVERSION_CPU_TILE_PRODUCTS_H_
