#include "compiler/transforms/dispatch_access.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Transforms/RegionUtils.h"

#include "compiler/transforms/op_kinds.h"

namespace weir {

using namespace mlir;

static SmallVector<int> identity(int64_t rank) {
  SmallVector<int> loops;
  for (int64_t d = 0; d < rank; ++d) loops.push_back(static_cast<int>(d));
  return loops;
}

static int64_t rankOf(Value value) {
  auto type = dyn_cast<RankedTensorType>(value.getType());
  return type ? type.getRank() : 0;
}

static SmallVector<int> loopsOfMap(AffineMap map) {
  SmallVector<int> loops;
  for (AffineExpr expr : map.getResults()) {
    auto dim = dyn_cast<AffineDimExpr>(expr);
    loops.push_back(dim ? static_cast<int>(dim.getPosition()) : kNoLoop);
  }
  return loops;
}

/// Whether the slice takes all of dimension `d` of `whole`.
template <typename SliceOp>
static bool takesAll(SliceOp op, RankedTensorType whole, int64_t d) {
  return op.getStaticOffsets()[d] == 0 && op.getStaticSizes()[d] == whole.getDimSize(d) &&
         op.getStaticStrides()[d] == 1;
}

/// For each dimension of the smaller tensor, the dimension of the larger that it is a part of.
template <typename SliceOp>
static SmallVector<int> keptDims(SliceOp op, int64_t wholeRank) {
  llvm::SmallBitVector dropped = op.getDroppedDims();
  SmallVector<int> kept;
  for (int64_t d = 0; d < wholeRank; ++d) {
    if (!dropped.test(d)) kept.push_back(static_cast<int>(d));
  }
  return kept;
}

/// Loops of the side with more dimensions, numbered by those of the other side, or the other way
/// round.
static SmallVector<int> reshapeLoops(ArrayRef<ReassociationIndices> groups, int64_t rank,
                                     bool onLargeSide, bool resultIsLarge) {
  SmallVector<int> loops(rank, kNoLoop);
  for (auto [small, group] : llvm::enumerate(groups)) {
    if (group.size() != 1) continue;
    int64_t large = group[0];
    loops[onLargeSide ? large : static_cast<int64_t>(small)] =
        static_cast<int>(resultIsLarge ? large : small);
  }
  return loops;
}

SmallVector<int> loopsOfOperand(OpOperand& operand) {
  Operation* op = operand.getOwner();
  int64_t rank = rankOf(operand.get());
  if (auto linalgOp = dyn_cast<linalg::LinalgOp>(op))
    return loopsOfMap(linalgOp.getMatchingIndexingMap(&operand));
  if (auto slice = dyn_cast<tensor::ExtractSliceOp>(op)) {
    SmallVector<int> loops(rank, kNoLoop);
    for (auto [small, large] : llvm::enumerate(keptDims(slice, rank))) {
      if (takesAll(slice, slice.getSourceType(), large)) loops[large] = static_cast<int>(small);
    }
    return loops;
  }
  if (auto insert = dyn_cast<tensor::InsertSliceOp>(op)) {
    RankedTensorType whole = insert.getDestType();
    SmallVector<int> loops(rank, kNoLoop);
    if (operand.get() == insert.getDest() && operand.getOperandNumber() == 1) {
      for (int64_t d = 0; d < rank; ++d) {
        if (takesAll(insert, whole, d)) loops[d] = static_cast<int>(d);
      }
      return loops;
    }
    for (auto [small, large] : llvm::enumerate(keptDims(insert, whole.getRank()))) {
      if (takesAll(insert, whole, large)) loops[small] = large;
    }
    return loops;
  }
  if (auto concat = dyn_cast<tensor::ConcatOp>(op)) {
    SmallVector<int> loops = identity(rank);
    loops[concat.getDim()] = kNoLoop;
    return loops;
  }
  if (auto expand = dyn_cast<tensor::ExpandShapeOp>(op)) {
    return reshapeLoops(expand.getReassociationIndices(), rank, /*onLargeSide=*/false,
                        /*resultIsLarge=*/true);
  }
  if (auto collapse = dyn_cast<tensor::CollapseShapeOp>(op)) {
    return reshapeLoops(collapse.getReassociationIndices(), rank, /*onLargeSide=*/true,
                        /*resultIsLarge=*/false);
  }
  return SmallVector<int>(rank, kNoLoop);
}

SmallVector<int> loopsOfResult(OpResult result) {
  Operation* op = result.getOwner();
  int64_t rank = rankOf(result);
  if (auto linalgOp = dyn_cast<linalg::LinalgOp>(op)) {
    return loopsOfMap(linalgOp.getIndexingMapMatchingResult(result));
  }
  SmallVector<int> loops = identity(rank);
  if (auto slice = dyn_cast<tensor::ExtractSliceOp>(op)) {
    for (auto [small, large] : llvm::enumerate(keptDims(slice, slice.getSourceType().getRank()))) {
      if (!takesAll(slice, slice.getSourceType(), large)) loops[small] = kNoLoop;
    }
  } else if (auto insert = dyn_cast<tensor::InsertSliceOp>(op)) {
    for (int64_t d = 0; d < rank; ++d) {
      if (!takesAll(insert, insert.getDestType(), d)) loops[d] = kNoLoop;
    }
  } else if (auto concat = dyn_cast<tensor::ConcatOp>(op)) {
    loops[concat.getDim()] = kNoLoop;
  } else if (auto expand = dyn_cast<tensor::ExpandShapeOp>(op)) {
    return reshapeLoops(expand.getReassociationIndices(), rank, /*onLargeSide=*/true,
                        /*resultIsLarge=*/true);
  } else if (auto collapse = dyn_cast<tensor::CollapseShapeOp>(op)) {
    return reshapeLoops(collapse.getReassociationIndices(), rank, /*onLargeSide=*/false,
                        /*resultIsLarge=*/false);
  } else {
    loops.assign(rank, kNoLoop);
  }
  return loops;
}

/// The outermost loops that a sum over rows walks its input with the most dimensions by.
static SmallVector<int> summedRowsOf(linalg::GenericOp sum) {
  SmallVector<utils::IteratorType> kinds = sum.getIteratorTypesArray();
  SmallVector<int> rows;
  for (OpOperand* input : sum.getDpsInputOperands()) {
    SmallVector<int> loops = loopsOfMap(sum.getMatchingIndexingMap(input));
    auto end = llvm::find_if(loops, [&](int loop) {
      return loop == kNoLoop || kinds[loop] != utils::IteratorType::reduction;
    });
    if (end - loops.begin() > static_cast<int64_t>(rows.size())) rows.assign(loops.begin(), end);
  }
  return rows;
}

SmallVector<int> rowLoopsOf(Operation* op) {
  SmallVector<int> rows;
  if (op->getNumResults() == 0) return rows;
  auto generic = dyn_cast<linalg::GenericOp>(op);
  // Concatenations stay in the host program, where the planner has producers write straight to
  // their part.
  if (!generic &&
      !isa<linalg::FillOp, tensor::ExtractSliceOp, tensor::ExpandShapeOp, tensor::CollapseShapeOp>(
          op)) {
    return rows;
  }
  if (generic && isColumnSum(generic)) return summedRowsOf(generic);
  if (generic && reducesOverRows(generic)) return rows;
  bool contraction = generic && isContraction(generic);
  // Operands of a product that every row loop so far walks.
  SmallVector<AffineMap> candidates;
  if (contraction) {
    for (OpOperand* input : generic.getDpsInputOperands()) {
      candidates.push_back(generic.getMatchingIndexingMap(input));
    }
  }
  for (int loop : loopsOfResult(op->getResult(0))) {
    if (loop == kNoLoop || llvm::is_contained(rows, loop)) break;
    if (contraction) {
      SmallVector<AffineMap> kept;
      for (AffineMap map : candidates) {
        if (map.isFunctionOfDim(loop)) kept.push_back(map);
      }
      if (kept.empty()) break;
      candidates = kept;
    }
    rows.push_back(loop);
  }
  return rows;
}

int64_t loopExtent(Operation* op, int loop) {
  if (auto linalgOp = dyn_cast<linalg::LinalgOp>(op)) return linalgOp.getStaticLoopRanges()[loop];
  return cast<RankedTensorType>(op->getResult(0).getType()).getDimSize(loop);
}

SmallVector<Value> valuesRead(Operation* op) {
  llvm::SetVector<Value> values(op->operand_begin(), op->operand_end());
  getUsedValuesDefinedAbove(op->getRegions(), values);
  return values.takeVector();
}

}  // namespace weir
