// Products by register tiles: see product.h.

#include "compiler/conversion/cpu/product.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

namespace weir {

using namespace mlir;

namespace {

/// Packs panels [firstPanel, firstPanel + panels) of rows [k0, k0 + depth) of B; `depth` may be a
/// value. Panels are `stride` elements apart in `to`.
LogicalResult packPanels(KernelFunction& f, const Product& p, Value base, Value to, Value toBase,
                         Value firstPanel, int64_t panels, Value k0, int64_t depth,
                         Value depthValue, int64_t stride) {
  KernelBuilder& b = f.b;
  const Access& source = p.nest.inputs[1];
  int64_t width = panelWidth(b.target, p.compute);
  int64_t sk = source.strides[p.k], sn = source.strides[p.n];
  Access from = source;
  from.base = b.offset(b.offset(base, k0, sk), firstPanel, sn * width);
  from.strides = {sn * width, sk, sn};
  Access panel;
  panel.memref = to;
  panel.element = p.compute;
  panel.base = b.offset(toBase, firstPanel, stride);
  panel.strides = {stride, width, 1};
  return copyStrided(f, from, panel, {dimOf(panels), dimOf(depth, depthValue), dimOf(width)});
}

/// The last panel if columns do not fill it: the rest is zeros.
LogicalResult packLastPanel(KernelFunction& f, const Product& p, Value base, Value to, Value toBase,
                            Value k0, int64_t depth, Value depthValue, int64_t stride) {
  KernelBuilder& b = f.b;
  const Access& source = p.nest.inputs[1];
  int64_t width = panelWidth(b.target, p.compute), columns = p.extent(p.n) % width,
          last = p.extent(p.n) / width;
  if (columns == 0) return success();
  int64_t sk = source.strides[p.k], sn = source.strides[p.n];
  Access from = source;
  from.base = b.add(b.offset(base, k0, sk), sn * width * last);
  from.strides = {sk, sn};
  Access panel;
  panel.memref = to;
  panel.element = p.compute;
  panel.base = b.add(toBase, stride * last);
  panel.strides = {width, 1};
  if (failed(copyStrided(f, from, panel, {dimOf(depth, depthValue), dimOf(columns)})))
    return failure();
  Access zero;
  zero.element = p.compute;
  zero.scalar = b.floatConstant(p.compute, 0.0);
  panel.base = b.add(panel.base, columns);
  return copyStrided(f, zero, panel, {dimOf(depth, depthValue), dimOf(width - columns)});
}

}  // namespace

PackedOperand packForRegisters(KernelFunction& f, const Product& p) {
  KernelBuilder& b = f.b;
  int64_t width = panelWidth(b.target, p.compute), depth = p.extent(p.k),
          full = p.extent(p.n) / width;
  int64_t panels = divideUp(p.extent(p.n), width), stride = depth * width;
  PackedOperand packed;
  packed.depth = depth;
  int64_t bytes = panels * stride * storageBytes(p.compute);
  packed.memref =
      b.view(f.sharedScratch, b.constant(f.shared.reserve(bytes)), panels * stride, p.compute);
  packed.base = b.constant(0);
  Value base = p.nest.inputs[1].base;
  bool parallel = panels * stride >= kParallelWork;
  if (full)
    b.parallelLoop(full, parallel, [&](Value panel) {
      (void)packPanels(f, p, base, packed.memref, packed.base, panel, 1, b.constant(0), depth,
                       Value(), stride);
    });
  (void)packLastPanel(f, p, base, packed.memref, packed.base, b.constant(0), depth, Value(),
                      stride);
  return packed;
}

LogicalResult packPanelsInto(KernelFunction& f, const Product& p, const PackedOperand& buffer,
                             Value firstStep) {
  KernelBuilder& b = f.b;
  int64_t width = panelWidth(b.target, p.compute), depth = p.extent(p.k),
          full = p.extent(p.n) / width, stride = buffer.depth * width;
  Value base = p.nest.inputs[1].base, to = b.offset(buffer.base, firstStep, width),
        zero = b.constant(0), size = p.nest.dims[p.k].size;
  if (full &&
      failed(packPanels(f, p, base, buffer.memref, to, zero, full, zero, depth, size, stride)))
    return failure();
  return packLastPanel(f, p, base, buffer.memref, to, zero, depth, size, stride);
}

namespace {

/// Emits one product on one thread.
class RegisterTiles {
 public:
  RegisterTiles(KernelFunction& f, Product& p, std::optional<PackedOperand> packed,
                Value threadOffset, ScratchPlan& scratch)
      : f(f), b(f.b), p(p), packed(packed), threadOffset(threadOffset), scratch(scratch) {
    lanes = p.compute.isF64() ? b.target.lanes64() : b.target.lanes();
    width = panelWidth(b.target, p.compute);
  }

  LogicalResult emit(const ProductBases& bases);

 private:
  void emitRows(Value a, Value c, Value init, Value panelBase, Value k0, Value k1, Value rows,
                bool fromMemory);
  void emitTile(Value a, Value c, Value init, Value panel, Value i, Value j, Value k0, Value k1,
                int64_t tileRows, int64_t columns, bool fromMemory);

  KernelFunction& f;
  KernelBuilder& b;
  Product& p;
  std::optional<PackedOperand> packed;
  Value threadOffset;
  ScratchPlan& scratch;
  Value panels, aMemref;
  int64_t panelStride = 0, aRow = 0, aDepth = 0;
  int64_t lanes = 16, width = 32;
};

/// One register tile: rows [i, i + tileRows) of A and `columns` columns of panel j, sums over [k0,
/// k1).
void RegisterTiles::emitTile(Value a, Value c, Value init, Value panelBase, Value i, Value j,
                             Value k0, Value k1, int64_t tileRows, int64_t columns,
                             bool fromMemory) {
  const Access& out = p.nest.outputs[0].access;
  const std::optional<Access>& initAccess = p.nest.outputs[0].init;
  int64_t vectors = divideUp(columns, lanes);
  auto type = VectorType::get({lanes}, p.compute);
  SmallVector<Value> masks(vectors);
  for (int64_t v = 0; v < vectors; ++v)
    if (columns < (v + 1) * lanes)
      masks[v] = vector::CreateMaskOp::create(b, VectorType::get({lanes}, b.getI1Type()),
                                              ValueRange{b.constant(columns - v * lanes)});
  auto at = [&](const Access& access, Value base, int64_t r, int64_t v) {
    Value row = b.add(b.offset(base, i, access.strides[p.m]), r * access.strides[p.m]);
    return b.add(b.offset(row, j, width * access.strides[p.n]), v * lanes * access.strides[p.n]);
  };
  ValueList sums;
  for (int64_t r = 0; r < tileRows; ++r)
    for (int64_t v = 0; v < vectors; ++v) {
      if (fromMemory)
        sums.push_back(loadVector(b, out, at(out, c, r, v), 1, lanes, masks[v]));
      else if (!initAccess)
        sums.push_back(b.floatConstant(type, 0.0));
      else if (initAccess->isScalar())
        sums.push_back(b.splat(initAccess->scalar, lanes));
      else
        sums.push_back(loadVector(b, *initAccess, at(*initAccess, init, r, v),
                                  initAccess->strides[p.n], lanes, masks[v]));
    }
  Access left;
  left.memref = aMemref;
  left.element = p.compute;
  Access right;
  right.memref = panels;
  right.element = p.compute;
  Value panel = b.offset(panelBase, j, panelStride);
  SmallVector<Value> rows;
  for (int64_t r = 0; r < tileRows; ++r) rows.push_back(b.add(b.offset(a, i, aRow), r * aRow));
  sums = b.loop(k0, k1, 1, sums, [&](Value k, ValueRange current) {
    ValueList next(current.size()), bs;
    Value row = b.offset(panel, k, width);
    for (int64_t v = 0; v < vectors; ++v)
      bs.push_back(loadVector(b, right, b.add(row, v * lanes), 1, lanes, Value()));
    for (int64_t r = 0; r < tileRows; ++r) {
      Value x = b.splat(loadScalar(b, left, b.offset(rows[r], k, aDepth)), lanes);
      for (int64_t v = 0; v < vectors; ++v)
        next[r * vectors + v] = math::FmaOp::create(b, x, bs[v], current[r * vectors + v]);
    }
    return next;
  });
  for (int64_t r = 0; r < tileRows; ++r)
    for (int64_t v = 0; v < vectors; ++v)
      storeVector(b, sums[r * vectors + v], out, at(out, c, r, v), 1, masks[v]);
}

/// All rows against the panels of one block of k.
void RegisterTiles::emitRows(Value a, Value c, Value init, Value panelBase, Value k0, Value k1,
                             Value rows, bool fromMemory) {
  int64_t tile = b.target.tileRows(), columns = p.extent(p.n), full = columns / width,
          rest = columns % width;
  int64_t group = std::max<int64_t>(1, p.tiling.group / width);
  auto columnsOf = [&](Value i, Value from, Value to, bool last, int64_t tileRows) {
    b.loop(from, to, 1, [&](Value j) {
      emitTile(a, c, init, panelBase, i, j, k0, k1, tileRows, width, fromMemory);
    });
    if (last && rest)
      emitTile(a, c, init, panelBase, i, b.constant(full), k0, k1, tileRows, rest, fromMemory);
  };
  const LoopDim& m = p.nest.dims[p.m];
  // The number of rows is that of a full block or of the last one: each leaves one remainder, known
  // here.
  SmallVector<int64_t> remainders;
  if (!m.size) {
    remainders.push_back(m.extent % tile);
  } else {
    for (int64_t r = 1; r < tile; ++r) remainders.push_back(r);
    if (m.lastSize) remainders = {m.extent % tile, *m.lastSize % tile};
  }
  llvm::sort(remainders);
  remainders.erase(std::unique(remainders.begin(), remainders.end()), remainders.end());
  auto rowsOf = [&](Value from, Value to, bool last) {
    Value rem = b.rem(rows, tile), fullRows = b.sub(rows, rem);
    b.loop(b.constant(0), fullRows, tile, [&](Value i) { columnsOf(i, from, to, last, tile); });
    for (int64_t r : remainders) {
      if (r == 0) continue;
      if (!m.size) {
        columnsOf(fullRows, from, to, last, r);
        continue;
      }
      Value equal = arith::CmpIOp::create(b, arith::CmpIPredicate::eq, rem, b.constant(r));
      b.ifThen(equal, [&] { columnsOf(fullRows, from, to, last, r); });
    }
  };
  if (full <= group) return rowsOf(b.constant(0), b.constant(full), true);
  b.loop(0, full, group,
         [&](Value from) { rowsOf(from, b.minimum(b.add(from, group), b.constant(full)), false); });
  if (rest) rowsOf(b.constant(full), b.constant(full), true);
}

LogicalResult RegisterTiles::emit(const ProductBases& bases) {
  Value a = bases.a, bBase = bases.b, c = bases.c, init = bases.init;
  const Access& left = p.nest.inputs[0];
  const LoopDim& m = p.nest.dims[p.m];
  int64_t extent = p.extent(p.k);
  int64_t blocks = divideUp(extent, p.tiling.depth), depth = divideUp(extent, blocks);
  Value total = p.nest.dims[p.k].size ? p.nest.dims[p.k].size : b.constant(extent);
  bool exact = extent % depth == 0 && !p.nest.dims[p.k].size;
  Value rows = m.size ? m.size : b.constant(m.extent);
  bool hasOuterSums = llvm::any_of(p.outer, [&](size_t d) { return p.nest.dims[d].reduction; });
  bool fromMemory = blocks > 1 || hasOuterSums;
  int64_t columns = p.extent(p.n), panelCount = divideUp(columns, width);
  // A copy of A's block in f32 if it is bf16, or if its rows fall on the same cache sets.
  int64_t am = left.strides[p.m], ak = left.strides[p.k];
  bool sameType = left.element == p.compute;
  int64_t stride = std::max(std::abs(am), std::abs(ak)) * storageBytes(left.element);
  bool copyLeft = copiesLeft(sameType, stride) && (!sameType || columns >= 2 * width);
  bool rowMajor = std::abs(ak) <= std::abs(am);
  Value aCopy, bCopy;
  int64_t copyRow = 0, copyDepth = 0;
  if (copyLeft) {
    copyRow = rowMajor ? depth + 16 : 1;
    copyDepth = rowMajor ? 1 : roundUp(m.extent, 16) + 16;
    int64_t size = rowMajor ? m.extent * copyRow : depth * copyDepth;
    int64_t at = scratch.reserve(size * storageBytes(p.compute));
    aCopy = b.view(f.threadScratch, b.add(threadOffset, at), size, p.compute);
  }
  if (!packed) {
    int64_t size = panelCount * depth * width;
    int64_t at = scratch.reserve(size * storageBytes(p.compute));
    bCopy = b.view(f.threadScratch, b.add(threadOffset, at), size, p.compute);
  }
  LogicalResult result = success();
  auto block = [&](Value k0) {
    Value length = exact ? b.constant(depth) : b.minimum(b.constant(depth), b.sub(total, k0));
    Value lengthIfUnknown = exact ? Value() : length;
    Value from = k0, to = b.add(k0, length), panelBase, aBase = a;
    if (packed) {
      panels = packed->memref;
      panelBase = packed->base;
      panelStride = packed->depth * width;
    } else {
      panels = bCopy;
      panelStride = depth * width;
      Value zero = b.constant(0);
      if (columns / width && failed(packPanels(f, p, bBase, bCopy, zero, zero, columns / width, k0,
                                               depth, lengthIfUnknown, panelStride)))
        result = failure();
      if (failed(packLastPanel(f, p, bBase, bCopy, zero, k0, depth, lengthIfUnknown, panelStride)))
        result = failure();
      // Element k of a panel is at k - k0.
      panelBase = b.sub(zero, b.mul(k0, width));
    }
    aMemref = left.memref;
    aRow = am;
    aDepth = ak;
    if (copyLeft) {
      Access source = left, copied;
      source.base = b.offset(a, k0, ak);
      copied.memref = aCopy;
      copied.element = p.compute;
      copied.base = b.constant(0);
      LoopDim mDim = dimOf(m.extent, m.size), kDim = dimOf(depth, lengthIfUnknown);
      if (rowMajor) {
        source.strides = {am, ak};
        copied.strides = {copyRow, copyDepth};
        if (failed(copyStrided(f, source, copied, {mDim, kDim}))) result = failure();
      } else {
        source.strides = {ak, am};
        copied.strides = {copyDepth, copyRow};
        if (failed(copyStrided(f, source, copied, {kDim, mDim}))) result = failure();
      }
      aMemref = aCopy;
      aRow = copyRow;
      aDepth = copyDepth;
      aBase = b.sub(b.constant(0), b.mul(k0, copyDepth));
    }
    emitRows(aBase, c, init, panelBase, from, to, rows, fromMemory);
  };
  if (blocks == 1)
    block(b.constant(0));
  else
    b.loop(b.constant(0), total, depth, block);
  return result;
}

}  // namespace

LogicalResult emitRegisterTiles(KernelFunction& f, Product& p, const ProductBases& bases,
                                std::optional<PackedOperand> packed, Value threadOffset,
                                ScratchPlan& scratch) {
  return RegisterTiles(f, p, packed, threadOffset, scratch).emit(bases);
}

}  // namespace weir
