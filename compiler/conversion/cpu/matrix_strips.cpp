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

/// The columns of a segment, from `first` on: as few parts as can be, whose strips are as wide as
/// can be. Where a panel is cut short the strip that it is in is a part of its own.
void cutSegment(size_t segment, int64_t first, int64_t end, SmallVectorImpl<Strips>& parts) {
  int64_t total = divideUp(end - first, kTilePair);
  // The narrower of both widths, whether they are one, panels of a strip, and of the last one.
  std::tuple<int64_t, bool, int64_t, int64_t> best;
  for (int64_t panels = std::min(total, kStripPanels); panels > 0; --panels)
    for (int64_t last = total % panels; last <= kStripPanels; last += panels)
      if (last > 0) best = std::max(best, {std::min(panels, last), panels == last, panels, last});
  auto [narrower, equal, panels, last] = best;
  int64_t apart =
      equal && (end - first) % kTilePair == 0 ? end : first + (total - last) * kTilePair;
  if (apart > first) parts.push_back({segment, first, apart, panels});
  if (apart < end) parts.push_back({segment, apart, end, last});
}

}  // namespace

SmallVector<Strips> stripsOf(const ProductEpilogue& epilogue) {
  SmallVector<Strips> parts;
  int64_t first = 0;
  for (auto [segment, end] : llvm::enumerate(epilogue.ends)) {
    cutSegment(segment, first, end, parts);
    first = end;
  }
  return parts;
}

/// All of C, for an epilogue: strips of sums, 32 rows by some panels. The epilogue of one strip
/// runs during the multiplications of the next: vector units wait for nothing then.
LogicalResult MatrixTiles::emitStrips(int64_t group) {
  // One tile more than needed: rows of a strip fall on different cache sets.
  int64_t width = (kStripPanels * 2 + 1) * kSide;
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
  // What a strip is: first row of C, rows, first panel of columns, its first row in `strips`, and
  // whether that is in the second half.
  enum { kRow, kRows, kPanel, kBase, kHalf };
  auto firstColumn = [&](ValueRange strip) { return b.mul(strip[kPanel], kTilePair); };
  for (const Strips& part : stripsOf(*p.epilogue)) {
    int64_t count = part.panels, first = part.first / kTilePair;
    int64_t last = divideUp(part.end, kTilePair), step = roundUp(group, count);
    int64_t columns = std::min(count * kTilePair, part.end - part.first);
    // At each k tile of the last visit a piece of a row is done; short sums have no room for all.
    int64_t places = count * (depth - (visits - 1) * visitDepth);
    bool interleaved = places >= 2 * kSide;
    int64_t pieces = std::max<int64_t>(places / (2 * kSide), 1);
    // Whole lines of bf16: half lines past the caches take much longer.
    int64_t unit = std::min(columns, roundUp(divideUp(columns, pieces), kTilePair));
    pieces = divideUp(columns, unit);
    auto emit = [&](ProductBlock mine, int64_t size) {
      mine.columns = size;
      if (failed(p.epilogue->emit(mine, part.segment))) result = failure();
    };
    auto finish = [&](ValueRange strip) {
      ProductBlock whole = block;
      whole.row = strip[kRow], whole.rows = strip[kRows], whole.column = firstColumn(strip);
      whole.sums.base = b.mul(strip[kBase], width);
      emit(whole, columns);
    };
    auto finishPiece = [&](ValueRange strip, Value number) {
      Value row = b.div(number, pieces), index = b.rem(number, pieces);
      Value column = b.mul(index, unit);
      ProductBlock piece = block;
      piece.mostRows = 1;
      piece.row = b.add(strip[kRow], row), piece.column = b.add(firstColumn(strip), column);
      piece.rows = b.maximum(zero, b.minimum(b.constant(1), b.sub(strip[kRows], row)));
      piece.sums.base = b.add(b.mul(b.add(strip[kBase], row), width), column);
      auto emitAndFetch = [&](int64_t size) {
        emit(piece, size);
        ProductBlock next = piece;
        next.columns = size;
        next.row = b.add(piece.row, kRowsAhead);
        p.epilogue->fetch(next, part.segment);
      };
      int64_t rest = columns % unit;
      if (rest == 0) return emitAndFetch(unit);
      b.ifThen(b.lessThan(index, b.constant(pieces - 1)), [&] { emitAndFetch(unit); });
      b.ifThen(b.lessThan(b.constant(pieces - 2), index), [&] { emitAndFetch(rest); });
    };
    auto multiplyStrip = [&](const Visit& visit, Value i, Value from, ValueRange before) {
      Value row = b.mul(i, 2 * kSide), half = b.sub(b.constant(2 * kSide), before[kHalf]);
      b.loop(0, count, 1, [&](Value j) {
        auto besides = [&](Value k) { finishPiece(before, b.add(b.mul(j, visit.count), k)); };
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
      strip[kRow] = row, strip[kPanel] = from, strip[kHalf] = half;
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
  }
  return result;
}

}  // namespace weir
