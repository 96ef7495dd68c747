// Blocks of rows: the ops of a group one after the other on rows that fit in a cache.

#include "compiler/conversion/cpu/nest_accesses.h"
#include "compiler/conversion/cpu/rows_emitter.h"

namespace weir {

using namespace mlir;

namespace {

/// Bytes that a run of steps may touch at once, a part of the first cache, and the fewest rows:
/// loops over statistics of rows are vectors of them.
constexpr int64_t kRunBytes = 32 << 10;
constexpr int64_t kLeastRowsAtOnce = 4;

}  // namespace

/// Merges row dimensions that every operand of every op walks as one, and checks that the ops do
/// share them.
LogicalResult RowsEmitter::groupRows(ArrayRef<LoopNest> nests, bool addsUpRows) {
  for (size_t d = 0; d < rowRank; ++d) {
    int64_t extent = nests[0].dims.size() > d ? nests[0].dims[d].extent : 0;
    bool together = d > 0;
    for (const LoopNest& nest : nests) {
      if (nest.dims.size() <= d || nest.dims[d].extent != extent ||
          nest.dims[d].reduction != (addsUpRows && nest.dims[0].reduction))
        return f.kernel.emitError("row dimension ")
               << d << " is not shared by all ops of the kernel";
      if (!together) continue;
      forEachAccess(nest, [&](const Access& access) {
        if (!access.isScalar()) together &= access.strides[d - 1] == access.strides[d] * extent;
      });
      together &= !usesIndex(*nest.body, d - 1) && !usesIndex(*nest.body, d);
    }
    if (together) {
      rows.back().last = d;
      rows.back().extent *= extent;
    } else {
      rows.push_back({d, d, extent});
    }
  }
  return success();
}

/// Chooses the group that is split and its rows per block.
void RowsEmitter::chooseBlocks(int64_t tile, int64_t asked) {
  bool hasProduct = tile > 0;
  int64_t total = 1, bytes = 1;
  for (const RowGroup& group : rows) total *= group.extent;
  for (Value value : tiles) {
    const TensorValue& tensor = f.tensors[value];
    bytes += ShapedType::getNumElements(tensor.shape) / total * storageBytes(tensor.element);
  }
  // Larger blocks repay packed operands of products; without products, tiles should stay near the
  // first cache.
  int64_t target = hasProduct ? std::min<int64_t>(CpuTarget::kTileBytes / bytes, kProductRows)
                              : std::min<int64_t>(CpuTarget::kTileBytes / 4 / bytes, 1024);
  target =
      std::min(target, std::max<int64_t>(hasProduct ? tile : 1, total / (2 * CpuTarget::kWorkers)));
  target = std::max<int64_t>(target, 1);
  if (asked) target = std::min(asked, total);
  split = rows.size() - 1;
  int64_t inner = 1;
  while (split > 0 && epilogues.empty() && rows[split].extent * inner <= target / 2)
    inner *= rows[split--].extent;
  int64_t extent = rows[split].extent;
  chunk = std::clamp<int64_t>(target / inner, 1, extent);
  chunk = divideUp(extent, divideUp(extent, chunk));
  if (hasProduct && inner == 1 && chunk > tile) chunk = std::min(extent, roundUp(chunk, tile));
}

/// Gives tiles strides and offsets in thread scratch memory; values that are no longer read make
/// room. Returns its size.
int64_t RowsEmitter::planTiles() {
  DenseMap<Value, size_t> lastUse;
  std::function<void(Value, size_t)> use = [&](Value value, size_t step) {
    Operation* op = value.getDefiningOp();
    if (op && llvm::is_contained(views, op)) return use(op->getOperand(0), step);
    if (tiles.contains(value)) lastUse[value] = std::max(lastUse[value], step);
  };
  // Steps between products run together, and fused steps with their product.
  SmallVector<size_t> times;
  Operation* before = nullptr;
  for (Operation* op : steps) {
    bool later = before && !fusedInto.contains(op) &&
                 (products.contains(op) || products.contains(before) || fusedInto.contains(before));
    size_t time = times.empty() ? 0 : times.back() + later;
    before = op;
    times.push_back(time);
    for (Value operand : op->getOperands()) use(operand, time);
    for (Value result : op->getResults()) use(result, time);
  }
  for (auto [value, i] : copies) use(value, steps.size());
  struct Live {
    int64_t from, to;
    size_t until;
  };
  SmallVector<Live> live;
  int64_t size = 0;
  for (auto [time, op] : llvm::zip(times, steps)) {
    llvm::erase_if(live, [&, time = time](const Live& l) { return l.until < time; });
    for (Value value : op->getResults()) {
      if (!tiles.contains(value)) continue;
      TensorValue& tensor = f.tensors[value];
      int64_t elements = 1;
      for (size_t d = tensor.shape.size(); d-- > rowRank;) {
        tensor.strides[d] = elements;
        elements *= tensor.shape[d];
      }
      for (size_t g = rows.size(); g-- > 0;) {
        int64_t stride = g < split ? 0 : elements;
        for (size_t d = rows[g].last + 1; d-- > rows[g].first;) {
          tensor.strides[d] = stride;
          stride *= tensor.shape[d];
        }
        if (g >= split) elements *= g == split ? chunk : rows[g].extent;
      }
      int64_t bytes = roundUp(elements * storageBytes(tensor.element), 64), at = 0;
      llvm::sort(live, [](const Live& x, const Live& y) { return x.from < y.from; });
      for (const Live& l : live) {
        if (at + bytes <= l.from) break;
        at = std::max(at, l.to);
      }
      live.push_back({at, at + bytes, lastUse[value]});
      tileOffsets[value] = at;
      size = std::max(size, at + bytes);
    }
  }
  return size;
}

/// Replaces the row dimensions of `nest` by their groups.
LoopNest RowsEmitter::mergeRows(const LoopNest& nest) {
  LoopNest merged = nest;
  merged.dims.clear();
  for (const RowGroup& group : rows) {
    LoopDim dim;
    dim.extent = group.extent;
    dim.row = true;
    dim.reduction = nest.dims[group.first].reduction;
    if (group.first == group.last) dim.source = group.first;
    merged.dims.push_back(dim);
  }
  merged.dims.append(nest.dims.begin() + rowRank, nest.dims.end());
  auto merge = [&](Access& access) {
    if (access.isScalar()) return;
    SmallVector<int64_t> strides;
    for (const RowGroup& group : rows) strides.push_back(access.strides[group.last]);
    strides.append(access.strides.begin() + rowRank, access.strides.end());
    access.strides = strides;
  };
  for (Access& input : merged.inputs) merge(input);
  for (LoopOutput& output : merged.outputs) {
    merge(output.access);
    if (output.init) merge(*output.init);
  }
  return merged;
}

/// Narrows `nest` to a block of rows.
LoopNest RowsEmitter::toBlock(const LoopNest& nest, const RowBlock& block) {
  LoopNest mine = mergeRows(nest);
  auto move = [&](Access& access) {
    if (access.isScalar() || access.tile) return;
    for (size_t g = 0; g < split; ++g)
      access.base = b.offset(access.base, block.outer[g], access.strides[g]);
    access.base = b.offset(access.base, block.from, access.strides[split]);
  };
  for (Access& input : mine.inputs) move(input);
  for (LoopOutput& output : mine.outputs) {
    move(output.access);
    if (output.init) move(*output.init);
  }
  for (size_t g = 0; g < split; ++g) {
    mine.dims[g].start = block.outer[g];
    mine.dims[g].extent = 1;
  }
  LoopDim& dim = mine.dims[split];
  if (block.size) dim.lastSize = dim.extent % chunk;
  dim.extent = chunk;
  dim.size = block.size;
  dim.start = block.from;
  return mine;
}

/// The product of `op` on a block of rows, by the tiles that were chosen for all rows.
std::optional<Product> RowsEmitter::productOf(Operation* op, const LoopNest& nest) const {
  std::optional<Product> product = matchProduct(nest, b.target);
  if (product) product->matrixTiles = byMatrixTiles.contains(op);
  return product;
}

int64_t RowsEmitter::blocks() const {
  int64_t count = divideUp(rows[split].extent, chunk);
  for (size_t g = 0; g < split; ++g) count *= rows[g].extent;
  return count;
}

RowsEmitter::RowBlock RowsEmitter::enterBlock(Value block) {
  RowBlock rowBlock;
  int64_t extent = rows[split].extent, chunks = divideUp(extent, chunk);
  rowBlock.from = b.mul(b.rem(block, chunks), chunk);
  if (extent % chunk != 0)
    rowBlock.size = b.minimum(b.constant(chunk), b.sub(b.constant(extent), rowBlock.from));
  Value rest = b.div(block, chunks);
  rowBlock.outer.resize(split);
  for (size_t g = split; g-- > 0;) {
    rowBlock.outer[g] = b.rem(rest, rows[g].extent);
    rest = b.div(rest, rows[g].extent);
  }
  rowBlock.threadOffset = f.threadOffset();
  for (Value value : tiles) {
    TensorValue& tensor = f.tensors[value];
    int64_t elements = chunk * tensor.strides[rows[split].last];
    tensor.memref = b.view(f.threadScratch, b.add(rowBlock.threadOffset, tileOffsets[value]),
                           elements, tensor.element);
  }
  return rowBlock;
}

/// Rows that steps without a product between them, one after the other, take at once, so that what
/// one leaves for the next is in the first cache.
int64_t RowsEmitter::rowsAtOnce(ArrayRef<LoopNest> run) const {
  int64_t bytes = 0;
  for (const LoopNest& nest : run)
    forEachAccess(nest, [&](const Access& access) {
      if (access.isScalar() || access.strides[split] == 0) return;
      int64_t elements = 1;
      for (size_t d = split + 1; d < nest.dims.size(); ++d)
        if (access.strides[d] != 0) elements *= nest.dims[d].extent;
      bytes += elements * storageBytes(access.element);
    });
  uint64_t fitting = kRunBytes / std::max<int64_t>(bytes, 1);
  return std::max<int64_t>(kLeastRowsAtOnce, llvm::bit_floor(fitting));
}

LogicalResult RowsEmitter::emitRun(ArrayRef<LoopNest> run, const RowBlock& rowBlock) {
  int64_t count = rowsAtOnce(run);
  LogicalResult result = success();
  if (run.size() < 2 || count >= chunk) {
    for (const LoopNest& nest : run)
      if (failed(emitLoopNest(b, nest))) return failure();
    return success();
  }
  Value total = rowBlock.size ? rowBlock.size : b.constant(chunk);
  bool exact = chunk % count == 0 && (!rowBlock.size || rows[split].extent % chunk % count == 0);
  b.loop(b.constant(0), total, count, [&](Value from) {
    Value size = exact ? Value() : b.minimum(b.constant(count), b.sub(total, from));
    for (LoopNest nest : run) {
      nest.dims[split].lastSize.reset();
      restrictDim(b, nest, split, from, size, count);
      if (failed(emitLoopNest(b, nest))) result = failure();
    }
  });
  return result;
}

LogicalResult RowsEmitter::emitSteps(const RowBlock& rowBlock) {
  if (failed(resolveViews())) return failure();
  std::vector<LoopNest> run;
  auto emit = [&](Operation* op, const LoopNest& nest) -> LogicalResult {
    LoopNest mine = toBlock(nest, rowBlock);
    if (!op || !products.contains(op)) {
      run.push_back(mine);
      return success();
    }
    if (failed(emitRun(run, rowBlock))) return failure();
    run.clear();
    std::optional<Product> product = productOf(op, mine);
    if (!product) return emitLoopNest(b, mine);
    const Access& left = product->nest.inputs[0];
    if (!left.tile && product->nest.dims[product->m].row && rows[split].extent > chunk)
      product->nextLeft = chunk * left.strides[product->m];
    auto right = packed.find(op);
    std::optional<PackedOperand> operand;
    if (right != packed.end()) operand = right->second;
    if (epilogues.contains(op)) return emitWithEpilogue(*product, op, operand, rowBlock);
    return emitProductTile(f, *product, operand, rowBlock.threadOffset, f.thread);
  };
  for (Operation* op : steps) {
    if (fusedInto.contains(op)) continue;
    FailureOr<std::vector<LoopNest>> nests = nestsOf(op);
    if (failed(nests)) return failure();
    for (const LoopNest& nest : *nests)
      if (failed(emit(op, nest))) return failure();
  }
  for (auto [value, i] : copies)
    if (failed(emit(nullptr, copyNest(f.tensors[value], targets[i])))) return failure();
  return emitRun(run, rowBlock);
}

LogicalResult RowsEmitter::emitByRows() {
  if (failed(prepare(/*addsUpRows=*/true)) || failed(planRowSums())) return failure();
  LogicalResult result = success();
  b.parallelLoop(parts, work >= kParallelWork, [&](Value part) {
    result = startRowSums(part);
    if (blocksOfPart == 1) {
      if (succeeded(result)) result = emitSteps(enterBlock(part));
      return;
    }
    Value from = b.mul(part, blocksOfPart);
    b.loop(from, b.minimum(b.add(from, blocksOfPart), b.constant(blocks())), 1, [&](Value block) {
      if (succeeded(result)) result = emitSteps(enterBlock(block));
    });
  });
  if (failed(result)) return failure();
  return finishRowSums();
}

LogicalResult RowsEmitter::prepare(bool addsUpRows) {
  for (Value value : tiles) f.tensors[value].tile = true;
  if (failed(resolveViews())) return failure();
  std::vector<LoopNest> all;
  SmallVector<std::pair<Operation*, size_t>> single;
  for (Operation* op : steps) {
    FailureOr<std::vector<LoopNest>> nests = nestsOf(op);
    if (failed(nests)) return failure();
    if (nests->size() == 1) single.emplace_back(op, all.size());
    all.insert(all.end(), nests->begin(), nests->end());
  }
  for (auto [value, i] : copies) all.push_back(copyNest(f.tensors[value], targets[i]));
  if (failed(groupRows(all, addsUpRows))) return failure();
  int64_t tile = 0;
  for (const LoopNest& nest : all) {
    int64_t product = 1;
    for (const LoopDim& dim : nest.dims) product *= dim.extent;
    work += product;
  }
  SmallVector<std::pair<Operation*, size_t>> matched;
  for (auto [op, i] : single) {
    std::optional<Product> product = matchProduct(mergeRows(all[i]), b.target);
    if (!product) continue;
    if (product->matrixTiles) byMatrixTiles.insert(op);
    matched.emplace_back(op, i);
    products.insert(op);
    tile = std::max(tile, rowTile(b.target, *product));
    // An operand that all rows share is packed once, before the rows, unless they compute it (keys
    // that the kernel returns, in a batch of one).
    const Access& right = product->nest.inputs[1];
    bool shared = !right.tile && !product->nest.dims[product->n].row;
    for (const TensorValue& target : targets) shared &= target.memref != right.memref;
    for (size_t d : product->outer) shared &= right.strides[d] == 0;
    if (shared) packed[op] = packOperand(f, *product);
  }
  int64_t asked = 0;
  for (auto [op, i] : matched) {
    Tiling tiling = askedTiling(op);
    int64_t rowsOfOp = tiling.rows;
    int64_t columns = cast<RankedTensorType>(op->getResult(0).getType()).getShape().back();
    if (tiling.parts > 1 || (tiling.columns && tiling.columns < columns))
      return op->emitOpError(
          "asks for parts of sums or blocks of columns, but is computed with "
          "ops that share its rows: leave 'parts' and 'columns' out of "
          "weir.tiles");
    if (asked && rowsOfOp && asked != rowsOfOp)
      return op->emitOpError("asks for blocks of ")
             << rowsOfOp << " rows, a product that shares its rows for blocks of " << asked
             << ": give both the same 'rows' in weir.tiles";
    if (rowsOfOp) asked = rowsOfOp;
  }
  chooseBlocks(tile, asked);
  if (split + 1 == rows.size()) {
    SmallVector<std::pair<Operation*, bool>> fusable;
    for (auto [op, i] : matched)
      if (std::optional<bool> needsMemory = takesEpilogue(op, all[i]))
        fusable.emplace_back(op, *needsMemory);
    fuseEpilogues(fusable);
    if (!epilogues.empty()) chooseBlocks(tile, asked);
  }
  f.thread.reserve(planTiles());
  return success();
}

}  // namespace weir
