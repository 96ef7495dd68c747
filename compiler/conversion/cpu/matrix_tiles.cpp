// Products of bf16 by AMX tiles.
//
// A tile register holds 16 rows of 64 bytes. One multiplication adds to a 16 x 16 tile of C (f32)
// the product of a tile of A (16 rows, 32 steps of k) and a tile of B (16 pairs of k, 16 columns,
// both halves of a pair adjacent). Tiles are packed first, 1 KB each and padded with zeros, from
// operands of any strides: 16 x 16 blocks of pairs are loaded along the operand's unit stride and
// stored, or scattered, as 32-bit words. Rows of A that an op before has left in the cache, in
// order, are read in place. The loop over k keeps 2 x 2 tiles of C in registers. K is never split:
// reloading C costs more than the cache misses it would save.

#include "compiler/conversion/cpu/product.h"
#include "compiler/conversion/cpu/tile_products.h"
#include "mlir/Dialect/AMX/AMXDialect.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/Matchers.h"

namespace weir {

using namespace mlir;

namespace {

constexpr int64_t kSide = 16;    // rows of a tile, columns of a tile of C
constexpr int64_t kSteps = 32;   // steps of k in a tile
constexpr int64_t kWords = 256;  // 32-bit words of a tile
constexpr int64_t kTileBytes = 1024;
/// Panels whose sums an epilogue gets at once, at most: enough for it to walk memory along rows.
constexpr int64_t kStripPanels = 8;

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
  auto words = VectorType::get({kSide}, b.getI32Type());
  Value even = arith::ExtUIOp::create(b, words, row(k));
  Value odd = arith::ExtUIOp::create(b, words, row(b.add(k, 1)));
  return arith::OrIOp::create(b, even, arith::ShLIOp::create(b, odd, b.intConstant(words, 16)));
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
  auto type = MemRefType::get({tiles * 2 * kWords}, b.getBF16Type());
  buffer.tiles = memref::ViewOp::create(b, type, bytes, offset, ValueRange{});
  return buffer;
}

int64_t depthTiles(const Product& p) { return divideUp(p.extent(p.k), kSteps); }
int64_t panelCount(const Product& p) { return divideUp(p.extent(p.n), 2 * kSide); }

/// Packs the tiles of 32 x and 32 k, the two halves of x one after the other, from word `at` on.
void packPair(KernelBuilder& b, const PairSource& source, Value x, Value k, Value words, Value at,
              bool isLeft) {
  for (int64_t half = 0; half < 2; ++half)
    packTile(b, source, b.add(b.mul(x, 2 * kSide), half * kSide), b.mul(k, kSteps), words,
             b.add(at, half * kWords), isLeft);
}

/// Packs all tiles, in the order in which the source lies in memory; there is room for `depth`
/// tiles of k.
void packTiles(KernelBuilder& b, const PairSource& source, Value count, int64_t steps,
               int64_t depth, Value words, bool isLeft) {
  Value zero = b.constant(0), depthValue = b.constant(steps);
  bool rowsOfK = std::abs(source.strideK) > std::abs(source.strideX);
  b.loop(zero, rowsOfK ? depthValue : count, 1, [&](Value i) {
    b.loop(zero, rowsOfK ? count : depthValue, 1, [&](Value j) {
      Value x = rowsOfK ? j : i, k = rowsOfK ? i : j;
      packPair(b, source, x, k, words, b.mul(b.add(b.mul(x, depth), k), 2 * kWords), isLeft);
    });
  });
}

bool isZero(Value scalar) { return matchPattern(scalar, m_AnyZeroFloat()); }

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
    b.loop(0, depth, 1, [&](Value k) {
      Value at = b.mul(b.add(b.mul(panel, depth), k), 2 * kWords);
      packPair(b, source, panel, k, buffer.words, at, /*isLeft=*/false);
    });
  });
  return packed;
}

namespace {

/// Emits one product on one thread.
class MatrixTiles {
 public:
  MatrixTiles(KernelFunction& f, Product& p, const ProductBases& bases,
              std::optional<PackedOperand> packed, Value threadOffset, ScratchPlan& scratch,
              bool accumulate)
      : f(f),
        b(f.b),
        p(p),
        bases(bases),
        packed(packed),
        threadOffset(threadOffset),
        scratch(scratch),
        accumulate(accumulate),
        depth(depthTiles(p)),
        panels(panelCount(p)) {
    const LoopDim& m = p.nest.dims[p.m];
    rows = m.size ? m.size : b.constant(m.extent);
    rowTiles = divideUp(m.extent, 2 * kSide);
    usedRowTiles = b.div(b.add(rows, 2 * kSide - 1), 2 * kSide);
    leastRows = m.size ? std::min(m.extent, m.lastSize.value_or(1)) : m.extent;
    inPlace = readsLeftInPlace();
    sumsInPlace = keepsSumsInPlace();
  }

  LogicalResult emit();

 private:
  /// Where the two tiles of A for 32 rows and k tile `k` lie: offset of the first, from it to the
  /// second, and from row to row.
  struct LeftTiles {
    Value memref;
    Value first;
    int64_t second, row;
  };

  bool readsLeftInPlace() const;
  bool keepsSumsInPlace() const;
  LeftTiles leftTiles(Value i, Value k);
  Value reserve(int64_t bytes) { return b.add(threadOffset, scratch.reserve(bytes)); }
  Value bf16View(Value memref);
  /// First row of row tile `i`: rows that are used in place overlap those before at the end.
  Value firstRow(Value i);
  ValueList multiply(Value i, Value j, ValueRange before = {},
                     function_ref<void(Value)> besides = nullptr);
  void multiplyInPlace(Value i, Value j);
  void write(Value i, Value j, Value sums);
  LogicalResult emitStrips(int64_t group);

  KernelFunction& f;
  KernelBuilder& b;
  Product& p;
  const ProductBases& bases;
  std::optional<PackedOperand> packed;
  Value threadOffset;
  ScratchPlan& scratch;
  bool accumulate;
  int64_t depth, panels, rowTiles, leastRows;
  bool inPlace, sumsInPlace;
  Value rows, usedRowTiles, leftMemref, rightMemref;
};

bool MatrixTiles::readsLeftInPlace() const {
  const Access& a = p.nest.inputs[0];
  // Packing what comes from memory costs nothing: it streams better than tiles do.
  return a.tile && a.strides[p.k] == 1 && a.strides[p.m] > 0 && !p.nest.dims[p.k].size &&
         p.extent(p.k) % kSteps == 0 && leastRows >= 2 * kSide;
}

/// Whether tiles may be stored to C as they are, which is in the cache.
bool MatrixTiles::keepsSumsInPlace() const {
  const LoopOutput& output = p.nest.outputs[0];
  const std::optional<Access>& init = output.init;
  bool addsToItself = init && init->memref == output.access.memref && bases.init == bases.c;
  return output.access.tile && output.access.strides[p.n] == 1 && !p.nest.dims[p.m].size &&
         p.extent(p.m) % (2 * kSide) == 0 && p.extent(p.n) % (2 * kSide) == 0 && !accumulate &&
         (!init || addsToItself);
}

/// Memory of bf16 is typed i16 (see storageType).
Value MatrixTiles::bf16View(Value memref) {
  auto type = cast<MemRefType>(memref.getType());
  if (type.getElementType().isBF16()) return memref;
  return UnrealizedConversionCastOp::create(
             b, MemRefType::get(type.getShape(), b.getBF16Type(), type.getLayout()), memref)
      .getResult(0);
}

Value MatrixTiles::firstRow(Value i) {
  Value row = b.mul(i, 2 * kSide);
  if (!inPlace || (!p.nest.dims[p.m].size && p.extent(p.m) % (2 * kSide) == 0)) return row;
  return b.minimum(row, b.sub(rows, b.constant(2 * kSide)));
}

MatrixTiles::LeftTiles MatrixTiles::leftTiles(Value i, Value k) {
  if (!inPlace) {
    Value tile = b.mul(b.add(b.mul(i, depth), k), 2);
    return {leftMemref, b.mul(tile, 2 * kWords), 2 * kWords, kSteps};
  }
  int64_t stride = p.nest.inputs[0].strides[p.m];
  Value at = b.add(b.offset(bases.a, firstRow(i), stride), b.mul(k, kSteps));
  return {leftMemref, at, kSide * stride, stride};
}

/// Four tiles of C: 32 rows and panel j. What they are added to is zero, or `before`. `besides`
/// emits what vector units do at each k tile.
ValueList MatrixTiles::multiply(Value i, Value j, ValueRange before,
                                function_ref<void(Value)> besides) {
  auto tileType = amx::TileType::get({kSide, kSteps}, b.getBF16Type());
  auto sumType = amx::TileType::get({kSide, kSide}, b.getF32Type());
  ValueList start(before);
  while (start.size() < 4) start.push_back(amx::TileZeroOp::create(b, sumType));
  return b.loop(b.constant(0), b.constant(depth), 1, start, [&](Value k, ValueRange current) {
    LeftTiles a = leftTiles(i, k);
    int64_t rightDepth = packed ? packed->depth : depth;
    Value right = b.mul(b.add(b.mul(j, rightDepth), k), 4 * kWords);
    auto load = [&](Value memref, Value at, int64_t row) {
      return amx::TileLoadOp::create(b, tileType, memref, ValueRange{at}, b.constant(row));
    };
    Value a0 = load(a.memref, a.first, a.row), b0 = load(rightMemref, right, kSteps);
    Value a1 = load(a.memref, b.add(a.first, a.second), a.row);
    Value b1 = load(rightMemref, b.add(right, 2 * kWords), kSteps);
    Value as[] = {a0, a1}, bs[] = {b0, b1};
    ValueList next;
    for (int t = 0; t < 4; ++t)
      next.push_back(amx::TileMulFOp::create(b, sumType, as[t / 2], bs[t % 2], current[t]));
    if (besides) besides(k);
    return next;
  });
}

void MatrixTiles::multiplyInPlace(Value i, Value j) {
  const LoopOutput& output = p.nest.outputs[0];
  int64_t stride = output.access.strides[p.m];
  Value first = b.add(b.offset(bases.c, i, 2 * kSide * stride), b.mul(j, 2 * kSide));
  auto at = [&](int t) { return b.add(first, t / 2 * kSide * stride + t % 2 * kSide); };
  auto sumType = amx::TileType::get({kSide, kSide}, b.getF32Type());
  ValueList before;
  for (int t = 0; output.init && t < 4; ++t)
    before.push_back(amx::TileLoadOp::create(b, sumType, output.access.memref, ValueRange{at(t)},
                                             b.constant(stride)));
  ValueList totals = multiply(i, j, before);
  for (int t = 0; t < 4; ++t)
    amx::TileStoreOp::create(b, output.access.memref, ValueRange{at(t)}, totals[t],
                             b.constant(stride));
}

/// Takes 32 x 32 sums from a buffer to C.
void MatrixTiles::write(Value i, Value j, Value sums) {
  const LoopOutput& output = p.nest.outputs[0];
  Value start = b.mul(i, 2 * kSide), shift = b.sub(start, firstRow(i));
  Value count = b.minimum(b.constant(2 * kSide), b.sub(rows, start));
  Value firstColumn = b.mul(j, 2 * kSide);
  bool partial = p.extent(p.n) % (2 * kSide) != 0;
  Access source;
  source.memref = sums;
  source.element = b.getF32Type();
  b.loop(b.constant(0), count, 1, [&](Value r) {
    Value row = b.add(start, r), from = b.mul(b.add(shift, r), 2 * kSide);
    for (int64_t half = 0; half < 2; ++half) {
      Value column = b.add(firstColumn, half * kSide);
      Value mask;
      if (partial) mask = createMask(b, b.sub(b.constant(p.extent(p.n)), column));
      auto at = [&](const Access& access, Value base) {
        return b.offset(b.offset(base, row, access.strides[p.m]), column, access.strides[p.n]);
      };
      Value value = loadVector(b, source, b.add(from, half * kSide), 1, kSide, Value());
      Value before;
      if (accumulate)
        before = loadVector(b, output.access, at(output.access, bases.c), 1, kSide, mask);
      else if (output.init && output.init->isScalar())
        before = isZero(output.init->scalar) ? Value() : b.splat(output.init->scalar, kSide);
      else if (output.init)
        before = loadVector(b, *output.init, at(*output.init, bases.init),
                            output.init->strides[p.n], kSide, mask);
      if (before) value = arith::AddFOp::create(b, before, value);
      storeVector(b, value, output.access, at(output.access, bases.c), 1, mask);
    }
  });
}

/// All of C, for an epilogue: strips of sums, 32 rows by some panels. The epilogue of one strip
/// runs during the multiplications of the next: vector units wait for nothing then.
LogicalResult MatrixTiles::emitStrips(int64_t group) {
  // One tile more than needed: rows of a strip fall on different cache sets.
  int64_t width = (kStripPanels * 2 + 1) * kSide, start = 0;
  int64_t bytes = 2 * kSide * width * sizeof(float);
  Value offset = reserve(2 * bytes), zero = b.constant(0);
  Value strips = memref::ViewOp::create(b, MemRefType::get({4 * kSide, width}, b.getF32Type()),
                                        f.threadScratch, offset, ValueRange{});
  ProductBlock block;
  block.sums.memref = b.view(f.threadScratch, offset, 4 * kSide * width, b.getF32Type());
  block.sums.element = b.getF32Type();
  block.sums.strides = {width, 1};
  block.mostRows = std::min(2 * kSide, p.extent(p.m));
  LogicalResult result = success();
  // What a strip is: first row of C, rows, first column, its first row in `strips`, and whether
  // that is in the second half.
  enum { kRow, kRows, kColumn, kBase, kHalf };
  for (auto [segment, end] : llvm::enumerate(p.epilogue->ends)) {
    int64_t first = start / (2 * kSide), last = divideUp(end, 2 * kSide), count = kStripPanels;
    while ((last - first) % count != 0) --count;
    int64_t columns = std::min(count * 2 * kSide, end - start), step = roundUp(group, count);
    // Short sums have no room for a strip's rows.
    bool interleaved = end % (2 * kSide) == 0 && count * depth >= 2 * kSide;
    // The part of a row that is done at each k tile.
    int64_t unit = roundUp(divideUp(2 * kSide * columns, count * depth), kSide);
    while (interleaved && columns % unit != 0) unit += kSide;
    auto finish = [&, segment = segment](ValueRange strip) {
      ProductBlock whole = block;
      whole.row = strip[kRow], whole.rows = strip[kRows], whole.column = strip[kColumn];
      whole.sums.base = b.mul(strip[kBase], width);
      whole.columns = columns;
      if (!interleaved && end - start > columns)
        whole.size = b.minimum(b.constant(columns), b.sub(b.constant(p.extent(p.n)), whole.column));
      if (failed(p.epilogue->emit(whole, segment))) result = failure();
    };
    auto finishPart = [&, segment = segment](ValueRange strip, Value number) {
      Value row = b.div(number, columns / unit);
      Value column = b.mul(b.rem(number, columns / unit), unit);
      ProductBlock part = block;
      part.mostRows = 1;
      part.columns = unit;
      part.row = b.add(strip[kRow], row), part.column = b.add(strip[kColumn], column);
      part.rows = b.maximum(zero, b.minimum(b.constant(1), b.sub(strip[kRows], row)));
      part.sums.base = b.add(b.mul(b.add(strip[kBase], row), width), column);
      if (failed(p.epilogue->emit(part, segment))) result = failure();
    };
    auto multiplyStrip = [&](Value i, Value from, ValueRange before) {
      Value row = b.mul(i, 2 * kSide), half = b.sub(b.constant(2 * kSide), before[kHalf]);
      b.loop(0, count, 1, [&](Value j) {
        auto besides = [&](Value k) { finishPart(before, b.add(b.mul(j, depth), k)); };
        function_ref<void(Value)> none = nullptr;
        ValueList totals = multiply(i, b.add(from, j), {},
                                    interleaved ? function_ref<void(Value)>(besides) : none);
        for (int t = 0; t < 4; ++t)
          amx::TileStoreOp::create(
              b, strips,
              ValueRange{b.add(half, t / 2 * kSide), b.add(b.mul(j, 2 * kSide), t % 2 * kSide)},
              totals[t]);
      });
      ValueList strip(5);
      strip[kRow] = row, strip[kColumn] = b.mul(from, 2 * kSide), strip[kHalf] = half;
      strip[kRows] = b.minimum(b.constant(2 * kSide), b.sub(rows, row));
      strip[kBase] = b.add(half, b.sub(row, firstRow(i)));
      if (!interleaved) finish(strip);
      return strip;
    };
    ValueList none(5, zero);
    ValueList strip = b.loop(
        b.constant(first), b.constant(last), step, none, [&](Value groupFrom, ValueRange carried) {
          Value groupTo = b.minimum(b.add(groupFrom, step), b.constant(last));
          return b.loop(zero, usedRowTiles, 1, carried, [&](Value i, ValueRange carried) {
            return b.loop(groupFrom, groupTo, count, carried, [&](Value from, ValueRange before) {
              return multiplyStrip(i, from, before);
            });
          });
        });
    if (interleaved) finish(strip);
    start = end;
  }
  return result;
}

LogicalResult MatrixTiles::emit() {
  Value zero = b.constant(0);
  int64_t group = std::max<int64_t>(1, p.tiling.group / (2 * kSide));
  if (inPlace) {
    leftMemref = bf16View(p.nest.inputs[0].memref);
  } else {
    TileBuffer left = tileBuffer(b, f.threadScratch, reserve(rowTiles * depth * 2 * kTileBytes),
                                 rowTiles * depth * 2);
    leftMemref = left.tiles;
    PairSource source = sourceOf(b, p, 0, p.m, bases.a);
    packTiles(b, source, usedRowTiles, depth, depth, left.words, /*isLeft=*/true);
  }
  if (packed) {
    rightMemref = tileBuffer(b, packed->memref, packed->base, panels * packed->depth * 2).tiles;
  } else {
    int64_t tiles = panels * depth * 2;
    TileBuffer right = tileBuffer(b, f.threadScratch, reserve(tiles * kTileBytes), tiles);
    rightMemref = right.tiles;
    PairSource source = sourceOf(b, p, 1, p.n, bases.b);
    packTiles(b, source, b.constant(panels), depth, depth, right.words, /*isLeft=*/false);
  }
  if (p.epilogue) return emitStrips(group);
  auto block = MemRefType::get({2 * kSide, 2 * kSide}, b.getF32Type());
  Value offset = reserve(4 * kTileBytes);
  Value tiles = memref::ViewOp::create(b, block, f.threadScratch, offset, ValueRange{});
  Value sums = b.view(f.threadScratch, offset, 4 * kSide * kSide, b.getF32Type());
  b.loop(0, panels, group, [&](Value from) {
    Value to = b.minimum(b.add(from, group), b.constant(panels));
    b.loop(zero, usedRowTiles, 1, [&](Value i) {
      b.loop(from, to, 1, [&](Value j) {
        if (sumsInPlace) return multiplyInPlace(i, j);
        ValueList totals = multiply(i, j);
        for (int t = 0; t < 4; ++t)
          amx::TileStoreOp::create(b, tiles,
                                   ValueRange{b.constant(t / 2 * kSide), b.constant(t % 2 * kSide)},
                                   totals[t]);
        write(i, j, sums);
      });
    });
  });
  return success();
}

}  // namespace

void packTilesInto(KernelFunction& f, const Product& p, const PackedOperand& buffer,
                   int64_t firstStep) {
  KernelBuilder& b = f.b;
  int64_t tiles = panelCount(p) * buffer.depth * 2, first = firstStep / kSteps * 2;
  Value offset = b.add(buffer.base, first * kTileBytes);
  TileBuffer words = tileBuffer(b, buffer.memref, offset, tiles - first);
  PairSource source = sourceOf(b, p, 1, p.n, p.nest.inputs[1].base);
  packTiles(b, source, b.constant(panelCount(p)), depthTiles(p), buffer.depth, words.words,
            /*isLeft=*/false);
}

LogicalResult emitMatrixTiles(KernelFunction& f, Product& p, const ProductBases& bases,
                              std::optional<PackedOperand> packed, Value threadOffset,
                              ScratchPlan& scratch, bool accumulate) {
  f.usesTiles = true;
  return MatrixTiles(f, p, bases, packed, threadOffset, scratch, accumulate).emit();
}

}  // namespace weir
