// The sums of a product of AMX tiles for an epilogue.

#include "compiler/conversion/cpu/matrix_tiles.h"
#include "mlir/Dialect/AMX/AMXDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"

namespace weir {

using namespace mlir;

namespace {

constexpr int64_t kSide = kTileSide;

/// Rows of a strip that are fetched ahead of the epilogue's.
constexpr int64_t kRowsAhead = 4;

}  // namespace

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
    int64_t places = count * (depth - (visits - 1) * visitDepth);
    bool interleaved = end % (2 * kSide) == 0 && places >= 2 * kSide;
    // The part of a row that is done at each k tile of the last visit.
    int64_t unit = roundUp(divideUp(2 * kSide * columns, places), kSide);
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
      part.row = b.add(part.row, kRowsAhead);
      p.epilogue->fetch(part, segment);
    };
    auto multiplyStrip = [&](const Visit& visit, Value i, Value from, ValueRange before) {
      Value row = b.mul(i, 2 * kSide), half = b.sub(b.constant(2 * kSide), before[kHalf]);
      b.loop(0, count, 1, [&](Value j) {
        auto besides = [&](Value k) { finishPart(before, b.add(b.mul(j, visit.count), k)); };
        function_ref<void(Value)> none = nullptr;
        ValueList totals = multiply(visit, i, b.add(from, j),
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
        b.constant(first), b.constant(last), step, none, [&](Value from, ValueRange carried) {
          Value to = b.minimum(b.add(from, step), b.constant(last));
          ValueList done;
          groupFrom = from;
          forEachVisit([&](const Visit& visit) {
            if (!visit.isLast) return multiplyGroup(visit, from, to);
            packVisit(visit, from, to);
            done = b.loop(zero, usedRowTiles, 1, carried, [&](Value i, ValueRange carried) {
              return b.loop(from, to, count, carried, [&](Value from, ValueRange before) {
                return multiplyStrip(visit, i, from, before);
              });
            });
          });
          return done;
        });
    if (interleaved) finish(strip);
    start = end;
  }
  return result;
}

}  // namespace weir
