// Sums over the rows of a kernel, of what its other steps make or read of them: gradients of biases
// and of what scales norms.
//
// The rows are in parts, whose number depends on shapes only. One thread adds up the rows of a part
// in their order, to memory that stays in its cache; then the parts are added in theirs.

#include "compiler/conversion/cpu/combiners.h"
#include "compiler/conversion/cpu/rows_emitter.h"
#include "mlir/Dialect/Arith/IR/Arith.h"

namespace weir {

using namespace mlir;

namespace {

/// Enough to keep threads equally busy; each has sums of its own.
constexpr int64_t kMostParts = 64;

}  // namespace

bool RowsEmitter::sumsRows(Operation* op) const {
  auto generic = dyn_cast<linalg::GenericOp>(op);
  if (!generic || rowRank == 0 || generic.getNumLoops() < rowRank) return false;
  SmallVector<utils::IteratorType> kinds = generic.getIteratorTypesArray();
  return llvm::all_of(ArrayRef(kinds).take_front(rowRank), [](utils::IteratorType kind) {
    return kind == utils::IteratorType::reduction;
  });
}

LogicalResult RowsEmitter::planRowSums() {
  for (Operation* op : steps) {
    if (!sumsRows(op)) continue;
    FailureOr<LoopNest> nest = genericNest(cast<linalg::GenericOp>(op));
    if (failed(nest)) return failure();
    for (OpResult result : op->getResults()) {
      if (!findCombiner(*nest->body, nest->inputs.size(), result.getResultNumber()))
        return op->emitOpError("reduces the rows of its kernel by an unknown operation");
      if (!result.hasOneUse() || *result.user_begin() != body.getTerminator())
        return op->emitOpError("sums the rows of a kernel that reads the sum");
    }
    rowSums[op] = *nest;
  }
  blocksOfPart = rowSums.empty() ? 1 : divideUp(blocks(), kMostParts);
  parts = divideUp(blocks(), blocksOfPart);
  for (auto& [op, nest] : rowSums)
    for (Value result : op->getResults()) {
      TensorValue& part = f.tensors[result];
      int64_t size = ShapedType::getNumElements(part.shape);
      int64_t offset = f.shared.reserve(parts * size * storageBytes(part.element));
      part.memref = b.view(f.sharedScratch, b.constant(offset), parts * size, part.element);
      part.strides = denseStrides(part.shape);
      part.offset = 0;
      part.start = Value();
      part.streamed = false;
    }
  return success();
}

LogicalResult RowsEmitter::startRowSums(Value part) {
  for (auto& [op, nest] : rowSums)
    for (OpResult result : op->getResults()) {
      TensorValue& mine = f.tensors[result];
      mine.start = b.mul(part, ShapedType::getNumElements(mine.shape));
      TensorValue neutral;
      neutral.scalar = arith::ConstantOp::create(
          b,
          neutralElement(findCombiner(*nest.body, nest.inputs.size(), result.getResultNumber())));
      neutral.element = mine.element;
      neutral.shape = mine.shape;
      if (failed(emitLoopNest(b, copyNest(neutral, mine)))) return failure();
    }
  return success();
}

LogicalResult RowsEmitter::finishRowSums() {
  for (auto& [op, nest] : rowSums) {
    auto generic = cast<linalg::GenericOp>(op);
    SmallVector<PartialResults> partial;
    for (OpResult result : op->getResults()) {
      TensorValue first = f.tensors[result];
      first.start = Value();
      FailureOr<Access> access = f.access(op, first, generic.getIndexingMapMatchingResult(result));
      if (failed(access)) return failure();
      partial.push_back({*access, ShapedType::getNumElements(first.shape)});
    }
    if (failed(emitCombination(b, nest, partial, parts, f.shared))) return failure();
  }
  return success();
}

}  // namespace weir
