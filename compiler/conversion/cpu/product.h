// Products: contractions whose region is multiply and add.
//
// A product C[m, n] += A[m, k] * B[k, n] of any strides, possibly with further dimensions around
// it, is computed by register tiles of 14 rows and 2 vectors (6 rows on AVX2). B is packed into
// panels of 2 vectors of columns first, converting bf16 to f32 on the way; K is split so that a
// tile of A stays in L1 and a panel of B streams from L2. Measured: 0.93 to 1.03 times oneDNN.

#ifndef WEIR_COMPILER_CONVERSION_CPU_PRODUCT_H_
#define WEIR_COMPILER_CONVERSION_CPU_PRODUCT_H_

#include "compiler/conversion/cpu/kernel_function.h"
#include "compiler/conversion/cpu/tile_model.h"

namespace weir {

/// Part of C whose sums are complete: rows [row, row + rows) of the product (`mostRows` at most)
/// and columns [column, column + columns). Element (r, c) is at r * strides[0] + c of `sums`,
/// counted from the part's first.
struct ProductBlock {
  Access sums;
  mlir::Value row, rows, column;
  int64_t mostRows = 0, columns = 0;
  /// Number of columns if not known at compile time (at most `columns`).
  mlir::Value size;
};

/// Takes blocks of C, instead of memory, as they are finished: for work at each element, done while
/// the sums are in a near cache. Blocks don't cross `ends`, multiples of kProductBlock (the last
/// one is the number of columns); `emit` gets the number of the segment that the block is in.
struct ProductEpilogue {
  llvm::SmallVector<int64_t> ends;
  std::function<mlir::LogicalResult(const ProductBlock&, size_t)> emit;
  /// Fetches to L1 what `emit` will read and write for the block, except for the sums.
  std::function<void(const ProductBlock&, size_t)> fetch;
};
constexpr int64_t kProductBlock = 32;

/// B in the order that tiles read it: in panels for registers (element (k, n) is at (n / width * K
/// + k) * width + n % width, columns are padded with zeros), or in tiles for AMX
/// (matrix_tiles.cpp). A, too, may be in tiles for AMX.
struct PackedOperand {
  mlir::Value memref;
  mlir::Value base;
  /// Steps of k that the buffer has, with AMX in tiles of 32.
  int64_t depth = 0;
};

/// A nest seen as a product; inputs[0] is A and inputs[1] is B, outputs[0] is C with unit stride
/// along `n`.
struct Product {
  LoopNest nest;
  size_t m = 0, n = 0, k = 0;
  /// All other dimensions: loops around the product.
  llvm::SmallVector<size_t> outer;
  /// Type of sums: f32 or f64.
  mlir::Type compute;
  /// By AMX tiles rather than by vector registers.
  bool matrixTiles = false;
  /// With matrix tiles: A, where it is packed already.
  std::optional<PackedOperand> packedLeft;
  /// With matrix tiles and nothing to add to: takes the place of C.
  const ProductEpilogue* epilogue = nullptr;
  /// From elements of A to those of the rows that this thread computes next, if it does: they are
  /// fetched into its second cache meanwhile. 0: don't.
  int64_t nextLeft = 0;
  /// Once it is decided.
  Tiling tiling;

  int64_t extent(size_t dim) const { return nest.dims[dim].extent; }
};

/// Side of the pairs of AMX tiles, in elements: packed operands begin at multiples of it.
constexpr int64_t kTilePair = 32;

/// Element offsets of a product inside of its outer loops; `init` is null where the initial value
/// is no memory.
struct ProductBases {
  mlir::Value a, b, c, init;
};

/// Recognizes a product worth a register tile. Whether it is worth matrix tiles may depend on its
/// rows, if they are of f32.
std::optional<Product> matchProduct(LoopNest nest, const CpuTarget& target);

/// What the model is asked about. Nothing is known of it but its shape.
TiledProduct describe(const Product& product, const CpuTarget& target);
/// What `op` asks for as weir.tiles; 0 where it says nothing.
Tiling askedTiling(mlir::Operation* op);
/// Leaves on `op` how it is computed.
void recordTiling(mlir::Operation* op, const Tiling& tiling);
/// Sets `product.tiling` to what its op asks for, the rest chosen by the model, and records it on
/// the op. Fails, with a diagnostic, for what can't be.
mlir::LogicalResult decideTiling(const CpuTarget& target, Product& product);
/// The same for a product that one thread computes as a whole.
void decideBlockTiling(const CpuTarget& target, Product& product);

/// Columns of a panel, and rows of a tile.
int64_t panelWidth(const CpuTarget& target, mlir::Type compute);
int64_t rowTile(const CpuTarget& target, const Product& product);

/// Packs all of B, which must not depend on dimensions other than n and k, into shared scratch
/// memory, on all threads.
PackedOperand packOperand(KernelFunction& f, const Product& product);

/// A buffer for `steps` steps of k of all columns of B, at byte `offset` of threads' scratch
/// memory; with AMX, steps and columns start at multiples of 32.
PackedOperand operandBuffer(KernelFunction& f, const Product& product, mlir::Value offset,
                            int64_t steps);
int64_t operandBytes(const CpuTarget& target, const Product& product, int64_t steps);
/// Packs B on the calling thread to the steps of `buffer` from `firstStep` on. With AMX, what is
/// left of 32 steps is zero afterwards.
mlir::LogicalResult packInto(KernelFunction& f, const Product& product, const PackedOperand& buffer,
                             mlir::Value firstStep);
/// With matrix tiles: packs A, on the calling thread, to a buffer of leftBytes() at byte `offset`
/// of threads' scratch memory.
PackedOperand packLeft(KernelFunction& f, const Product& product, mlir::Value offset);
int64_t leftBytes(const Product& product);
/// The part of a buffer from a column and a step on.
PackedOperand partOf(KernelFunction& f, const Product& product, PackedOperand packed,
                     int64_t firstColumn, int64_t firstStep);

/// Emits the product on the calling thread (its tiling is decided now if it wasn't), whose scratch
/// memory starts at byte `threadOffset`. `scratch` is the plan of that memory: what the product
/// reserves is free again when it returns.
mlir::LogicalResult emitProductTile(KernelFunction& f, Product product,
                                    std::optional<PackedOperand> packed, mlir::Value threadOffset,
                                    ScratchPlan& scratch);

/// Emits the product on all threads. Small results of long sums are split along K, with the parts
/// added in a fixed order.
mlir::LogicalResult emitParallelProduct(KernelFunction& f, Product product);

// The two kinds of tiles. `accumulate`: C holds values to be added to; register tiles tell by
// themselves, from sums that are longer than `depth` or have outer dimensions.
PackedOperand packForRegisters(KernelFunction& f, const Product& product);
mlir::LogicalResult emitRegisterTiles(KernelFunction& f, Product& product,
                                      const ProductBases& bases,
                                      std::optional<PackedOperand> packed, mlir::Value threadOffset,
                                      ScratchPlan& scratch);
mlir::LogicalResult packPanelsInto(KernelFunction& f, const Product& product,
                                   const PackedOperand& buffer, mlir::Value firstStep);
PackedOperand packForMatrixTiles(KernelFunction& f, const Product& product);
void packTilesInto(KernelFunction& f, const Product& product, const PackedOperand& buffer,
                   mlir::Value firstStep);
mlir::LogicalResult emitMatrixTiles(KernelFunction& f, Product& product, const ProductBases& bases,
                                    std::optional<PackedOperand> packed, mlir::Value threadOffset,
                                    ScratchPlan& scratch, bool accumulate);

/// Copies memory along `dims`, converting elements.
mlir::LogicalResult copyStrided(KernelFunction& f, Access from, Access to,
                                llvm::ArrayRef<LoopDim> dims);
LoopDim dimOf(int64_t extent, mlir::Value size = {});

}  // namespace weir

#endif  // WEIR_COMPILER_CONVERSION_CPU_PRODUCT_H_
