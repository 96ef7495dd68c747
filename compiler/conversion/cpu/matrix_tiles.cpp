#include "compiler/conversion/cpu/matrix_tiles.h"

#include "compiler/conversion/cpu/lowering_pipeline.h"
#include "mlir/Dialect/AMX/AMXDialect.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/Matchers.h"

namespace weir {

using namespace mlir;

namespace {

constexpr int64_t kSide = kTileSide;

/// Bytes of 32 rows of A that stay in L1 while B passes by.
constexpr int64_t kLeftBytesInL1 = 40 << 10;

int64_t leftParts(const Product& p) { return partsOf(p.nest.inputs[0].element); }
int64_t rightParts(const Product& p) { return partsOf(p.nest.inputs[1].element); }

bool isZero(Value scalar) { return matchPattern(scalar, m_AnyZeroFloat()); }

}  // namespace

MatrixTiles::MatrixTiles(KernelFunction& f, Product& p, const ProductBases& bases,
                         std::optional<PackedOperand> packed, Value threadOffset,
                         ScratchPlan& scratch, bool accumulate)
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
  int64_t most = std::clamp<int64_t>(divideUp(p.tiling.depth, kTileSteps), 1, depth);
  visits = divideUp(depth, most);
  visitDepth = divideUp(depth, visits);
  visits = divideUp(depth, visitDepth);
}

bool MatrixTiles::readsLeftInPlace() const {
  const Access& a = p.nest.inputs[0];
  if (!a.element.isBF16()) return false;
  // Packing what comes from memory costs nothing: it streams better than tiles do.
  return !p.packedLeft && a.tile && a.strides[p.k] == 1 && a.strides[p.m] > 0 &&
         !p.nest.dims[p.k].size && p.extent(p.k) % kTileSteps == 0 && leastRows >= 2 * kSide;
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

MatrixTiles::LeftTiles MatrixTiles::leftTiles(const Visit& visit, Value i, Value k, int64_t part) {
  if (!inPlace) {
    if (leftDepth == depth) k = b.add(visit.first, k);
    Value tile = tileIndex(b, i, k, part, leftParts(p), leftDepth);
    return {leftMemref, b.mul(tile, 2 * kTileWords), 2 * kTileWords, kTileSteps};
  }
  int64_t stride = p.nest.inputs[0].strides[p.m];
  Value at =
      b.add(b.offset(bases.a, firstRow(i), stride), b.mul(b.add(visit.first, k), kTileSteps));
  return {leftMemref, at, kSide * stride, stride};
}

void MatrixTiles::forEachVisit(function_ref<void(const Visit&)> emit) {
  Value zero = b.constant(0);
  if (visits == 1) return emit({zero, depth, true, true});
  emit({zero, visitDepth, true, false});
  b.loop(1, visits - 1, 1,
         [&](Value visit) { emit({b.mul(visit, visitDepth), visitDepth, false, false}); });
  int64_t before = (visits - 1) * visitDepth;
  emit({b.constant(before), depth - before, false, true});
}

/// Operand `input` from the first step of a visit on.
MatrixOperand MatrixTiles::operandOf(const Visit& visit, unsigned input, Value base) {
  MatrixOperand operand = matrixOperand(b, p, input, base);
  operand.base = b.offset(operand.base, visit.first, kTileSteps * operand.strideK);
  if (!visit.isLast && !p.nest.dims[p.k].size) operand.wholeK = true;
  if (!operand.wholeK) operand.sizeK = b.sub(operand.sizeK, b.mul(visit.first, kTileSteps));
  return operand;
}

/// Packs what a visit, or all of them, read of A.
void MatrixTiles::packLeft(const Visit& visit) {
  packTiles(b, operandOf(visit, 0, bases.a), usedRowTiles, visit.count, leftDepth, leftWords);
}

/// Packs what a visit reads of A and of panels [from, to) of B, unless it is packed.
void MatrixTiles::packVisit(const Visit& visit, Value from, Value to) {
  if (leftDepth < depth) packLeft(visit);
  if (packed) return;
  MatrixOperand right = operandOf(visit, 1, bases.b);
  right.base = b.offset(right.base, from, 2 * kSide * right.strideX);
  right.sizeX = b.sub(right.sizeX, b.mul(from, 2 * kSide));
  packTiles(b, right, b.sub(to, from), visit.count, visitDepth, rightWords);
}

MatrixTiles::Sums MatrixTiles::partialSums(Value i, Value j) {
  if (!sumsInPlace) {
    Value number = b.add(b.mul(i, groupPanels), b.sub(j, groupFrom));
    return {partials, b.mul(number, 4 * kTileWords), 2 * kTileWords, kTileWords, kSide};
  }
  const Access& c = p.nest.outputs[0].access;
  int64_t stride = c.strides[p.m];
  Value first = b.add(b.offset(bases.c, i, 2 * kSide * stride), b.mul(j, 2 * kSide));
  return {c.memref, first, kSide * stride, kSide, stride};
}

/// What four tiles of C hold before a visit.
ValueList MatrixTiles::sumsBefore(const Visit& visit, Value i, Value j) {
  auto sumType = amx::TileType::get({kSide, kSide}, b.getF32Type());
  ValueList sums;
  bool zero = visit.isFirst && !(sumsInPlace && p.nest.outputs[0].init);
  Sums kept = zero ? Sums() : partialSums(i, j);
  for (int t = 0; t < 4; ++t) {
    if (zero) {
      sums.push_back(amx::TileZeroOp::create(b, sumType));
      continue;
    }
    Value at = b.add(kept.first, t / 2 * kept.below + t % 2 * kept.right);
    sums.push_back(
        amx::TileLoadOp::create(b, sumType, kept.memref, ValueRange{at}, b.constant(kept.row)));
  }
  return sums;
}

void MatrixTiles::keepSums(Value i, Value j, ValueRange sums) {
  Sums kept = partialSums(i, j);
  for (int t = 0; t < 4; ++t) {
    Value at = b.add(kept.first, t / 2 * kept.below + t % 2 * kept.right);
    amx::TileStoreOp::create(b, kept.memref, ValueRange{at}, sums[t], b.constant(kept.row));
  }
}

/// Fetches, during k tile `k` of a visit, lines of the sums that are needed after those of panel j.
void MatrixTiles::fetchSums(Value i, Value j, const Visit& visit, Value k) {
  if (visit.isFirst || sumsInPlace) return;
  int64_t lines = divideUp(4 * kSide, visit.count);
  Value next = b.add(partialSums(i, j).first, 4 * kTileWords);
  for (int64_t line = 0; line < lines; ++line) {
    b.prefetch(partials, b.add(next, b.mul(b.add(b.mul(k, lines), line), kSide)));
  }
}

/// Fetches to L2, during k tile `k` of a visit, lines of row tile i of the A that is packed first
/// for the thread's next rows: the part for panel j, so that all panels together fetch all. What
/// later visits pack is not fetched: it would push out what this one needs.
void MatrixTiles::fetchNext(const Visit& visit, Value i, Value j, Value k) {
  const Access& a = p.nest.inputs[0];
  int64_t strideM = a.strides[p.m], strideK = a.strides[p.k];
  if (inPlace || p.nextLeft == 0 || (strideM != 1 && strideK != 1)) return;
  if (leftDepth == depth)
    k = b.add(visit.first, k);
  else if (!visit.isLast)
    return;
  int64_t lines = divideUp(kTileSteps, panels), elements = kLineBytes / storageBytes(a.element);
  Value corner = b.offset(b.add(bases.a, p.nextLeft), i, 2 * kSide * strideM);
  corner = b.offset(corner, k, kTileSteps * strideK);
  for (int64_t line = 0; line < lines; ++line) {
    Value row = b.rem(b.add(b.mul(j, lines), line), kTileSteps);
    Value at = b.offset(corner, row, strideK == 1 ? strideM : strideK);
    for (int64_t next = 0; next < 2 * kSide; next += elements)
      b.prefetch(a.memref, b.add(at, next), KernelBuilder::Cache::Second);
  }
}

/// Four tiles of C: 32 rows and panel j, after a visit. `besides` emits what vector units do at
/// each of its k tiles.
ValueList MatrixTiles::multiply(const Visit& visit, Value i, Value j,
                                function_ref<void(Value)> besides) {
  auto tileType = amx::TileType::get({kSide, kTileSteps}, b.getBF16Type());
  auto sumType = amx::TileType::get({kSide, kSide}, b.getF32Type());
  auto load = [&](Value memref, Value at, int64_t row) {
    return amx::TileLoadOp::create(b, tileType, memref, ValueRange{at}, b.constant(row));
  };
  auto loadLeft = [&](Value k, int64_t part, int half) {
    LeftTiles a = leftTiles(visit, i, k, part);
    return load(a.memref, half ? b.add(a.first, a.second) : a.first, a.row);
  };
  bool rowsFitL1 = 2 * kMatrixTileBytes * visitDepth * leftParts(p) <= kLeftBytesInL1;
  auto loadRight = [&](Value k, int64_t part, int half) {
    Value tile = packed ? tileIndex(b, j, b.add(visit.first, k), part, rightParts(p), packed->depth)
                        : tileIndex(b, b.sub(j, groupFrom), k, part, rightParts(p), visitDepth);
    auto right = load(rightMemref, b.mul(b.add(tile, half), 2 * kTileWords), kTileSteps);
    if (rowsFitL1) right->setAttr(kPastL1Attr, b.getUnitAttr());
    return right;
  };
  // Parts of A and B. There are eight registers, and four hold sums: two tiles of A stay for the
  // parts of B that they meet, those of B come one by one. With all eight in use LLVM spills.
  using Term = std::pair<int64_t, int64_t>;
  bool fetches = true;
  auto sumOf = [&](ArrayRef<Term> terms, ValueRange start) {
    return b.loop(b.constant(0), b.constant(visit.count), 1, start,
                  [&](Value k, ValueRange current) {
                    ValueList sums(current), left(2);
                    for (auto [number, term] : llvm::enumerate(terms)) {
                      if (number == 0 || terms[number - 1].first != term.first)
                        for (int half = 0; half < 2; ++half)
                          left[half] = loadLeft(k, term.first, half);
                      for (int column = 0; column < 2; ++column) {
                        Value right = loadRight(k, term.second, column);
                        for (int row = 0; row < 2; ++row) {
                          Value& sum = sums[2 * row + column];
                          sum = amx::TileMulFOp::create(b, sumType, left[row], right, sum);
                        }
                      }
                    }
                    if (fetches) fetchNext(visit, i, j, k);
                    fetchSums(i, j, visit, k);
                    if (besides) besides(k);
                    return sums;
                  });
  };
  SmallVector<Term> small;
  for (Term term : {Term{0, 2}, {0, 1}, {1, 1}, {1, 0}, {2, 0}})
    if (term.first < leftParts(p) && term.second < rightParts(p)) small.push_back(term);
  ValueList sums = sumsBefore(visit, i, j);
  if (!small.empty()) {
    sums = sumOf(small, sums);
    besides = nullptr;
    fetches = false;
  }
  return sumOf(Term{0, 0}, sums);
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

/// A visit of the sums of all rows and panels [from, to), which are kept for the next one.
void MatrixTiles::multiplyGroup(const Visit& visit, Value from, Value to) {
  packVisit(visit, from, to);
  b.loop(b.constant(0), usedRowTiles, 1, [&](Value i) {
    b.loop(from, to, 1, [&](Value j) { keepSums(i, j, multiply(visit, i, j)); });
  });
}

LogicalResult MatrixTiles::emit() {
  Value zero = b.constant(0);
  int64_t group = std::clamp<int64_t>(p.tiling.group / (2 * kSide), 1, panels);
  groupPanels = p.epilogue ? group + kStripPanels - 1 : group;
  // A visit's A is packed when it comes, unless it comes for several groups of panels.
  bool oneGroup = group == panels && (!p.epilogue || stripsOf(*p.epilogue).size() == 1);
  leftDepth = oneGroup ? visitDepth : depth;
  if (inPlace) {
    leftDepth = depth;
    leftMemref = bf16View(p.nest.inputs[0].memref);
  } else if (p.packedLeft) {
    leftDepth = p.packedLeft->depth;
    int64_t tiles = rowTiles * leftDepth * 2 * leftParts(p);
    leftMemref = tileBuffer(b, p.packedLeft->memref, p.packedLeft->base, tiles).tiles;
  } else {
    int64_t tiles = rowTiles * leftDepth * 2 * leftParts(p);
    TileBuffer left = tileBuffer(b, f.threadScratch, reserve(tiles * kMatrixTileBytes), tiles);
    leftMemref = left.tiles, leftWords = left.words;
    if (leftDepth == depth) packLeft({zero, depth, true, true});
  }
  if (packed) {
    int64_t tiles = panels * packed->depth * 2 * rightParts(p);
    rightMemref = tileBuffer(b, packed->memref, packed->base, tiles).tiles;
  } else {
    int64_t tiles = std::min(groupPanels, panels) * visitDepth * 2 * rightParts(p);
    TileBuffer right = tileBuffer(b, f.threadScratch, reserve(tiles * kMatrixTileBytes), tiles);
    rightMemref = right.tiles, rightWords = right.words;
  }
  if (visits > 1 && !sumsInPlace) {
    int64_t elements = rowTiles * groupPanels * 4 * kTileWords;
    partials = b.view(f.threadScratch, reserve(elements * sizeof(float)), elements, b.getF32Type());
  }
  if (p.epilogue) return emitStrips(group);
  auto block = MemRefType::get({2 * kSide, 2 * kSide}, b.getF32Type());
  Value offset = reserve(4 * kMatrixTileBytes);
  Value tiles = memref::ViewOp::create(b, block, f.threadScratch, offset, ValueRange{});
  Value sums = b.view(f.threadScratch, offset, 4 * kSide * kSide, b.getF32Type());
  b.loop(0, panels, group, [&](Value from) {
    Value to = b.minimum(b.add(from, group), b.constant(panels));
    groupFrom = from;
    forEachVisit([&](const Visit& visit) {
      if (!visit.isLast || sumsInPlace) return multiplyGroup(visit, from, to);
      packVisit(visit, from, to);
      b.loop(zero, usedRowTiles, 1, [&](Value i) {
        b.loop(from, to, 1, [&](Value j) {
          ValueList totals = multiply(visit, i, j);
          for (int t = 0; t < 4; ++t)
            amx::TileStoreOp::create(
                b, tiles, ValueRange{b.constant(t / 2 * kSide), b.constant(t % 2 * kSide)},
                totals[t]);
          write(i, j, sums);
        });
      });
    });
  });
  return success();
}

LogicalResult emitMatrixTiles(KernelFunction& f, Product& p, const ProductBases& bases,
                              std::optional<PackedOperand> packed, Value threadOffset,
                              ScratchPlan& scratch, bool accumulate) {
  f.usesTiles = true;
  return MatrixTiles(f, p, bases, packed, threadOffset, scratch, accumulate).emit();
}

}  // namespace weir
