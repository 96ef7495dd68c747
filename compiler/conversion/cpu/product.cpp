#include "compiler/conversion/cpu/product.h"

#include "compiler/conversion/cpu/matrix_packing.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

namespace weir {

using namespace mlir;

namespace {

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

std::optional<Product> matchProduct(LoopNest nest, const CpuTarget& target) {
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
  for (LoopOutput& output : nest.outputs) output.access.streamed = false;
  product.nest = std::move(nest);
  bool narrow = product.nest.inputs[0].element.isBF16() && product.nest.inputs[1].element.isBF16();
  product.matrixTiles =
      target.hasBf16() && product.compute.isF32() &&
      (narrow || repaysMatrixTiles(product.extent(product.m), product.extent(product.n),
                                   product.extent(product.k)));
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

}  // namespace

LogicalResult copyStrided(KernelFunction& f, Access from, Access to, ArrayRef<LoopDim> dims) {
  ConvertBlock convert(f.b, from.element, to.element);
  LoopNest nest;
  nest.dims.assign(dims.begin(), dims.end());
  nest.inputs.push_back(from);
  nest.outputs.push_back({to, std::nullopt});
  nest.body = &convert.block;
  nest.captured = &f.scalars;
  return emitLoopNest(f.b, nest);
}

LoopDim dimOf(int64_t extent, Value size) {
  LoopDim dim;
  dim.extent = extent;
  dim.size = size;
  return dim;
}

namespace {

/// Several visits of C: it holds its initial values first.
LogicalResult initialize(KernelFunction& f, const Product& p) {
  KernelBuilder& b = f.b;
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
  return copyStrided(f, source, target, dims);
}

}  // namespace

int64_t rowTile(const CpuTarget& target, const Product& product) {
  return product.matrixTiles ? 32 : target.tileRows();
}

PackedOperand packOperand(KernelFunction& f, const Product& product) {
  return product.matrixTiles ? packForMatrixTiles(f, product) : packForRegisters(f, product);
}

int64_t operandBytes(const CpuTarget& target, const Product& p, int64_t steps) {
  if (p.matrixTiles)
    return roundUp(steps, kTilePair) * roundUp(p.extent(p.n), kTilePair) * 2 *
           partsOf(p.nest.inputs[1].element);
  return steps * roundUp(p.extent(p.n), panelWidth(target, p.compute)) * storageBytes(p.compute);
}

PackedOperand operandBuffer(KernelFunction& f, const Product& p, Value offset, int64_t steps) {
  PackedOperand buffer;
  if (p.matrixTiles) {
    buffer.memref = f.threadScratch;
    buffer.base = offset;
    buffer.depth = divideUp(steps, kTilePair);
    return buffer;
  }
  int64_t bytes = operandBytes(f.b.target, p, steps);
  buffer.memref = f.b.view(f.threadScratch, offset, bytes / storageBytes(p.compute), p.compute);
  buffer.base = f.b.constant(0);
  buffer.depth = steps;
  return buffer;
}

LogicalResult packInto(KernelFunction& f, const Product& p, const PackedOperand& buffer,
                       Value firstStep) {
  if (!p.matrixTiles) return packPanelsInto(f, p, buffer, firstStep);
  packTilesInto(f, p, buffer, firstStep);
  return success();
}

PackedOperand partOf(KernelFunction& f, const Product& p, PackedOperand packed, int64_t firstColumn,
                     int64_t firstStep) {
  int64_t width = p.matrixTiles ? kTilePair : panelWidth(f.b.target, p.compute), shift = 0;
  // Bytes of a pair of tiles, or elements of a step.
  if (p.matrixTiles)
    shift = (firstColumn / width * partsOf(p.nest.inputs[1].element) * packed.depth +
             firstStep / kTilePair) *
            kTilePair * kTilePair * 2;
  else
    shift = (firstColumn / width * packed.depth + firstStep) * width;
  packed.base = f.b.add(packed.base, shift);
  return packed;
}

LogicalResult emitProductTile(KernelFunction& f, Product p, std::optional<PackedOperand> packed,
                              Value threadOffset, ScratchPlan& scratch) {
  KernelBuilder& b = f.b;
  ScratchPlan mine = scratch;
  if (p.tiling == Tiling()) decideBlockTiling(b.target, p);
  // Where C is visited several times it holds its initial values first.
  bool accumulate = !p.matrixTiles && p.extent(p.k) > p.tiling.depth;
  for (size_t d : p.outer) accumulate |= p.nest.dims[d].reduction;
  if (accumulate && failed(initialize(f, p))) return failure();
  LogicalResult result = success();
  const LoopOutput& output = p.nest.outputs[0];
  std::function<void(size_t, ProductBases)> loops = [&](size_t at, ProductBases bases) {
    if (at == p.outer.size()) {
      result = p.matrixTiles ? emitMatrixTiles(f, p, bases, packed, threadOffset, mine, accumulate)
                             : emitRegisterTiles(f, p, bases, packed, threadOffset, mine);
      return;
    }
    size_t d = p.outer[at];
    const LoopDim& dim = p.nest.dims[d];
    b.loop(b.constant(0), dim.size ? dim.size : b.constant(dim.extent), 1, [&](Value i) {
      ProductBases next = bases;
      next.a = b.offset(bases.a, i, p.nest.inputs[0].strides[d]);
      next.b = b.offset(bases.b, i, p.nest.inputs[1].strides[d]);
      next.c = b.offset(bases.c, i, output.access.strides[d]);
      if (bases.init) next.init = b.offset(bases.init, i, output.init->strides[d]);
      loops(at + 1, next);
    });
  };
  loops(0, {p.nest.inputs[0].base, p.nest.inputs[1].base, output.access.base,
            output.init && !output.init->isScalar() ? output.init->base : Value()});
  f.thread.growTo(mine.size());
  return result;
}

namespace {

/// Narrows `p` to the block of rows that begins at `from`.
void restrictRows(KernelBuilder& b, Product& p, Value from, int64_t rows) {
  int64_t m = p.extent(p.m);
  Value size = m % rows == 0 ? Value() : b.minimum(b.constant(rows), b.sub(b.constant(m), from));
  restrictDim(b, p.nest, p.m, from, size, rows);
  if (size) p.nest.dims[p.m].lastSize = m % rows;
}

/// All of a product on the calling thread, block of rows by block of rows; B is packed once.
LogicalResult emitRowBlocks(KernelFunction& f, const Product& p, Value threadOffset) {
  KernelBuilder& b = f.b;
  int64_t rows = p.tiling.rows, m = p.extent(p.m), steps = p.extent(p.k);
  if (rows >= m) return emitProductTile(f, p, std::nullopt, threadOffset, f.thread);
  ScratchPlan plan = f.thread;
  Value at = b.add(threadOffset, plan.reserve(operandBytes(b.target, p, steps)));
  PackedOperand packed = operandBuffer(f, p, at, steps);
  LogicalResult result = packInto(f, p, packed, b.constant(0));
  b.loop(0, m, rows, [&](Value from) {
    Product mine = p;
    restrictRows(b, mine, from, rows);
    if (failed(emitProductTile(f, mine, packed, threadOffset, plan))) result = failure();
  });
  f.thread.growTo(plan.size());
  return result;
}

}  // namespace

LogicalResult emitParallelProduct(KernelFunction& f, Product p) {
  KernelBuilder& b = f.b;
  int64_t m = p.extent(p.m), n = p.extent(p.n), k = p.extent(p.k), outer = 1;
  for (size_t d : p.outer) outer *= p.extent(d);
  if (m * n * k * outer < 4 * kParallelWork)
    return emitProductTile(f, p, std::nullopt, b.constant(0), f.thread);
  LogicalResult result = success();
  if (p.tiling == Tiling() && failed(decideTiling(b.target, p))) return failure();
  const Tiling& tiling = p.tiling;
  if (tiling.parts > 1) {
    int64_t chunk = stepsOfPart(describe(p, b.target), tiling.parts);
    return emitSplitReduction(
        b, p.nest, p.k, divideUp(k, chunk), chunk, f.sharedScratch, f.shared,
        [&](LoopNest part) {
          Product mine = p;
          mine.nest = part;
          return emitRowBlocks(f, mine, f.threadOffset());
        },
        p.n);
  }
  // Blocks: one dimension around the product (if any), rows, and columns.
  std::optional<size_t> around;
  for (size_t d : p.outer)
    if (!p.nest.dims[d].reduction && (!around || p.extent(d) > p.extent(*around))) around = d;
  int64_t copies = around ? p.extent(*around) : 1;
  int64_t rows = tiling.rows, rowBlocks = divideUp(m, rows), columns = std::min(n, tiling.columns);
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
      restrictRows(b, mine, from, rows);
      if (columnBlocks == 1) mine.nextLeft = rows * p.nest.inputs[0].strides[p.m];
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
