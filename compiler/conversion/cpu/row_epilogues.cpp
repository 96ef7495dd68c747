// Work at each element of a product: elementwise steps that follow it run on a block of its sums
// while that is in the first cache, as one region, and only what others read is stored.
//
// A slice of the product's columns is the same elements, so steps on different parts of the columns
// can share a product: its columns fall into segments, each with the region of its steps.

#include "compiler/conversion/cpu/fused_nest.h"
#include "compiler/conversion/cpu/rows_emitter.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"

namespace weir {

using namespace mlir;

namespace {

/// Most segments: each has code of its own.
constexpr size_t kMaxSegments = 8;

bool isZero(const std::optional<Access>& init) {
  return !init || (init->isScalar() && matchPattern(init->scalar, m_AnyZeroFloat()));
}

}  // namespace

bool RowsEmitter::FusedSteps::has(Operation* op) const {
  return llvm::any_of(steps, [&](const FusedStep& step) { return step.op == op; });
}

SmallVector<Operation*> RowsEmitter::readersOf(Value value) const {
  SmallVector<Operation*> readers;
  for (Operation* user : value.getUsers()) {
    if (llvm::is_contained(views, user))
      llvm::append_range(readers, readersOf(user->getResult(0)));
    else
      readers.push_back(llvm::is_contained(steps, user) ? user : nullptr);
  }
  return readers;
}

/// Collects the steps that can run on the sums of one product.
class RowsEmitter::EpilogueFinder {
 public:
  EpilogueFinder(const RowsEmitter& rows, Operation* product) : rows(rows), product(product) {
    Value sums = product->getResult(0);
    columns = cast<RankedTensorType>(sums.getType()).getShape().back();
    known[sums] = {sums, 0, columns};
    for (auto [i, op] : llvm::enumerate(rows.steps)) position[op] = i;
    for (Operation* op : rows.steps)
      if (follows(op) && llvm::any_of(op->getOperands(), [&](Value operand) {
            Operation* producer = producerOf(operand);
            return producer && (producer == product || dependent.contains(producer));
          }))
        dependent.insert(op);
  }

  void run();

  FusedSteps epilogue;
  /// Steps that stand after the product, don't depend on it, and must run before it.
  llvm::SetVector<Operation*> before;

 private:
  bool follows(Operation* op) const { return position.lookup(op) > position.lookup(product); }
  bool isFree(Operation* op) const {
    return op != product && !rows.fusedInto.contains(op) && !epilogue.has(op);
  }
  Operation* producerOf(Value value) const;
  bool isFusable(linalg::GenericOp op) const;
  std::optional<ColumnRange> columnsOf(Value value) const;
  std::optional<ColumnRange> columnsOf(linalg::GenericOp op) const;
  bool canRunBefore(Operation* op, llvm::SetVector<Operation*>& moved) const;
  bool canRead(linalg::GenericOp op, int64_t from, int64_t to,
               llvm::SetVector<Operation*>& moved) const;
  bool feedsOnlyElements(linalg::GenericOp op, int64_t from) const;
  SmallVector<int64_t> endsWith(int64_t from, int64_t to) const;
  bool readsSameElements(linalg::GenericOp op, FusedStep step) const;
  void take(linalg::GenericOp op, int64_t from, int64_t to);

  const RowsEmitter& rows;
  Operation* product;
  int64_t columns = 0;
  DenseMap<Operation*, size_t> position;
  DenseSet<Operation*> dependent;
  DenseMap<Value, ColumnRange> known;
};

Operation* RowsEmitter::EpilogueFinder::producerOf(Value value) const {
  Operation* op = value.getDefiningOp();
  while (op && llvm::is_contained(rows.views, op)) op = op->getOperand(0).getDefiningOp();
  return op && position.contains(op) ? op : nullptr;
}

/// A step at each element of rows and one dimension of columns: elementwise, or a sum over rows.
bool RowsEmitter::EpilogueFinder::isFusable(linalg::GenericOp op) const {
  if (op.getNumLoops() != rows.rowRank + 1) return false;
  if (rows.sumsRows(op)) return op.getNumParallelLoops() == 1;
  if (op.getNumParallelLoops() != op.getNumLoops()) return false;
  for (OpOperand& output : op.getDpsInitsMutable())
    if (!op.getMatchingIndexingMap(&output).isIdentity() || op.payloadUsesValueFromOperand(&output))
      return false;
  return true;
}

std::optional<RowsEmitter::ColumnRange> RowsEmitter::EpilogueFinder::columnsOf(Value value) const {
  if (auto it = known.find(value); it != known.end()) return it->second;
  auto slice = value.getDefiningOp<tensor::ExtractSliceOp>();
  if (!slice || slice.getType().getRank() != slice.getSourceType().getRank()) return std::nullopt;
  std::optional<ColumnRange> range = columnsOf(slice.getSource());
  if (!range) return std::nullopt;
  for (size_t d = 0; d <= rows.rowRank; ++d) {
    if (slice.getStaticStrides()[d] != 1 || ShapedType::isDynamic(slice.getStaticOffsets()[d]))
      return std::nullopt;
    if (d < rows.rowRank && slice.getStaticSizes()[d] != slice.getSourceType().getDimSize(d))
      return std::nullopt;
  }
  range->from += slice.getStaticOffsets().back();
  range->to = range->from + slice.getStaticSizes().back();
  return range;
}

SmallVector<int64_t> RowsEmitter::EpilogueFinder::endsWith(int64_t from, int64_t to) const {
  SmallVector<int64_t> ends(epilogue.ends);
  for (int64_t end : {from, to})
    if (end != 0 && end != columns && !llvm::is_contained(ends, end)) ends.push_back(end);
  return ends;
}

/// Columns that `op` is about, if it reads some and they are whole blocks.
std::optional<RowsEmitter::ColumnRange> RowsEmitter::EpilogueFinder::columnsOf(
    linalg::GenericOp op) const {
  std::optional<ColumnRange> range;
  for (OpOperand* operand : op.getDpsInputOperands()) {
    std::optional<ColumnRange> mine = columnsOf(operand->get());
    if (!mine) continue;
    if (!op.getMatchingIndexingMap(operand).isIdentity()) return std::nullopt;
    if (range && (range->from != mine->from || range->to != mine->to)) return std::nullopt;
    range = mine;
  }
  if (!range || range->from % kProductBlock != 0 ||
      (range->to % kProductBlock != 0 && range->to != columns) ||
      endsWith(range->from, range->to).size() >= kMaxSegments)
    return std::nullopt;
  return range;
}

/// Whether what `op` makes can be there before the product; `moved` gets the steps that must move.
bool RowsEmitter::EpilogueFinder::canRunBefore(Operation* op,
                                               llvm::SetVector<Operation*>& moved) const {
  if (op && epilogue.has(op)) return false;
  if (!op || (op != product && !follows(op)) || before.contains(op) || moved.contains(op))
    return true;
  if (op == product || dependent.contains(op) || !isFree(op)) return false;
  auto generic = dyn_cast<linalg::GenericOp>(op);
  if (!generic || generic.getNumLoops() > rows.rowRank + 1) return false;  // Products stay.
  for (Value operand : op->getOperands())
    if (!canRunBefore(producerOf(operand), moved)) return false;
  moved.insert(op);
  return true;
}

/// Whether what `op` reads is there at columns [from, to) of the product, or can be there before.
bool RowsEmitter::EpilogueFinder::canRead(linalg::GenericOp op, int64_t from, int64_t to,
                                          llvm::SetVector<Operation*>& moved) const {
  return llvm::all_of(op.getDpsInputOperands(), [&](OpOperand* input) {
    std::optional<ColumnRange> columns = columnsOf(input->get());
    if (!columns) return canRunBefore(producerOf(input->get()), moved);
    return columns->from == from && columns->to == to &&
           op.getMatchingIndexingMap(input).isIdentity();
  });
}

void RowsEmitter::EpilogueFinder::take(linalg::GenericOp op, int64_t from, int64_t to) {
  epilogue.ends = endsWith(from, to);
  epilogue.steps.push_back({op, from, to});
  for (Value result : op.getResults()) known[result] = {result, from, to};
}

/// Whether the results of `op`, which doesn't depend on the product, are read by steps of the
/// epilogue at the same elements, and otherwise only after the product.
bool RowsEmitter::EpilogueFinder::feedsOnlyElements(linalg::GenericOp op, int64_t from) const {
  for (Value result : op.getResults())
    for (Operation* reader : rows.readersOf(result)) {
      if (!reader) continue;
      auto step =
          llvm::find_if(epilogue.steps, [&](const FusedStep& other) { return other.op == reader; });
      if (step == epilogue.steps.end()) {
        if (!follows(reader) || before.contains(reader)) return false;
        continue;
      }
      linalg::GenericOp generic = step->op;
      if (step->from != from) return false;
      for (OpOperand* operand : generic.getDpsInputOperands()) {
        if (producerOf(operand->get()) != op.getOperation()) continue;
        if (operand->get().getDefiningOp() != op.getOperation() ||
            !generic.getMatchingIndexingMap(operand).isIdentity())
          return false;
      }
    }
  return true;
}

/// Whether `op` and a step of the epilogue read the same tensor at the same elements: they often
/// compute the same from it, as an activation and its derivative do.
bool RowsEmitter::EpilogueFinder::readsSameElements(linalg::GenericOp op, FusedStep step) const {
  return llvm::any_of(op.getDpsInputOperands(), [&](OpOperand* mine) {
    return op.getMatchingIndexingMap(mine).isIdentity() && !columnsOf(mine->get()) &&
           llvm::any_of(step.op.getDpsInputOperands(), [&](OpOperand* other) {
             return mine->get() == other->get() &&
                    step.op.getMatchingIndexingMap(other).isIdentity();
           });
  });
}

void RowsEmitter::EpilogueFinder::run() {
  for (Operation* step : rows.steps) {
    auto op = dyn_cast<linalg::GenericOp>(step);
    if (!op || !follows(op) || !isFree(op) || !isFusable(op)) continue;
    std::optional<ColumnRange> range = columnsOf(op);
    if (!range) continue;
    llvm::SetVector<Operation*> moved;
    if (!canRead(op, range->from, range->to, moved)) continue;
    before.insert(moved.begin(), moved.end());
    take(op, range->from, range->to);
  }
  // Steps that don't depend on the product, but feed these, or read what they read, at the same
  // elements, come along.
  for (size_t i = 0; i < epilogue.steps.size(); ++i) {
    FusedStep neighbour = epilogue.steps[i];
    for (Operation* step : rows.steps) {
      auto op = dyn_cast<linalg::GenericOp>(step);
      if (!op || !isFree(op) || !isFusable(op) || dependent.contains(op) ||
          rows.epilogues.contains(op))
        continue;
      bool feeds = llvm::any_of(neighbour.op.getInputs(),
                                [&](Value input) { return input.getDefiningOp() == step; });
      llvm::SetVector<Operation*> moved;
      if ((!feeds && !readsSameElements(op, neighbour)) || !feedsOnlyElements(op, neighbour.from) ||
          !canRead(op, neighbour.from, neighbour.to, moved))
        continue;
      before.insert(moved.begin(), moved.end());
      before.remove(op);
      take(op, neighbour.from, neighbour.to);
    }
  }
  llvm::sort(epilogue.steps,
             [](FusedStep x, FusedStep y) { return x.op->isBeforeInBlock(y.op.getOperation()); });
  epilogue.ends.push_back(columns);
  llvm::sort(epilogue.ends);
}

void RowsEmitter::fuseEpilogues(ArrayRef<std::pair<Operation*, bool>> products) {
  for (auto [product, needsMemory] : products) {
    EpilogueFinder finder(*this, product);
    finder.run();
    const FusedSteps& epilogue = finder.epilogue;
    if (epilogue.steps.empty()) continue;
    SmallVector<Operation*> order;
    for (Operation* op : steps) {
      if (epilogue.has(op) || finder.before.contains(op)) continue;
      if (op == product)
        llvm::copy_if(steps, std::back_inserter(order),
                      [&](Operation* other) { return finder.before.contains(other); });
      order.push_back(op);
      if (op != product) continue;
      for (const FusedStep& step : epilogue.steps) {
        order.push_back(step.op);
        fusedInto[step.op] = product;
      }
    }
    steps = order;
    epilogues[product] = epilogue;
  }
  for (auto [product, needsMemory] : products) {
    auto epilogue = epilogues.find(product);
    if (epilogue == epilogues.end()) continue;
    if (!needsMemory && !isReadElsewhere(product->getResult(0), product))
      tiles.remove(product->getResult(0));
    for (const FusedStep& step : epilogue->second.steps)
      for (Value result : linalg::GenericOp(step.op)->getResults())
        if (!isReadElsewhere(result, product)) tiles.remove(result);
  }
}

/// Whether a product with blocks of rows [.., chunk, ..] as its rows can have an epilogue, and, if
/// so, whether its sums go through memory.
std::optional<bool> RowsEmitter::takesEpilogue(Operation* op, const LoopNest& nest) {
  LoopNest mine = mergeRows(nest);
  for (size_t g = 0; g < split; ++g) mine.dims[g].extent = 1;
  mine.dims[split].extent = chunk;
  std::optional<Product> product = productOf(op, mine);
  if (!product || !product->outer.empty() || !product->nest.dims[product->m].row ||
      product->nest.dims[product->n].row || !isZero(product->nest.outputs[0].init))
    return std::nullopt;
  return !product->matrixTiles;
}

/// Whether anything but the epilogue of `product` reads `value`.
bool RowsEmitter::isReadElsewhere(Value value, Operation* product) const {
  return llvm::any_of(readersOf(value), [&](Operation* reader) {
    return !reader || fusedInto.lookup(reader) != product;
  });
}

bool RowsEmitter::isReadBack(OpResult result) const {
  Operation* op = result.getOwner();
  Operation* product = epilogues.contains(op) ? op : fusedInto.lookup(op);
  return llvm::any_of(readersOf(result), [&](Operation* reader) {
    return reader && (!product || fusedInto.lookup(reader) != product);
  });
}

/// The steps for one segment of columns as one nest over rows and columns, counted from the first
/// row and column of the product. Its first input is the product.
FailureOr<LoopNest> RowsEmitter::segmentNest(Operation* product, size_t segment,
                                             const RowBlock& rowBlock) {
  const FusedSteps& epilogue = epilogues.find(product)->second;
  int64_t to = epilogue.ends[segment], from = segment ? epilogue.ends[segment - 1] : 0;
  ownBlocks.push_back(std::make_unique<Block>());
  FusedNest fused(b, *ownBlocks.back(), f.scalars);
  auto inSegment = [&](Access access, int64_t start) {
    if (access.isScalar()) return access;
    int64_t row = access.strides[split], column = access.strides.back();
    if (start && column) access.base = b.add(access.base, b.constant(-start * column));
    access.strides.assign(rows.size() - 1, 0);
    access.strides.append({row, column});
    return access;
  };
  std::function<Value(Value)> rootOf = [&](Value value) {
    Operation* op = value.getDefiningOp();
    return op && llvm::is_contained(views, op) ? rootOf(op->getOperand(0)) : value;
  };
  Value sums = product->getResult(0);
  FailureOr<LoopNest> nest = genericNest(cast<linalg::GenericOp>(product));
  if (failed(nest)) return failure();
  LoopNest whole = toBlock(*nest, rowBlock);
  Access ofSums;
  ofSums.element = f.tensors[sums].element;
  ofSums.strides.assign(rows.size() + 1, 0);
  fused.addValue(sums, ofSums);
  if (isReadElsewhere(sums, product)) {
    // Columns are the dimension that C walks by unit stride.
    Access access = whole.outputs[0].access;
    AffineMap map =
        cast<linalg::GenericOp>(product).getIndexingMapMatchingResult(cast<OpResult>(sums));
    size_t column = cast<AffineDimExpr>(map.getResults().back()).getPosition();
    int64_t stride = access.strides[rows.size() + column - rowRank];
    access.strides.truncate(rows.size());
    access.strides.push_back(stride);
    fused.store(sums, inSegment(access, 0));
  }
  for (const FusedStep& step : epilogue.steps) {
    if (step.from >= to || step.to <= from) continue;
    linalg::GenericOp op = step.op;
    nest = genericNest(op);
    if (failed(nest)) return failure();
    LoopNest mine = toBlock(*nest, rowBlock);
    auto access = [&](const Access& own) { return inSegment(own, step.from); };
    fused.addStep(op, mine, {access, rootOf, static_cast<int64_t>(rowRank), step.from},
                  rowSums.contains(op));
    for (OpResult result : op->getResults())
      if (isReadElsewhere(result, product))
        fused.store(result, access(mine.outputs[result.getResultNumber()].access));
  }
  SmallVector<LoopDim> dims(whole.dims.begin(), whole.dims.begin() + rows.size());
  dims.emplace_back().source = static_cast<int64_t>(rowRank);
  return fused.finish(dims);
}

LogicalResult RowsEmitter::emitWithEpilogue(Product product, Operation* op,
                                            std::optional<PackedOperand> operand,
                                            const RowBlock& rowBlock) {
  ProductEpilogue epilogue;
  epilogue.ends = epilogues.find(op)->second.ends;
  std::vector<LoopNest> nests;
  for (size_t i = 0; i < epilogue.ends.size(); ++i) {
    FailureOr<LoopNest> nest = segmentNest(op, i, rowBlock);
    if (failed(nest)) return failure();
    nests.push_back(*nest);
  }
  epilogue.emit = [&](const ProductBlock& block, size_t segment) -> LogicalResult {
    LoopNest mine = nests[segment];
    if (mine.outputs.empty()) return success();
    size_t column = mine.dims.size() - 1, row = column - 1;
    restrictDim(b, mine, row, block.row, block.rows, block.mostRows);
    restrictDim(b, mine, column, block.column, block.size, block.columns);
    Access sums = block.sums;
    SmallVector<int64_t> strides(mine.dims.size() - 2, 0);
    strides.append(sums.strides.begin(), sums.strides.end());
    sums.strides = strides;
    mine.inputs[0] = sums;
    return emitLoopNest(b, mine);
  };
  epilogue.fetch = [&](const ProductBlock& block, size_t segment) {
    const LoopNest& nest = nests[segment];
    size_t column = nest.dims.size() - 1, row = column - 1;
    auto fetch = [&](const Access& access, bool isWrite) {
      if (access.isScalar() || access.tile || access.strides[column] != 1 ||
          access.strides[row] == 0)
        return;
      Value at = b.offset(access.base, block.row, access.strides[row]);
      at = b.add(at, block.column);
      int64_t line = kLineBytes / storageBytes(access.element);
      for (int64_t i = 0; i < block.columns; i += line)
        b.prefetch(access.memref, b.add(at, i), KernelBuilder::Cache::First, isWrite);
    };
    for (const Access& input : llvm::drop_begin(nest.inputs)) fetch(input, false);
    for (const LoopOutput& output : nest.outputs)
      if (!output.access.streamed) fetch(output.access, true);
  };
  if (product.matrixTiles) {
    product.epilogue = &epilogue;
    return emitProductTile(f, product, operand, rowBlock.threadOffset, f.thread);
  }
  if (failed(emitProductTile(f, product, operand, rowBlock.threadOffset, f.thread)))
    return failure();
  const LoopDim& m = product.nest.dims[product.m];
  const Access& sums = product.nest.outputs[0].access;
  int64_t from = 0;
  for (auto [segment, to] : llvm::enumerate(epilogue.ends)) {
    ProductBlock block;
    block.sums = sums;
    block.sums.strides = {sums.strides[product.m], 1};
    block.sums.base = b.add(sums.base, from);
    block.row = b.constant(0);
    block.rows = m.size;
    block.mostRows = m.extent;
    block.column = b.constant(from);
    block.columns = to - from;
    if (failed(epilogue.emit(block, segment))) return failure();
    from = to;
  }
  return success();
}

}  // namespace weir
