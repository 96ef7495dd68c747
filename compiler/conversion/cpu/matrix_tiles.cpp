// Products of bf16 by AMX tiles.
//
// A tile register holds 16 rows of 64 bytes. One multiplication adds to a 16 x 16 tile of C (f32)
// the product of a tile of A (16 rows, 32 steps of k) and a tile of B (16 pairs of k, 16 columns,
// both halves of a pair adjacent). Tiles are packed first, 1 KB each and padded with zeros, from
// operands of any strides: 16 x 16 blocks of pairs are loaded along the operand's unit stride and
// stored, or scattered, as 32-bit words. The loop over k keeps 2 x 2 tiles of C in registers. K is
// never split: reloading C costs more than the cache misses it would save.

#include "compiler/conversion/cpu/product.h"
#include "mlir/Dialect/AMX/AMXDialect.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

namespace weir {

using namespace mlir;

namespace {

constexpr int64_t kSide = 16;    // rows of a tile, columns of a tile of C
constexpr int64_t kSteps = 32;   // steps of k in a tile
constexpr int64_t kWords = 256;  // 32-bit words of a tile
constexpr int64_t kTileBytes = 1024;
/// Bytes of packed B that stay in L2 while rows pass by.
constexpr int64_t kBlockBytes = 1 << 20;

/// An operand seen as a matrix of pairs: `x` counts rows of A or columns of B.
struct PairSource {
  Access access;  // elements as i16
  Value base;
  int64_t strideX, strideK;
  Value sizeX, sizeK;
  /// Whether tiles never reach beyond the last x or k.
  bool wholeX, wholeK;
};

Value createMask(KernelBuilder& b, Value size) {
  return vector::CreateMaskOp::create(b, VectorType::get({kSide}, b.getI1Type()), ValueRange{size});
}

/// 16 x 16 words with rows and columns exchanged, in four rounds of exchanges of blocks.
ValueList transposed(KernelBuilder& b, ValueList rows) {
  for (int64_t block = 1; block < kSide; block *= 2)
    for (int64_t i = 0; i < kSide; ++i) {
      if (i & block) continue;
      SmallVector<int64_t> first, second;
      for (int64_t c = 0; c < kSide; ++c) {
        first.push_back(c & block ? kSide + (c ^ block) : c);
        second.push_back(c & block ? kSide + c : c ^ block);
      }
      Value x = rows[i], y = rows[i | block];
      rows[i] = vector::ShuffleOp::create(b, x, y, first);
      rows[i | block] = vector::ShuffleOp::create(b, x, y, second);
    }
  return rows;
}

/// Words of pair `p` for the 16 x from x0 on; x is walked by unit stride.
Value loadAcross(KernelBuilder& b, const PairSource& source, Value x0, Value k0, Value p) {
  Value k = b.add(k0, b.mul(p, 2)), rest = b.sub(source.sizeX, x0);
  auto row = [&](Value step) {
    Value mask;
    if (!source.wholeK)
      rest = arith::SelectOp::create(b, b.lessThan(step, source.sizeK), b.sub(source.sizeX, x0),
                                     b.constant(0));
    if (!source.wholeK || !source.wholeX) mask = createMask(b, rest);
    return loadVector(b, source.access, b.offset(b.add(source.base, x0), step, source.strideK), 1,
                      kSide, mask);
  };
  Value even = row(k), odd = row(b.add(k, 1));
  Value both =
      vector::InterleaveOp::create(b, VectorType::get({2 * kSide}, b.getI16Type()), even, odd);
  return vector::BitCastOp::create(b, VectorType::get({kSide}, b.getI32Type()), both);
}

/// Words of the 16 pairs from k0 on, for one x. Beyond the last x it repeats it: what comes of it
/// is not stored.
Value loadAlong(KernelBuilder& b, const PairSource& source, Value x, Value k0) {
  if (!source.wholeX) x = b.minimum(x, b.sub(source.sizeX, b.constant(1)));
  Value at = b.offset(b.offset(source.base, x, source.strideX), k0, source.strideK);
  auto whole = VectorType::get({2 * kSide}, b.getI16Type());
  Value both;
  if (source.wholeK) {
    both = loadVector(b, source.access, at, source.strideK, 2 * kSide, Value());
  } else {
    Value rest = b.sub(source.sizeK, k0);
    Value low = loadVector(b, source.access, at, source.strideK, kSide, createMask(b, rest));
    Value high = loadVector(b, source.access, b.add(at, kSide * source.strideK), source.strideK,
                            kSide, createMask(b, b.sub(rest, b.constant(kSide))));
    SmallVector<int64_t> order;
    for (int64_t lane = 0; lane < 2 * kSide; ++lane) order.push_back(lane);
    both = vector::ShuffleOp::create(b, whole, low, high, order);
  }
  return vector::BitCastOp::create(b, VectorType::get({kSide}, b.getI32Type()), both);
}

/// Packs the tile of rows [x0, x0 + 16) and steps [k0, k0 + 32) to words [at, at + 256) of `words`.
/// In tiles of A the word of pair p and row x is at 16 x + p, in tiles of B at 16 p + x.
void packTile(KernelBuilder& b, const PairSource& source, Value x0, Value k0, Value words, Value at,
              bool isLeft) {
  Access target;
  target.memref = words;
  target.element = b.getI32Type();
  bool across = source.strideX == 1;
  auto load = [&](Value i) {
    return across ? loadAcross(b, source, x0, k0, i) : loadAlong(b, source, b.add(x0, i), k0);
  };
  if (across != isLeft) {
    b.loop(0, kSide, 1,
           [&](Value i) { storeVector(b, load(i), target, b.offset(at, i, kSide), 1, Value()); });
    return;
  }
  ValueList rows;
  for (int64_t i = 0; i < kSide; ++i) rows.push_back(load(b.constant(i)));
  rows = transposed(b, rows);
  for (int64_t i = 0; i < kSide; ++i)
    storeVector(b, rows[i], target, b.add(at, i * kSide), 1, Value());
}

PairSource sourceOf(KernelBuilder& b, const Product& p, unsigned input, size_t x, Value base) {
  PairSource source;
  source.access = p.nest.inputs[input];
  source.access.element = b.getI16Type();
  source.base = base;
  source.strideX = source.access.strides[x];
  source.strideK = source.access.strides[p.k];
  auto size = [&](size_t d) {
    return p.nest.dims[d].size ? p.nest.dims[d].size : b.constant(p.extent(d));
  };
  source.sizeX = size(x);
  source.sizeK = size(p.k);
  source.wholeX = !p.nest.dims[x].size && p.extent(x) % (2 * kSide) == 0;
  source.wholeK = !p.nest.dims[p.k].size && p.extent(p.k) % kSteps == 0;
  return source;
}

/// Buffer of packed tiles, as words and as tiles.
struct TileBuffer {
  Value words, tiles;
};

TileBuffer tileBuffer(KernelBuilder& b, Value bytes, Value offset, int64_t tiles) {
  TileBuffer buffer;
  buffer.words = b.view(bytes, offset, tiles * kWords, b.getI32Type());
  auto type = MemRefType::get({tiles, kSide, kSteps}, b.getBF16Type());
  buffer.tiles = memref::ViewOp::create(b, type, bytes, offset, ValueRange{});
  return buffer;
}

int64_t depthTiles(const Product& p) { return divideUp(p.extent(p.k), kSteps); }
int64_t panelCount(const Product& p) { return divideUp(p.extent(p.n), 2 * kSide); }

/// Packs the tiles of 32 x and 32 k: (x / 32, k tile, half).
void packPair(KernelBuilder& b, const PairSource& source, Value x, Value k, int64_t depth,
              Value words, bool isLeft) {
  Value tile = b.mul(b.add(b.mul(x, depth), k), 2);
  for (int64_t half = 0; half < 2; ++half)
    packTile(b, source, b.add(b.mul(x, 2 * kSide), half * kSide), b.mul(k, kSteps), words,
             b.mul(b.add(tile, half), kWords), isLeft);
}

/// Packs all tiles, in the order in which the source lies in memory.
void packAll(KernelBuilder& b, const PairSource& source, Value count, int64_t depth, Value words,
             bool isLeft) {
  Value zero = b.constant(0), depthValue = b.constant(depth);
  bool rowsOfK = std::abs(source.strideK) > std::abs(source.strideX);
  b.loop(zero, rowsOfK ? depthValue : count, 1, [&](Value i) {
    b.loop(zero, rowsOfK ? count : depthValue, 1, [&](Value j) {
      packPair(b, source, rowsOfK ? j : i, rowsOfK ? i : j, depth, words, isLeft);
    });
  });
}

}  // namespace

PackedOperand packForMatrixTiles(KernelFunction& f, const Product& p) {
  KernelBuilder& b = f.b;
  int64_t depth = depthTiles(p), panels = panelCount(p), tiles = panels * depth * 2;
  PackedOperand packed;
  packed.depth = depth;
  packed.base = b.constant(f.shared.reserve(tiles * kTileBytes));
  packed.memref = f.sharedScratch;
  TileBuffer buffer = tileBuffer(b, packed.memref, packed.base, tiles);
  PairSource source = sourceOf(b, p, 1, p.n, p.nest.inputs[1].base);
  b.parallelLoop(panels, tiles * kWords >= kParallelWork, [&](Value panel) {
    b.loop(0, depth, 1,
           [&](Value k) { packPair(b, source, panel, k, depth, buffer.words, /*isLeft=*/false); });
  });
  return packed;
}

LogicalResult emitMatrixTiles(KernelFunction& f, Product& p, const ProductBases& bases,
                              std::optional<PackedOperand> packed, Value threadOffset,
                              ScratchPlan& scratch, bool accumulate) {
  KernelBuilder& b = f.b;
  f.usesTiles = true;
  int64_t depth = depthTiles(p), panels = panelCount(p);
  const LoopDim& m = p.nest.dims[p.m];
  Value rows = m.size ? m.size : b.constant(m.extent);
  int64_t rowTiles = divideUp(m.extent, 2 * kSide);
  auto reserve = [&](int64_t bytes) { return b.add(threadOffset, scratch.reserve(bytes)); };
  TileBuffer left = tileBuffer(b, f.threadScratch, reserve(rowTiles * depth * 2 * kTileBytes),
                               rowTiles * depth * 2);
  TileBuffer right;
  if (packed) {
    right = tileBuffer(b, packed->memref, packed->base, panels * depth * 2);
  } else {
    right = tileBuffer(b, f.threadScratch, reserve(panels * depth * 2 * kTileBytes),
                       panels * depth * 2);
    PairSource source = sourceOf(b, p, 1, p.n, bases.b);
    packAll(b, source, b.constant(panels), depth, right.words, /*isLeft=*/false);
  }
  auto sumsType = MemRefType::get({2 * kSide, 2 * kSide}, b.getF32Type());
  Value sums =
      memref::ViewOp::create(b, sumsType, f.threadScratch, reserve(4 * kTileBytes), ValueRange{});
  Value usedTiles = b.div(b.add(rows, 2 * kSide - 1), 2 * kSide);
  PairSource leftSource = sourceOf(b, p, 0, p.m, bases.a);
  packAll(b, leftSource, usedTiles, depth, left.words, /*isLeft=*/true);

  auto tileType = amx::TileType::get({kSide, kSteps}, b.getBF16Type());
  auto sumType = amx::TileType::get({kSide, kSide}, b.getF32Type());
  Value zero = b.constant(0);
  auto multiply = [&](Value i, Value j) {
    ValueList inits;
    for (int t = 0; t < 4; ++t) inits.push_back(amx::TileZeroOp::create(b, sumType));
    ValueList totals = b.loop(zero, b.constant(depth), 1, inits, [&](Value k, ValueRange current) {
      Value leftTile = b.mul(b.add(b.mul(i, depth), k), 2),
            rightTile = b.mul(b.add(b.mul(j, depth), k), 2);
      ValueList as, bs;
      for (int64_t half = 0; half < 2; ++half) {
        as.push_back(amx::TileLoadOp::create(b, tileType, left.tiles,
                                             ValueRange{b.add(leftTile, half), zero, zero}));
        bs.push_back(amx::TileLoadOp::create(b, tileType, right.tiles,
                                             ValueRange{b.add(rightTile, half), zero, zero}));
      }
      ValueList next;
      for (int t = 0; t < 4; ++t)
        next.push_back(amx::TileMulFOp::create(b, sumType, as[t / 2], bs[t % 2], current[t]));
      return next;
    });
    for (int t = 0; t < 4; ++t)
      amx::TileStoreOp::create(
          b, sums, ValueRange{b.constant(t / 2 * kSide), b.constant(t % 2 * kSide)}, totals[t]);
  };
  const LoopOutput& output = p.nest.outputs[0];
  auto write = [&](Value i, Value j) {
    Value firstRow = b.mul(i, 2 * kSide), firstColumn = b.mul(j, 2 * kSide);
    Value count = b.minimum(b.constant(2 * kSide), b.sub(rows, firstRow));
    bool partial = p.extent(p.n) % (2 * kSide) != 0;
    b.loop(zero, count, 1, [&](Value r) {
      Value row = b.add(firstRow, r);
      for (int64_t half = 0; half < 2; ++half) {
        Value column = b.add(firstColumn, half * kSide);
        Value mask;
        if (partial) mask = createMask(b, b.sub(b.constant(p.extent(p.n)), column));
        auto at = [&](const Access& access, Value base) {
          return b.offset(b.offset(base, row, access.strides[p.m]), column, access.strides[p.n]);
        };
        Value value = vector::LoadOp::create(b, VectorType::get({kSide}, b.getF32Type()), sums,
                                             ValueRange{r, b.constant(half * kSide)});
        Value before;
        if (accumulate)
          before = loadVector(b, output.access, at(output.access, bases.c), 1, kSide, mask);
        else if (output.init && output.init->isScalar())
          before = b.splat(output.init->scalar, kSide);
        else if (output.init)
          before = loadVector(b, *output.init, at(*output.init, bases.init),
                              output.init->strides[p.n], kSide, mask);
        if (before) value = arith::AddFOp::create(b, before, value);
        storeVector(b, value, output.access, at(output.access, bases.c), 1, mask);
      }
    });
  };
  int64_t group = std::max<int64_t>(1, kBlockBytes / (depth * 2 * kTileBytes));
  b.loop(0, panels, group, [&](Value from) {
    Value to = b.minimum(b.add(from, group), b.constant(panels));
    b.loop(zero, usedTiles, 1, [&](Value i) {
      b.loop(from, to, 1, [&](Value j) {
        multiply(i, j);
        write(i, j);
      });
    });
  });
  return success();
}

}  // namespace weir
