// Kernels of linalg ops.
//
// A group of ops that share their first dimensions ("rows") is computed block of rows by block of
// rows, each block on one thread, so that values that only the group uses stay in the thread's
// cache (tiles in scratch memory). Kernels without rows, and kernels of one op, run op by op, each
// on all threads.

#include <numeric>

#include "compiler/conversion/cpu/rows_emitter.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

namespace weir {

using namespace mlir;

namespace {

bool makesStorage(Operation* op) {
  return isa<linalg::GenericOp, tensor::ConcatOp, tensor::InsertSliceOp>(op);
}

}  // namespace

/// Visits the ops of the kernel in order: scalars are emitted at once, tensors get storage.
LogicalResult RowsEmitter::collect() {
  for (Operation& op : body.without_terminator()) {
    if (makesStorage(&op)) {
      steps.push_back(&op);
    } else if (isa<tensor::ExtractSliceOp, tensor::ExpandShapeOp, tensor::CollapseShapeOp,
                   tensor::CastOp>(op)) {
      views.push_back(&op);
    } else if (failed(f.describeOp(&op))) {
      return failure();
    }
  }
  for (Operation* op : steps)
    for (Value result : op->getResults()) {
      auto type = cast<RankedTensorType>(result.getType());
      TensorValue value;
      value.element = type.getElementType();
      value.shape.assign(type.getShape().begin(), type.getShape().end());
      value.strides = denseStrides(value.shape);
      value.root = result;
      f.tensors[result] = value;
    }
  return success();
}

/// Returned values are computed in place where possible.
void RowsEmitter::assignResults() {
  auto terminator = body.getTerminator();
  DenseSet<Value> assigned;
  for (auto [i, value] : llvm::enumerate(terminator->getOperands())) {
    Operation* op = value.getDefiningOp();
    if (op && makesStorage(op) && assigned.insert(value).second) {
      TensorValue& tensor = f.tensors[value];
      Value root = tensor.root;
      tensor = targets[i];
      tensor.root = root;
    } else {
      copies.emplace_back(value, i);
    }
  }
  for (Operation* op : steps)
    for (Value result : op->getResults())
      if (!assigned.contains(result)) tiles.insert(result);
}

void RowsEmitter::moveTargets(ArrayRef<TensorValue> moved) {
  targets.assign(moved.begin(), moved.end());
  for (auto [i, value] : llvm::enumerate(body.getTerminator()->getOperands())) {
    if (!value.getDefiningOp() || !makesStorage(value.getDefiningOp())) continue;
    if (llvm::is_contained(copies, std::pair<Value, unsigned>(value, i))) continue;
    Value root = f.tensors[value].root;
    f.tensors[value] = targets[i];
    f.tensors[value].root = root;
  }
}

LogicalResult RowsEmitter::resolveViews() {
  for (Operation* op : views) {
    FailureOr<std::optional<TensorValue>> view = f.viewOf(op);
    if (failed(view)) return failure();
    f.tensors[op->getResult(0)] = **view;
  }
  return success();
}

LoopNest RowsEmitter::copyNest(const TensorValue& from, const TensorValue& to) {
  LoopNest nest;
  nest.captured = &f.scalars;
  for (auto [d, extent] : llvm::enumerate(to.shape)) {
    LoopDim dim;
    dim.extent = extent;
    dim.source = d;
    nest.dims.push_back(dim);
  }
  AffineMap identity = AffineMap::getMultiDimIdentityMap(to.shape.size(), b.getContext());
  nest.inputs.push_back(*f.access(f.kernel, from, identity));
  LoopOutput output;
  output.access = *f.access(f.kernel, to, identity);
  output.access.streamed = to.streamed;
  nest.outputs.push_back(output);
  ownBlocks.push_back(std::make_unique<Block>());
  Block& block = *ownBlocks.back();
  block.addArguments({to.element, to.element}, {b.getLoc(), b.getLoc()});
  OpBuilder builder(b.getContext());
  builder.setInsertionPointToEnd(&block);
  linalg::YieldOp::create(builder, b.getLoc(), ValueRange{block.getArgument(0)});
  nest.body = &block;
  return nest;
}

FailureOr<LoopNest> RowsEmitter::genericNest(linalg::GenericOp op) {
  LoopNest nest;
  nest.captured = &f.scalars;
  nest.body = op.getBody();
  nest.op = op;
  SmallVector<int64_t> extents = op.getStaticLoopRanges();
  for (auto [d, kind] : llvm::enumerate(op.getIteratorTypesArray())) {
    if (ShapedType::isDynamic(extents[d])) return op.emitOpError("has a dimension of unknown size");
    LoopDim dim;
    dim.extent = extents[d];
    dim.source = d;
    dim.reduction = kind == utils::IteratorType::reduction;
    nest.dims.push_back(dim);
  }
  SmallVector<AffineMap> maps = op.getIndexingMapsArray();
  unsigned numInputs = op.getNumDpsInputs();
  for (auto [i, operand] : llvm::enumerate(op.getInputs())) {
    if (!isa<RankedTensorType>(operand.getType())) {
      Access scalar;
      scalar.element = operand.getType();
      scalar.scalar = f.scalars.lookupOrNull(operand);
      if (!scalar.scalar) return op.emitOpError("takes a scalar that is not one of the kernel");
      nest.inputs.push_back(scalar);
      continue;
    }
    const TensorValue& tensor = f.tensors[operand];
    if (tensor.isEmpty()) return op.emitOpError("reads a tensor that was never written");
    FailureOr<Access> access = f.access(op, tensor, maps[i]);
    if (failed(access)) return failure();
    nest.inputs.push_back(*access);
  }
  for (auto [i, result] : llvm::enumerate(op.getResults())) {
    AffineMap map = maps[numInputs + i];
    if (!map.isProjectedPermutation())
      return op.emitOpError("must write through a projected permutation");
    FailureOr<Access> access = f.access(op, f.tensors[result], map);
    if (failed(access)) return failure();
    LoopOutput output;
    output.access = *access;
    output.access.streamed = f.tensors[result].streamed && !isReadBack(result);
    const TensorValue& init = f.tensors[op.getOutputs()[i]];
    if (rowSums.contains(op)) {  // Goes on from the rows before.
      output.init = *access;
    } else if (!op.getBody()->getArgument(numInputs + i).use_empty() && !init.isEmpty()) {
      FailureOr<Access> initAccess = f.access(op, init, map);
      if (failed(initAccess)) return failure();
      output.init = *initAccess;
    }
    nest.outputs.push_back(output);
  }
  return nest;
}

FailureOr<std::vector<LoopNest>> RowsEmitter::nestsOf(Operation* op) {
  std::vector<LoopNest> nests;
  if (auto generic = dyn_cast<linalg::GenericOp>(op)) {
    FailureOr<LoopNest> nest = genericNest(generic);
    if (failed(nest)) return failure();
    nests.push_back(*nest);
    return nests;
  }
  TensorValue whole = f.tensors[op->getResult(0)];
  if (auto concat = dyn_cast<tensor::ConcatOp>(op)) {
    int64_t at = 0;
    for (Value part : concat.getInputs()) {
      TensorValue to = whole;
      to.offset += at * whole.strides[concat.getDim()];
      to.shape = f.tensors[part].shape;
      at += to.shape[concat.getDim()];
      if (!f.tensors[part].isEmpty()) nests.push_back(copyNest(f.tensors[part], to));
    }
    return nests;
  }
  auto insert = cast<tensor::InsertSliceOp>(op);
  if (llvm::any_of(insert.getStaticOffsets(), ShapedType::isDynamic))
    return op->emitOpError("needs static offsets inside of a kernel");
  const TensorValue &dest = f.tensors[insert.getDest()], &source = f.tensors[insert.getSource()];
  if (!dest.isEmpty()) nests.push_back(copyNest(dest, whole));
  TensorValue to = whole;
  llvm::SmallBitVector dropped = insert.getDroppedDims();
  to.shape = source.shape;
  to.strides.clear();
  for (size_t d = 0; d < whole.strides.size(); ++d) {
    to.offset += insert.getStaticOffsets()[d] * whole.strides[d];
    if (!dropped.test(d)) to.strides.push_back(whole.strides[d] * insert.getStaticStrides()[d]);
  }
  nests.push_back(copyNest(source, to));
  return nests;
}

LogicalResult RowsEmitter::emitByOp() {
  for (Value value : tiles) {
    TensorValue& tensor = f.tensors[value];
    int64_t size = ShapedType::getNumElements(tensor.shape);
    int64_t offset = f.shared.reserve(size * storageBytes(tensor.element));
    tensor.memref = b.view(f.sharedScratch, b.constant(offset), size, tensor.element);
  }
  if (failed(resolveViews())) return failure();
  for (Operation* op : steps) {
    FailureOr<std::vector<LoopNest>> nests = nestsOf(op);
    if (failed(nests)) return failure();
    for (LoopNest& nest : *nests)
      if (failed(emitOnAllThreads(nest))) return failure();
  }
  for (auto [value, i] : copies)
    if (failed(emitOnAllThreads(copyNest(f.tensors[value], targets[i])))) return failure();
  return success();
}

LogicalResult RowsEmitter::emitOnAllThreads(const LoopNest& nest) {
  if (std::optional<Product> product = matchProduct(nest, b.target))
    return emitParallelProduct(f, *product);
  return emitParallelNest(b, nest, f.sharedScratch, f.shared);
}

/// Fewer rows than workers, each with enough work for several: what reads weights by rows of one
/// would leave the others idle.
bool RowsEmitter::hasFewRows() {
  int64_t rows = 0, points = 0;
  for (Operation* op : steps) {
    auto generic = dyn_cast<linalg::GenericOp>(op);
    if (!generic) continue;
    SmallVector<int64_t> extents = generic.getStaticLoopRanges();
    auto product = [](ArrayRef<int64_t> sizes) {
      return std::accumulate(sizes.begin(), sizes.end(), int64_t{1}, std::multiplies<>());
    };
    rows = product(ArrayRef<int64_t>(extents).take_front(rowRank));
    points += product(extents);
  }
  return rows > 0 && rows < CpuTarget::kWorkers && points / rows >= 2 * kParallelWork;
}

LogicalResult RowsEmitter::emit() {
  if (failed(collect())) return failure();
  assignResults();
  if (rowRank == 0 || steps.size() + copies.size() <= 1 || hasFewRows()) return emitByOp();
  return emitByRows();
}

LogicalResult emitRowsKernel(KernelFunction& f) {
  auto rank = f.kernel->getAttrOfType<IntegerAttr>("weir.row_rank");
  return RowsEmitter(f, f.kernel.getBody().front(), f.results, rank ? rank.getInt() : 0).emit();
}

}  // namespace weir
