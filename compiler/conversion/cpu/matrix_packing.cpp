#include "compiler/conversion/cpu/matrix_packing.h"

#include "compiler/conversion/cpu/tile_products.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

namespace weir {

using namespace mlir;

namespace {

/// Both halves of 16 pairs of elements: in f32 before they are split, else as they are.
struct Pairs {
  Value low, high;
};

VectorType vectorOf(KernelBuilder& b, Type element) {
  return VectorType::get({kTileSide}, element);
}

/// Takes the leading 8 bits of `values` (f32) and leaves the rest. Returns them as f32.
Value takeLeading(KernelBuilder& b, Value& values) {
  Value narrow = arith::TruncFOp::create(b, vectorOf(b, b.getBF16Type()), values);
  Value leading = arith::ExtFOp::create(b, vectorOf(b, b.getF32Type()), narrow);
  values = arith::SubFOp::create(b, values, leading);
  return leading;
}

Value asWords(KernelBuilder& b, Value vector) {
  return vector::BitCastOp::create(b, vectorOf(b, b.getI32Type()), vector);
}

/// Words of pair `p` for the 16 x from x0 on; x is walked by unit stride.
ValueList loadAcross(KernelBuilder& b, const MatrixOperand& source, Value x0, Value k0, Value p) {
  Value k = b.add(k0, b.mul(p, 2)), rest = b.sub(source.sizeX, x0);
  auto row = [&](Value step) {
    Value mask;
    if (!source.wholeK)
      rest = arith::SelectOp::create(b, b.lessThan(step, source.sizeK), b.sub(source.sizeX, x0),
                                     b.constant(0));
    if (!source.wholeK || !source.wholeX) mask = tileMask(b, rest);
    return loadVector(b, source.access, b.offset(b.add(source.base, x0), step, source.strideK), 1,
                      kTileSide, mask);
  };
  Value even = row(k), odd = row(b.add(k, 1)),
        half = b.intConstant(vectorOf(b, b.getI32Type()), 16);
  ValueList words;
  if (source.access.element.isInteger(16)) {
    even = arith::ExtUIOp::create(b, vectorOf(b, b.getI32Type()), even);
    odd = arith::ExtUIOp::create(b, vectorOf(b, b.getI32Type()), odd);
    words.push_back(arith::OrIOp::create(b, even, arith::ShLIOp::create(b, odd, half)));
    return words;
  }
  for (int64_t part = 0; part < source.parts; ++part) {
    // bf16 is the upper half of f32.
    Value low = asWords(b, takeLeading(b, even)), high = asWords(b, takeLeading(b, odd));
    words.push_back(arith::OrIOp::create(b, high, arith::ShRUIOp::create(b, low, half)));
  }
  return words;
}

/// Words of the 16 pairs from k0 on, for one x. Beyond the last x it repeats it: what comes of it
/// is not stored.
ValueList loadAlong(KernelBuilder& b, const MatrixOperand& source, Value x, Value k0) {
  if (!source.wholeX) x = b.minimum(x, b.sub(source.sizeX, b.constant(1)));
  Value at = b.offset(b.offset(source.base, x, source.strideX), k0, source.strideK);
  Type element = source.access.element;
  bool split = !element.isInteger(16);
  if (source.wholeK && !split) {
    Value both = loadVector(b, source.access, at, source.strideK, kTileSteps, Value());
    return {asWords(b, both)};
  }
  Value lowMask, highMask;
  if (!source.wholeK) {
    Value rest = b.sub(source.sizeK, k0);
    lowMask = tileMask(b, rest);
    highMask = tileMask(b, b.sub(rest, b.constant(kTileSide)));
  }
  Value low = loadVector(b, source.access, at, source.strideK, kTileSide, lowMask);
  Value high = loadVector(b, source.access, b.add(at, kTileSide * source.strideK), source.strideK,
                          kTileSide, highMask);
  SmallVector<int64_t> order;
  for (int64_t lane = 0; lane < kTileSteps; ++lane) order.push_back(lane);
  auto join = [&](Value first, Value second) {
    Type narrow = cast<VectorType>(first.getType()).getElementType();
    return asWords(b, vector::ShuffleOp::create(b, VectorType::get({kTileSteps}, narrow), first,
                                                second, order));
  };
  if (!split) return {join(low, high)};
  ValueList words;
  auto narrow = [&](Value vector) {
    return arith::TruncFOp::create(b, vectorOf(b, b.getBF16Type()), vector);
  };
  for (int64_t part = 0; part < source.parts; ++part)
    words.push_back(join(narrow(takeLeading(b, low)), narrow(takeLeading(b, high))));
  return words;
}

/// Rows [x0, x0 + 16) and steps [k0, k0 + 32): part i goes to words [at[i], at[i] + 256). In tiles
/// of A the word of pair p and row x is at 16 x + p, in tiles of B at 16 p + x.
struct TileToPack {
  Value x0, k0;
  SmallVector<Value> at;
};

Access asAccess(KernelBuilder& b, Value words) {
  Access access;
  access.memref = words;
  access.element = b.getI32Type();
  return access;
}

ValueList loadWords(KernelBuilder& b, const MatrixOperand& source, const TileToPack& tile,
                    Value i) {
  return source.strideX == 1 ? loadAcross(b, source, tile.x0, tile.k0, i)
                             : loadAlong(b, source, b.add(tile.x0, i), tile.k0);
}

/// Vectors of words go to the tiles as they come. What lies side by side is read at once.
void packInOrder(KernelBuilder& b, const MatrixOperand& source, ArrayRef<TileToPack> tiles,
                 Value words) {
  Access target = asAccess(b, words);
  b.loop(0, kTileSide, 1, [&](Value i) {
    for (const TileToPack& tile : tiles)
      for (auto [value, start] : llvm::zip_equal(loadWords(b, source, tile, i), tile.at))
        storeVector(b, value, target, b.offset(start, i, kTileSide), 1, Value());
  });
}

void storeTransposed(KernelBuilder& b, ValueList rows, const Access& target,
                     function_ref<Value(int64_t)> place) {
  rows = transposed(b, rows);
  for (int64_t i = 0; i < kTileSide; ++i) storeVector(b, rows[i], target, place(i), 1, Value());
}

void packTransposed(KernelBuilder& b, const MatrixOperand& source, const TileToPack& tile,
                    Value words) {
  Access target = asAccess(b, words);
  if (source.parts > 1) packInOrder(b, source, tile, words);
  for (Value start : tile.at) {
    ValueList rows;
    for (int64_t i = 0; i < kTileSide; ++i)
      rows.push_back(source.parts == 1 ? loadWords(b, source, tile, b.constant(i))[0]
                                       : loadVector(b, target, b.add(start, i * kTileSide), 1,
                                                    kTileSide, Value()));
    storeTransposed(b, rows, target, [&](int64_t i) { return b.add(start, i * kTileSide); });
  }
}

/// Two tiles of A of bf16 whose rows are walked by unit stride: whole lines are read, since those
/// of all 32 steps may fall on the same sets of the first cache.
void packTransposedPair(KernelBuilder& b, const MatrixOperand& source, ArrayRef<TileToPack> tiles,
                        Value words) {
  constexpr int64_t kLane = 8;
  VectorType pair = VectorType::get({kTileSteps}, b.getI16Type());
  auto row = [&](int64_t step) {
    Value k = b.add(tiles[0].k0, step), mask;
    Value rest = b.sub(source.sizeX, tiles[0].x0);
    if (!source.wholeK)
      rest = arith::SelectOp::create(b, b.lessThan(k, source.sizeK), rest, b.constant(0));
    if (!source.wholeK || !source.wholeX)
      mask = vector::CreateMaskOp::create(b, VectorType::get({kTileSteps}, b.getI1Type()),
                                          ValueRange{rest});
    return loadVector(b, source.access,
                      b.offset(b.add(source.base, tiles[0].x0), k, source.strideK), 1, kTileSteps,
                      mask);
  };
  // Interleaved lane by lane, in one instruction: that leaves the rows of A in another order.
  SmallVector<int64_t> order[2], rowOf[2];
  for (int64_t part = 0; part < 2; ++part)
    for (int64_t lane = 0; lane < kTileSteps; lane += kLane)
      for (int64_t i = 0; i < kLane / 2; ++i) {
        int64_t x = lane + part * kLane / 2 + i;
        order[part].append({x, x + kTileSteps});
        rowOf[part].push_back(x);
      }
  ValueList rows[2];
  for (int64_t p = 0; p < kTileSide; ++p) {
    Value even = row(2 * p), odd = row(2 * p + 1);
    for (int64_t part = 0; part < 2; ++part)
      rows[part].push_back(asWords(b, vector::ShuffleOp::create(b, pair, even, odd, order[part])));
  }
  Access target = asAccess(b, words);
  for (int64_t part = 0; part < 2; ++part)
    storeTransposed(b, rows[part], target, [&](int64_t i) {
      int64_t x = rowOf[part][i];
      return b.add(tiles[x / kTileSide].at[0], x % kTileSide * kTileSide);
    });
}

}  // namespace

Value tileMask(KernelBuilder& b, Value size) {
  return vector::CreateMaskOp::create(b, VectorType::get({kTileSide}, b.getI1Type()),
                                      ValueRange{size});
}

int64_t partsOf(Type element) { return element.isF32() ? 3 : 1; }

MatrixOperand matrixOperand(KernelBuilder& b, const Product& p, unsigned input, Value base) {
  MatrixOperand operand;
  operand.isLeft = input == 0;
  size_t x = operand.isLeft ? p.m : p.n;
  operand.access = p.nest.inputs[input];
  operand.parts = partsOf(operand.access.element);
  if (operand.parts == 1) operand.access.element = b.getI16Type();
  operand.base = base;
  operand.strideX = operand.access.strides[x];
  operand.strideK = operand.access.strides[p.k];
  auto size = [&](size_t d) {
    return p.nest.dims[d].size ? p.nest.dims[d].size : b.constant(p.extent(d));
  };
  operand.sizeX = size(x);
  operand.sizeK = size(p.k);
  operand.wholeX = !p.nest.dims[x].size && p.extent(x) % (2 * kTileSide) == 0;
  operand.wholeK = !p.nest.dims[p.k].size && p.extent(p.k) % kTileSteps == 0;
  return operand;
}

TileBuffer tileBuffer(KernelBuilder& b, Value bytes, Value offset, int64_t tiles) {
  TileBuffer buffer;
  buffer.words = b.view(bytes, offset, tiles * kTileWords, b.getI32Type());
  auto type = MemRefType::get({tiles * 2 * kTileWords}, b.getBF16Type());
  buffer.tiles = memref::ViewOp::create(b, type, bytes, offset, ValueRange{});
  return buffer;
}

Value tileIndex(KernelBuilder& b, Value x, Value k, int64_t part, int64_t parts, int64_t depth) {
  return b.mul(b.add(b.mul(b.add(b.mul(x, parts), part), depth), k), 2);
}

void packPair(KernelBuilder& b, const MatrixOperand& operand, Value x, Value k, int64_t depth,
              Value words) {
  SmallVector<TileToPack> tiles(2);
  for (auto [half, tile] : llvm::enumerate(tiles)) {
    tile.x0 = b.add(b.mul(x, 2 * kTileSide), half * kTileSide);
    tile.k0 = b.mul(k, kTileSteps);
    for (int64_t part = 0; part < operand.parts; ++part)
      tile.at.push_back(b.add(b.mul(tileIndex(b, x, k, part, operand.parts, depth), kTileWords),
                              half * kTileWords));
  }
  bool across = operand.strideX == 1;
  if (across != operand.isLeft) return packInOrder(b, operand, tiles, words);
  if (across && operand.parts == 1) return packTransposedPair(b, operand, tiles, words);
  for (const TileToPack& tile : tiles) packTransposed(b, operand, tile, words);
}

void packTiles(KernelBuilder& b, const MatrixOperand& operand, Value count, int64_t steps,
               int64_t depth, Value words) {
  Value zero = b.constant(0), stepsValue = b.constant(steps);
  // In the order in which the operand lies in memory.
  bool rowsOfK = walksRowsOfK(operand);
  b.loop(zero, rowsOfK ? stepsValue : count, 1, [&](Value i) {
    b.loop(zero, rowsOfK ? count : stepsValue, 1,
           [&](Value j) { packPair(b, operand, rowsOfK ? j : i, rowsOfK ? i : j, depth, words); });
  });
}

PackedOperand packForMatrixTiles(KernelFunction& f, const Product& p) {
  KernelBuilder& b = f.b;
  int64_t depth = depthTiles(p), panels = panelCount(p),
          tiles = panels * depth * 2 * partsOf(p.nest.inputs[1].element);
  PackedOperand packed;
  packed.depth = depth;
  packed.base = b.constant(f.shared.reserve(tiles * kMatrixTileBytes));
  packed.memref = f.sharedScratch;
  TileBuffer buffer = tileBuffer(b, packed.memref, packed.base, tiles);
  MatrixOperand right = matrixOperand(b, p, 1, p.nest.inputs[1].base);
  bool rowsOfK = walksRowsOfK(right);
  bool parallel = tiles * kTileWords >= kParallelWork;
  b.parallelLoop(rowsOfK ? depth : panels, parallel, [&](Value i) {
    b.loop(0, rowsOfK ? panels : depth, 1, [&](Value j) {
      packPair(b, right, rowsOfK ? j : i, rowsOfK ? i : j, depth, buffer.words);
    });
  });
  return packed;
}

void packTilesInto(KernelFunction& f, const Product& p, const PackedOperand& buffer,
                   Value firstStep) {
  KernelBuilder& b = f.b;
  int64_t tiles = panelCount(p) * buffer.depth * 2 * partsOf(p.nest.inputs[1].element);
  Value offset = b.offset(buffer.base, b.div(firstStep, kTileSteps), 2 * kMatrixTileBytes);
  TileBuffer words = tileBuffer(b, buffer.memref, offset, tiles);
  packTiles(b, matrixOperand(b, p, 1, p.nest.inputs[1].base), b.constant(panelCount(p)),
            depthTiles(p), buffer.depth, words.words);
}

int64_t leftBytes(const Product& p) {
  return divideUp(p.extent(p.m), 2 * kTileSide) * depthTiles(p) * 2 *
         partsOf(p.nest.inputs[0].element) * kMatrixTileBytes;
}

PackedOperand packLeft(KernelFunction& f, const Product& p, Value offset) {
  KernelBuilder& b = f.b;
  int64_t rowTiles = divideUp(p.extent(p.m), 2 * kTileSide);
  PackedOperand packed;
  packed.memref = f.threadScratch;
  packed.base = offset;
  packed.depth = depthTiles(p);
  TileBuffer words = tileBuffer(b, packed.memref, offset, leftBytes(p) / kMatrixTileBytes);
  packTiles(b, matrixOperand(b, p, 0, p.nest.inputs[0].base), b.constant(rowTiles), packed.depth,
            packed.depth, words.words);
  return packed;
}

}  // namespace weir
