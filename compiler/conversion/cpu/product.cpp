#include "compiler/conversion/cpu/product.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

namespace weir {

using namespace mlir;

namespace {

/// Steps of k between visits of C.
constexpr int64_t kDepth = 256;
/// Bytes of packed B that stay in L2 while rows pass by.
constexpr int64_t kPanelBytes = 512 << 10;

bool isInput(Value value, Block& body, unsigned i) {
  if (auto extend = value.getDefiningOp<arith::ExtFOp>()) value = extend.getIn();
  return value == body.getArgument(i);
}

bool isMultiplyAdd(Block& body) {
  if (body.getNumArguments() != 3) return false;
  auto add = body.getTerminator()->getOperand(0).getDefiningOp<arith::AddFOp>();
  if (!add) return false;
  Value accumulator = body.getArgument(2);
  Value term = add.getLhs() == accumulator ? add.getRhs() : add.getLhs();
  if (term == accumulator || (add.getLhs() != accumulator && add.getRhs() != accumulator))
    return false;
  auto multiply = term.getDefiningOp<arith::MulFOp>();
  if (!multiply) return false;
  return (isInput(multiply.getLhs(), body, 0) && isInput(multiply.getRhs(), body, 1)) ||
         (isInput(multiply.getLhs(), body, 1) && isInput(multiply.getRhs(), body, 0));
}

}  // namespace

std::optional<Product> matchProduct(LoopNest nest) {
  if (nest.inputs.size() != 2 || nest.outputs.size() != 1 || !isMultiplyAdd(*nest.body))
    return std::nullopt;
  if (nest.inputs[0].isScalar() || nest.inputs[1].isScalar()) return std::nullopt;
  Product product;
  product.compute = nest.outputs[0].access.element;
  if (!product.compute.isF32() && !product.compute.isF64()) return std::nullopt;
  for (const Access& input : nest.inputs)
    if (input.element != product.compute && !(input.element.isBF16() && product.compute.isF32()))
      return std::nullopt;
  simplify(nest);
  auto pick = [&](int a, int b, bool reduction, bool unitOutput) -> std::optional<size_t> {
    std::optional<size_t> best;
    for (size_t d = 0; d < nest.dims.size(); ++d) {
      if (nest.dims[d].reduction != reduction) continue;
      if ((nest.inputs[0].strides[d] != 0) != a || (nest.inputs[1].strides[d] != 0) != b) continue;
      if (unitOutput && nest.outputs[0].access.strides[d] != 1) continue;
      if (!best || nest.dims[d].extent > nest.dims[*best].extent) best = d;
    }
    return best;
  };
  std::optional<size_t> n = pick(0, 1, false, true);
  if (!n && pick(1, 0, false, true)) {
    std::swap(nest.inputs[0], nest.inputs[1]);
    n = pick(0, 1, false, true);
  }
  std::optional<size_t> m = pick(1, 0, false, false), k = pick(1, 1, true, false);
  if (!m || !n || !k) return std::nullopt;
  for (size_t d = 0; d < nest.dims.size(); ++d)
    if (nest.dims[d].reduction && d != *k && nest.inputs[0].strides[d] == 0 &&
        nest.inputs[1].strides[d] == 0)
      return std::nullopt;
  product.m = *m, product.n = *n, product.k = *k;
  // Few rows do not repay packing, and a product with hardly any columns or depth is a reduction or
  // a sum of rows.
  if (nest.dims[*m].extent < 6 || nest.dims[*n].extent < 8 || nest.dims[*k].extent < 4 ||
      nest.dims[*n].size || nest.dims[*k].size)
    return std::nullopt;
  for (size_t d = 0; d < nest.dims.size(); ++d)
    if (d != *m && d != *n && d != *k) product.outer.push_back(d);
  product.nest = std::move(nest);
  return product;
}

int64_t panelWidth(const CpuTarget& target, Type compute) {
  return CpuTarget::kTileVectors * (compute.isF64() ? target.lanes64() : target.lanes());
}

namespace {

/// Region that converts one input to the type of the output.
struct ConvertBlock {
  Block block;
  ConvertBlock(KernelBuilder& b, Type from, Type to) {
    block.addArguments({from, to}, {b.getLoc(), b.getLoc()});
    OpBuilder builder(b.getContext());
    builder.setInsertionPointToEnd(&block);
    Value value = block.getArgument(0);
    if (from != to) value = arith::ExtFOp::create(builder, b.getLoc(), to, value);
    linalg::YieldOp::create(builder, b.getLoc(), ValueRange{value});
  }
};

LogicalResult copy(KernelFunction& f, Access from, Access to, ArrayRef<LoopDim> dims) {
  ConvertBlock convert(f.b, from.element, to.element);
  LoopNest nest;
  nest.dims.assign(dims.begin(), dims.end());
  nest.inputs.push_back(from);
  nest.outputs.push_back({to, std::nullopt});
  nest.body = &convert.block;
  nest.captured = &f.scalars;
  return emitLoopNest(f.b, nest);
}

LoopDim dimOf(int64_t extent, Value size = Value()) {
  LoopDim dim;
  dim.extent = extent;
  dim.size = size;
  return dim;
}

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
  return copy(f, from, panel, {dimOf(panels), dimOf(depth, depthValue), dimOf(width)});
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
  if (failed(copy(f, from, panel, {dimOf(depth, depthValue), dimOf(columns)}))) return failure();
  Access zero;
  zero.element = p.compute;
  zero.scalar = b.floatConstant(p.compute, 0.0);
  panel.base = b.add(panel.base, columns);
  return copy(f, zero, panel, {dimOf(depth, depthValue), dimOf(width - columns)});
}

}  // namespace

PackedOperand packOperand(KernelFunction& f, const Product& p) {
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

namespace {

/// Emits one product on one thread.
class TileEmitter {
 public:
  TileEmitter(KernelFunction& f, Product& p, std::optional<PackedOperand> packed,
              Value threadOffset, ScratchPlan& scratch)
      : f(f), b(f.b), p(p), packed(packed), threadOffset(threadOffset), scratch(scratch) {}

  LogicalResult emit();

 private:
  LogicalResult emitCore(Value a, Value bBase, Value c, Value init);
  LogicalResult initialize();
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
void TileEmitter::emitTile(Value a, Value c, Value init, Value panelBase, Value i, Value j,
                           Value k0, Value k1, int64_t tileRows, int64_t columns, bool fromMemory) {
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
void TileEmitter::emitRows(Value a, Value c, Value init, Value panelBase, Value k0, Value k1,
                           Value rows, bool fromMemory) {
  int64_t tile = b.target.tileRows(), columns = p.extent(p.n), full = columns / width,
          rest = columns % width;
  int64_t depth = std::min(kDepth, p.extent(p.k));
  int64_t group = std::max<int64_t>(1, kPanelBytes / (depth * width * storageBytes(p.compute)));
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

LogicalResult TileEmitter::emitCore(Value a, Value bBase, Value c, Value init) {
  const Access& left = p.nest.inputs[0];
  const LoopDim& m = p.nest.dims[p.m];
  int64_t extent = p.extent(p.k);
  int64_t blocks = divideUp(extent, kDepth), depth = divideUp(extent, blocks);
  Value total = p.nest.dims[p.k].size ? p.nest.dims[p.k].size : b.constant(extent);
  bool exact = extent % depth == 0 && !p.nest.dims[p.k].size;
  Value rows = m.size ? m.size : b.constant(m.extent);
  bool hasOuterSums = llvm::any_of(p.outer, [&](size_t d) { return p.nest.dims[d].reduction; });
  bool fromMemory = blocks > 1 || hasOuterSums;
  int64_t columns = p.extent(p.n), panelCount = divideUp(columns, width);
  // A copy of A's block in f32 if it is bf16, or if its rows fall on the same cache sets.
  int64_t am = left.strides[p.m], ak = left.strides[p.k], bytes = storageBytes(left.element);
  bool conflicts = std::max(std::abs(am), std::abs(ak)) * bytes % 2048 == 0 && columns >= 2 * width;
  bool copyLeft = left.element != p.compute || conflicts;
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
        if (failed(copy(f, source, copied, {mDim, kDim}))) result = failure();
      } else {
        source.strides = {ak, am};
        copied.strides = {copyDepth, copyRow};
        if (failed(copy(f, source, copied, {kDim, mDim}))) result = failure();
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

/// Several visits of C: it holds its initial values first.
LogicalResult TileEmitter::initialize() {
  LoopNest nest = p.nest;
  LoopOutput& output = nest.outputs[0];
  Access source;
  if (output.init) {
    source = *output.init;
  } else {
    source.scalar = b.floatConstant(p.compute, 0.0);
    source.element = p.compute;
  }
  SmallVector<LoopDim> dims;
  SmallVector<int64_t> from, to;
  for (size_t d = 0; d < nest.dims.size(); ++d) {
    if (nest.dims[d].reduction) continue;
    dims.push_back(nest.dims[d]);
    dims.back().source = -1;
    if (!source.isScalar()) from.push_back(source.strides[d]);
    to.push_back(output.access.strides[d]);
  }
  source.strides = from;
  Access target = output.access;
  target.strides = to;
  return copy(f, source, target, dims);
}

LogicalResult TileEmitter::emit() {
  lanes = p.compute.isF64() ? b.target.lanes64() : b.target.lanes();
  width = panelWidth(b.target, p.compute);
  int64_t blocks = divideUp(p.extent(p.k), kDepth);
  bool hasOuterSums = llvm::any_of(p.outer, [&](size_t d) { return p.nest.dims[d].reduction; });
  if ((blocks > 1 || hasOuterSums) && failed(initialize())) return failure();
  LogicalResult result = success();
  std::function<void(size_t, Value, Value, Value, Value)> loops = [&](size_t at, Value a, Value bb,
                                                                      Value c, Value init) {
    if (at == p.outer.size()) {
      if (failed(emitCore(a, bb, c, init))) result = failure();
      return;
    }
    size_t d = p.outer[at];
    const LoopDim& dim = p.nest.dims[d];
    b.loop(b.constant(0), dim.size ? dim.size : b.constant(dim.extent), 1, [&](Value i) {
      const std::optional<Access>& initAccess = p.nest.outputs[0].init;
      Value nextInit =
          init && !initAccess->isScalar() ? b.offset(init, i, initAccess->strides[d]) : init;
      loops(at + 1, b.offset(a, i, p.nest.inputs[0].strides[d]),
            b.offset(bb, i, p.nest.inputs[1].strides[d]),
            b.offset(c, i, p.nest.outputs[0].access.strides[d]), nextInit);
    });
  };
  const LoopOutput& output = p.nest.outputs[0];
  loops(0, p.nest.inputs[0].base, p.nest.inputs[1].base, output.access.base,
        output.init && !output.init->isScalar() ? output.init->base : Value());
  return result;
}

}  // namespace

LogicalResult emitProductTile(KernelFunction& f, Product product,
                              std::optional<PackedOperand> packed, Value threadOffset,
                              ScratchPlan& scratch) {
  ScratchPlan mine = scratch;
  LogicalResult result = TileEmitter(f, product, packed, threadOffset, mine).emit();
  f.thread.growTo(mine.size());
  return result;
}

namespace {

/// Long sums of a small result: parts of the sum on all threads.
bool splitsSum(const Product& p) {
  int64_t m = p.extent(p.m), n = p.extent(p.n), k = p.extent(p.k);
  return p.outer.empty() && k >= 512 && k >= m && k >= n && m * n <= (int64_t(1) << 20);
}

}  // namespace

LogicalResult emitParallelProduct(KernelFunction& f, Product p) {
  KernelBuilder& b = f.b;
  int64_t m = p.extent(p.m), n = p.extent(p.n), k = p.extent(p.k), outer = 1;
  for (size_t d : p.outer) outer *= p.extent(d);
  if (m * n * k * outer < 4 * kParallelWork)
    return emitProductTile(f, p, std::nullopt, b.constant(0), f.thread);
  LogicalResult result = success();
  if (splitsSum(p)) {
    int64_t parts = std::clamp<int64_t>(k / kDepth, 1, CpuTarget::kWorkers);
    int64_t chunk = roundUp(divideUp(k, parts), 8);
    return emitSplitReduction(
        b, p.nest, p.k, divideUp(k, chunk), chunk, f.sharedScratch, f.shared, [&](LoopNest part) {
          Product mine = p;
          mine.nest = part;
          return emitProductTile(f, mine, std::nullopt, f.threadOffset(), f.thread);
        });
  }
  // Blocks: one dimension around the product (if any), rows, and columns if these are not enough.
  std::optional<size_t> around;
  for (size_t d : p.outer)
    if (!p.nest.dims[d].reduction && (!around || p.extent(d) > p.extent(*around))) around = d;
  int64_t copies = around ? p.extent(*around) : 1, tile = b.target.tileRows(),
          wanted = 2 * CpuTarget::kWorkers;
  int64_t rowBlocks =
      std::clamp<int64_t>(divideUp(wanted, copies), divideUp(m, 16 * tile), divideUp(m, tile));
  int64_t rows = std::min(m, roundUp(divideUp(m, rowBlocks), tile));
  rowBlocks = divideUp(m, rows);
  int64_t width = panelWidth(b.target, p.compute), columns = n;
  if (rowBlocks * copies < CpuTarget::kWorkers && n >= 8 * width)
    columns = roundUp(divideUp(n, divideUp(wanted, rowBlocks * copies)), 4 * width);
  int64_t columnBlocks = n / columns;
  bool fixedRight =
      llvm::all_of(p.outer, [&](size_t d) { return p.nest.inputs[1].strides[d] == 0; });
  std::optional<PackedOperand> packed;
  if (fixedRight && rowBlocks * copies > 1 && columns == n) packed = packOperand(f, p);
  b.parallelLoop(copies * rowBlocks * columnBlocks, true, [&](Value block) {
    Product mine = p;
    Value column = b.rem(block, columnBlocks), rest = b.div(block, columnBlocks);
    Value from = b.mul(b.rem(rest, rowBlocks), rows), copy = b.div(rest, rowBlocks);
    if (columns != n) restrictDim(b, mine.nest, p.n, b.mul(column, columns), Value(), columns);
    if (rowBlocks > 1) {
      Value size =
          m % rows == 0 ? Value() : b.minimum(b.constant(rows), b.sub(b.constant(m), from));
      restrictDim(b, mine.nest, p.m, from, size, rows);
      if (size) mine.nest.dims[p.m].lastSize = m % rows;
    }
    if (around) restrictDim(b, mine.nest, *around, copy, Value(), 1);
    result = emitProductTile(f, mine, packed, f.threadOffset(), f.thread);
  });
  if (failed(result) || columnBlocks * columns == n) return result;
  restrictDim(b, p.nest, p.n, b.constant(columnBlocks * columns), Value(),
              n - columnBlocks * columns);
  return emitParallelProduct(f, p);
}

}  // namespace weir
