// Products by AMX tiles.
//
// One multiplication adds to a 16 x 16 tile of C (f32) the product of a tile of A and one of B
// (matrix_packing.h). Operands of any strides are packed first; rows of A that an op before has
// left in the cache as bf16, in order, are read in place. The loop over k keeps 2 x 2 tiles of C in
// registers.
//
// A long sum takes several visits of C: in each, 32 rows of A stay in L1 while the panels of B pass
// by it, from L2 to the registers (kPastL1Attr). Between visits the sums are tiles in scratch
// memory, in L2, fetched to L1 ahead of their use. Adding to a tile rounds as it does in registers:
// visits change no bit of products of bf16.
//
// Of f32 both operands are three parts of bf16, and the product is the sum of those of parts i and
// j with i + j <= 2; what is left out is below 2^-26 of |A| |B|. The five small ones are summed
// over all of a visit's k before the large one is added, so that C is rounded as often as by
// multiplications of bf16: the error is at most that of a sum of f32 in order.

#ifndef WEIR_COMPILER_CONVERSION_CPU_MATRIX_TILES_H_
#define WEIR_COMPILER_CONVERSION_CPU_MATRIX_TILES_H_

#include "compiler/conversion/cpu/matrix_packing.h"

namespace weir {

/// Panels whose sums an epilogue gets at once, at most: enough for it to walk memory along rows.
constexpr int64_t kStripPanels = 8;

/// Columns [first, end) of a product whose epilogue gets strips of `panels` panels, or all at once:
/// whole strips, or just one.
struct Strips {
  size_t segment;
  int64_t first, end, panels;
};
llvm::SmallVector<Strips> stripsOf(const ProductEpilogue& epilogue);

/// Emits one product on one thread.
class MatrixTiles {
 public:
  MatrixTiles(KernelFunction& f, Product& p, const ProductBases& bases,
              std::optional<PackedOperand> packed, mlir::Value threadOffset, ScratchPlan& scratch,
              bool accumulate);
  mlir::LogicalResult emit();

 private:
  /// Where the two tiles of A for 32 rows and k tile `k` lie: offset of the first, from it to the
  /// second, and from row to row.
  struct LeftTiles {
    mlir::Value memref;
    mlir::Value first;
    int64_t second, row;
  };

  /// k tiles [first, first + count), which are added at once to the sums of the visits before.
  struct Visit {
    mlir::Value first;
    int64_t count;
    bool isFirst, isLast;
  };
  /// Tiles of sums between visits.
  struct Sums {
    mlir::Value memref, first;
    /// From a tile to the one below it, to the one on its right, and from row to row.
    int64_t below, right, row;
  };

  bool readsLeftInPlace() const;
  bool keepsSumsInPlace() const;
  void forEachVisit(llvm::function_ref<void(const Visit&)> emit);
  MatrixOperand operandOf(const Visit& visit, unsigned input, mlir::Value base);
  void packLeft(const Visit& visit);
  void packVisit(const Visit& visit, mlir::Value from, mlir::Value to);
  Sums partialSums(mlir::Value i, mlir::Value j);
  ValueList sumsBefore(const Visit& visit, mlir::Value i, mlir::Value j);
  void keepSums(mlir::Value i, mlir::Value j, mlir::ValueRange sums);
  void fetchSums(mlir::Value i, mlir::Value j, const Visit& visit, mlir::Value k);
  LeftTiles leftTiles(const Visit& visit, mlir::Value i, mlir::Value k, int64_t part);
  mlir::Value reserve(int64_t bytes) { return b.add(threadOffset, scratch.reserve(bytes)); }
  mlir::Value bf16View(mlir::Value memref);
  /// First row of row tile `i`: rows that are used in place overlap those before at the end.
  mlir::Value firstRow(mlir::Value i);
  void fetchNext(const Visit& visit, mlir::Value i, mlir::Value j, mlir::Value k);
  ValueList multiply(const Visit& visit, mlir::Value i, mlir::Value j,
                     llvm::function_ref<void(mlir::Value)> besides = nullptr);
  void write(mlir::Value i, mlir::Value j, mlir::Value sums);
  void multiplyGroup(const Visit& visit, mlir::Value from, mlir::Value to);
  mlir::LogicalResult emitStrips(int64_t group);

  KernelFunction& f;
  KernelBuilder& b;
  Product& p;
  const ProductBases& bases;
  std::optional<PackedOperand> packed;
  mlir::Value threadOffset;
  ScratchPlan& scratch;
  bool accumulate;
  /// k tiles of all visits, of each but the last, and in the buffer of A.
  int64_t depth, visitDepth, leftDepth;
  int64_t panels, rowTiles, leastRows, visits;
  /// Panels whose sums are kept between visits, and the first of them.
  int64_t groupPanels = 0;
  mlir::Value groupFrom;
  bool inPlace, sumsInPlace;
  mlir::Value rows, usedRowTiles, leftMemref, leftWords, rightMemref, rightWords, partials;
};

}  // namespace weir

#endif  // WEIR_COMPILER_CONVERSION_CPU_MATRIX_TILES_H_
