// Products by AMX tiles.
//
// One multiplication adds to a 16 x 16 tile of C (f32) the product of a tile of A and one of B
// (matrix_packing.h). Operands of any strides are packed first; rows of A that an op before has
// left in the cache as bf16, in order, are read in place. The loop over k keeps 2 x 2 tiles of C in
// registers.
//
// Of f32 both operands are three parts of bf16, and the product is the sum of those of parts i and
// j with i + j <= 2; what is left out is below 2^-26 of |A| |B|. The five small ones are summed
// over all of k before the large one is added, so that C is rounded as often as by multiplications
// of bf16: the error is at most that of a sum of f32 in order.
//
// Of bf16 K is never split: reloading C costs more than the cache misses it would save. Of f32 it
// is, where a block of A would outgrow L2.

#include "compiler/conversion/cpu/matrix_packing.h"
#include "mlir/Dialect/AMX/AMXDialect.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/Matchers.h"

namespace weir {

using namespace mlir;

namespace {

constexpr int64_t kSide = kTileSide;

/// Panels whose sums an epilogue gets at once, at most: enough for it to walk memory along rows.
constexpr int64_t kStripPanels = 8;

int64_t depthTiles(const Product& p) { return divideUp(p.extent(p.k), kTileSteps); }
int64_t panelCount(const Product& p) { return divideUp(p.extent(p.n), 2 * kSide); }
int64_t leftParts(const Product& p) { return partsOf(p.nest.inputs[0].element); }
int64_t rightParts(const Product& p) { return partsOf(p.nest.inputs[1].element); }

bool isZero(Value scalar) { return matchPattern(scalar, m_AnyZeroFloat()); }

}  // namespace

PackedOperand packForMatrixTiles(KernelFunction& f, const Product& p) {
  KernelBuilder& b = f.b;
  int64_t depth = depthTiles(p), panels = panelCount(p), tiles = panels * depth * 2 * rightParts(p);
  PackedOperand packed;
  packed.depth = depth;
  packed.base = b.constant(f.shared.reserve(tiles * kMatrixTileBytes));
  packed.memref = f.sharedScratch;
  TileBuffer buffer = tileBuffer(b, packed.memref, packed.base, tiles);
  MatrixOperand right = matrixOperand(b, p, 1, p.nest.inputs[1].base);
  b.parallelLoop(panels, tiles * kTileWords >= kParallelWork, [&](Value panel) {
    b.loop(0, depth, 1, [&](Value k) { packPair(b, right, panel, k, depth, buffer.words); });
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
  LeftTiles leftTiles(Value i, Value k, int64_t part);
  Value reserve(int64_t bytes) { return b.add(threadOffset, scratch.reserve(bytes)); }
  Value bf16View(Value memref);
  /// First row of row tile `i`: rows that are used in place overlap those before at the end.
  Value firstRow(Value i);
  void fetchNext(Value i, Value j, Value k);
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
  if (!a.element.isBF16()) return false;
  // Packing what comes from memory costs nothing: it streams better than tiles do.
  return a.tile && a.strides[p.k] == 1 && a.strides[p.m] > 0 && !p.nest.dims[p.k].size &&
         p.extent(p.k) % kTileSteps == 0 && leastRows >= 2 * kSide;
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

MatrixTiles::LeftTiles MatrixTiles::leftTiles(Value i, Value k, int64_t part) {
  if (!inPlace) {
    Value tile = tileIndex(b, i, k, part, leftParts(p), depth);
    return {leftMemref, b.mul(tile, 2 * kTileWords), 2 * kTileWords, kTileSteps};
  }
  int64_t stride = p.nest.inputs[0].strides[p.m];
  Value at = b.add(b.offset(bases.a, firstRow(i), stride), b.mul(k, kTileSteps));
  return {leftMemref, at, kSide * stride, stride};
}

/// Fetches lines of row tile i and k tile k of the thread's next rows of A: the part for panel j,
/// so that all panels together fetch all.
void MatrixTiles::fetchNext(Value i, Value j, Value k) {
  const Access& a = p.nest.inputs[0];
  int64_t strideM = a.strides[p.m], strideK = a.strides[p.k];
  if (p.nextLeft == 0 || (strideM != 1 && strideK != 1)) return;
  constexpr int64_t kLineBytes = 64;
  int64_t lines = divideUp(kTileSteps, panels), elements = kLineBytes / storageBytes(a.element);
  Value corner = b.offset(b.add(bases.a, p.nextLeft), i, 2 * kSide * strideM);
  corner = b.offset(corner, k, kTileSteps * strideK);
  for (int64_t line = 0; line < lines; ++line) {
    Value row = b.rem(b.add(b.mul(j, lines), line), kTileSteps);
    Value at = b.offset(corner, row, strideK == 1 ? strideM : strideK);
    for (int64_t next = 0; next < 2 * kSide; next += elements)
      memref::PrefetchOp::create(b, a.memref, ValueRange{b.add(at, next)}, /*isWrite=*/false,
                                 /*localityHint=*/2, /*isDataCache=*/true);
  }
}

/// Four tiles of C: 32 rows and panel j. What they are added to is zero, or `before`. `besides`
/// emits what vector units do at each k tile.
ValueList MatrixTiles::multiply(Value i, Value j, ValueRange before,
                                function_ref<void(Value)> besides) {
  auto tileType = amx::TileType::get({kSide, kTileSteps}, b.getBF16Type());
  auto sumType = amx::TileType::get({kSide, kSide}, b.getF32Type());
  auto load = [&](Value memref, Value at, int64_t row) {
    return amx::TileLoadOp::create(b, tileType, memref, ValueRange{at}, b.constant(row));
  };
  auto loadLeft = [&](Value k, int64_t part, int half) {
    LeftTiles a = leftTiles(i, k, part);
    return load(a.memref, half ? b.add(a.first, a.second) : a.first, a.row);
  };
  auto loadRight = [&](Value k, int64_t part, int half) {
    Value tile = tileIndex(b, j, k, part, rightParts(p), packed ? packed->depth : depth);
    return load(rightMemref, b.mul(b.add(tile, half), 2 * kTileWords), kTileSteps);
  };
  // Parts of A and B. There are eight registers, and four hold sums: two tiles of A stay for the
  // parts of B that they meet, those of B come one by one. With all eight in use LLVM spills.
  using Term = std::pair<int64_t, int64_t>;
  bool fetches = !inPlace;
  auto sumOf = [&](ArrayRef<Term> terms, ValueRange start) {
    return b.loop(b.constant(0), b.constant(depth), 1, start, [&](Value k, ValueRange current) {
      ValueList sums(current), left(2);
      for (auto [number, term] : llvm::enumerate(terms)) {
        if (number == 0 || terms[number - 1].first != term.first)
          for (int half = 0; half < 2; ++half) left[half] = loadLeft(k, term.first, half);
        for (int column = 0; column < 2; ++column) {
          Value right = loadRight(k, term.second, column);
          for (int row = 0; row < 2; ++row) {
            Value& sum = sums[2 * row + column];
            sum = amx::TileMulFOp::create(b, sumType, left[row], right, sum);
          }
        }
      }
      if (fetches) fetchNext(i, j, k);
      if (besides) besides(k);
      return sums;
    });
  };
  SmallVector<Term> small;
  for (Term term : {Term{0, 2}, {0, 1}, {1, 1}, {1, 0}, {2, 0}})
    if (term.first < leftParts(p) && term.second < rightParts(p)) small.push_back(term);
  ValueList sums(before);
  while (sums.size() < 4) sums.push_back(amx::TileZeroOp::create(b, sumType));
  if (!small.empty()) {
    sums = sumOf(small, sums);
    besides = nullptr;
    fetches = false;
  }
  return sumOf(Term{0, 0}, sums);
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
      if (partial) mask = tileMask(b, b.sub(b.constant(p.extent(p.n)), column));
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
  int64_t panelTiles = depth * 2 * rightParts(p);
  int64_t group = std::max<int64_t>(1, p.tiling.group / (2 * kSide));
  if (inPlace) {
    leftMemref = bf16View(p.nest.inputs[0].memref);
  } else {
    int64_t tiles = rowTiles * depth * 2 * leftParts(p);
    TileBuffer left = tileBuffer(b, f.threadScratch, reserve(tiles * kMatrixTileBytes), tiles);
    leftMemref = left.tiles;
    packTiles(b, matrixOperand(b, p, 0, bases.a), usedRowTiles, depth, depth, left.words);
  }
  if (packed) {
    int64_t tiles = panels * packed->depth * 2 * rightParts(p);
    rightMemref = tileBuffer(b, packed->memref, packed->base, tiles).tiles;
  } else {
    int64_t tiles = panels * panelTiles;
    TileBuffer right = tileBuffer(b, f.threadScratch, reserve(tiles * kMatrixTileBytes), tiles);
    rightMemref = right.tiles;
    packTiles(b, matrixOperand(b, p, 1, bases.b), b.constant(panels), depth, depth, right.words);
  }
  if (p.epilogue) return emitStrips(group);
  auto block = MemRefType::get({2 * kSide, 2 * kSide}, b.getF32Type());
  Value offset = reserve(4 * kMatrixTileBytes);
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
  int64_t tiles = panelCount(p) * buffer.depth * 2 * rightParts(p);
  int64_t first = firstStep / kTileSteps * 2;
  Value offset = b.add(buffer.base, first * kMatrixTileBytes);
  TileBuffer words = tileBuffer(b, buffer.memref, offset, tiles - first);
  packTiles(b, matrixOperand(b, p, 1, p.nest.inputs[1].base), b.constant(panelCount(p)),
            depthTiles(p), buffer.depth, words.words);
}

LogicalResult emitMatrixTiles(KernelFunction& f, Product& p, const ProductBases& bases,
                              std::optional<PackedOperand> packed, Value threadOffset,
                              ScratchPlan& scratch, bool accumulate) {
  KernelBuilder& b = f.b;
  f.usesTiles = true;
  int64_t extent = p.extent(p.k), depth = p.tiling.depth;
  if (p.epilogue || p.nest.dims[p.k].size || depth >= extent)
    return MatrixTiles(f, p, bases, packed, threadOffset, scratch, accumulate).emit();
  LogicalResult result = success();
  auto part = [&](Value from, int64_t steps) {
    Product mine = p;
    mine.nest.dims[p.k].extent = steps;
    ProductBases at = bases;
    at.a = b.offset(bases.a, from, p.nest.inputs[0].strides[p.k]);
    at.b = b.offset(bases.b, from, p.nest.inputs[1].strides[p.k]);
    std::optional<PackedOperand> right = packed;
    if (right) right->base = b.add(packed->base, b.mul(from, 2 * kMatrixTileBytes / kTileSteps));
    ScratchPlan own = scratch;
    if (failed(MatrixTiles(f, mine, at, right, threadOffset, own, accumulate).emit()))
      result = failure();
    f.thread.growTo(own.size());
  };
  int64_t whole = extent / depth * depth;
  b.loop(0, whole, depth, [&](Value from) { part(from, depth); });
  if (whole != extent) part(b.constant(whole), extent - whole);
  return result;
}

}  // namespace weir
