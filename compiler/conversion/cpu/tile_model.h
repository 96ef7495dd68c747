// Which tiles a product is computed by, and what that costs.
//
// Everything here follows from shapes and the level of instructions, never from a measurement of
// the machine that compiles: the same model is the same code everywhere. docs/tiles.md has the
// formulas and how well they predict.

#ifndef WEIR_COMPILER_CONVERSION_CPU_TILE_MODEL_H_
#define WEIR_COMPILER_CONVERSION_CPU_TILE_MODEL_H_

#include <vector>

#include "compiler/conversion/cpu/target.h"

namespace weir {

/// What the model knows of a product C[m, n] += A[m, k] B[k, n].
struct TiledProduct {
  int64_t m = 0, n = 0, k = 0;
  /// Products of this shape around it, computed one by one.
  int64_t copies = 1;
  IsaLevel level = IsaLevel::Avx512;
  /// By AMX tiles rather than by vector registers.
  bool matrixTiles = false;
  /// Multiplications of tiles for each step of k, and bytes of an element of packed operands.
  int64_t multiplications = 1, packedBytes = 4;
  /// Bytes of an element of A and B in memory, and of C.
  int64_t leftBytes = 4, rightBytes = 4, sumBytes = 4;
  /// Whether A, B are walked by unit stride along k: A's rows, B's columns lie in memory as such.
  bool leftAlongK = true, rightAlongK = true;
  /// B is the same for all copies: it is packed once, on all threads, where there are several
  /// blocks.
  bool fixedRight = true;
  /// Register tiles read a copy of A in C's type (matrix tiles always read copies).
  bool copiesLeft = false;
  /// Nothing is around the product, so that sums can be split.
  bool splittable = true;
};

/// Whether register tiles read a copy of A: if it has another type, or if its rows, so many bytes
/// apart, fall on the same sets of a cache.
inline bool copiesLeft(bool sameType, int64_t strideBytes) {
  return !sameType || strideBytes % 2048 == 0;
}

/// Whether matrix tiles repay packing f32 operands as several of bf16.
bool repaysMatrixTiles(int64_t m, int64_t n, int64_t k);

/// Most rows that a block should have: A's stays in the second cache.
constexpr int64_t kProductRows = 256;

/// How a product is taken apart: see #weir.tiles in the manual. 0 stands for no choice yet.
struct Tiling {
  int64_t rows = 0, columns = 0, group = 0, depth = 0, parts = 0;

  bool operator==(const Tiling& other) const {
    return rows == other.rows && columns == other.columns && group == other.group &&
           depth == other.depth && parts == other.parts;
  }
  bool operator!=(const Tiling& other) const { return !(*this == other); }
};

/// Rows and columns of a tile: those of C's sums that are in registers at once.
int64_t tileRowsOf(const TiledProduct& product);
int64_t tileColumnsOf(const TiledProduct& product);

/// Rounds what was asked for to tiles and to the shape; 0 stays.
Tiling roundToTiles(const TiledProduct& product, Tiling asked);
/// Steps of k of a part of a sum, and how many parts there are then.
int64_t stepsOfPart(const TiledProduct& product, int64_t parts);
int64_t mostParts(const TiledProduct& product);

/// Bytes of scratch memory that operands and parts of sums need: a thread's, and one for all.
int64_t scratchBytes(const TiledProduct& product, const Tiling& tiling);
constexpr int64_t kMostScratchBytes = int64_t(256) << 20;

/// Numbers of threads that count alike in the choice: it is one for all machines. Blocks for more
/// threads than these would be smaller, and pack what others pack too.
constexpr int64_t kTilingThreads[] = {1, 2, 4};

/// What fixed rules choose: the measure of the model.
Tiling fixedTiling(const TiledProduct& product, Tiling asked = {});
/// Tilings to choose from.
std::vector<Tiling> candidateTilings(const TiledProduct& product, Tiling asked = {});

/// What one worker does if there are `threads`, in the units that a machine has figures for. The
/// prediction is their sum, each times its figure.
struct TileWork {
  enum Kind {
    /// Multiplications of tiles (matrix tiles), or steps of k of a tile (registers).
    kSteps,
    /// Bytes of packed operands that don't stay in the second cache from use to use.
    kFar,
    /// Bytes of packed A, written and read, that don't stay near the first cache.
    kNear,
    /// Bytes that packing reads in the order of its tiles, and those that it transposes; pieces of
    /// rows or columns of A that it takes them from.
    kPacked,
    kTransposed,
    kRuns,
    /// Bytes of C, or of parts of it, that are written, and pieces of rows in which this is done.
    kWritten,
    kPieces,
    /// Bytes of C that are read and written again, as k is taken in several steps.
    kAgain,
    /// Bytes of parts of sums that are added up.
    kCombined,
    /// Parallel loops.
    kRegions,
    kKinds
  };
  double count[kKinds] = {};
};
TileWork workOf(const TiledProduct& product, const Tiling& tiling, int64_t threads);
/// Seconds that the product takes on `threads` cores.
double predictSeconds(const TiledProduct& product, const Tiling& tiling, int64_t threads);

/// Fills in what `asked` leaves open.
Tiling chooseTiling(const TiledProduct& product, Tiling asked = {});

}  // namespace weir

#endif  // WEIR_COMPILER_CONVERSION_CPU_TILE_MODEL_H_
