#include "compiler/transforms/op_kinds.h"

#include "compiler/dialect/attention_ops.h"
#include "compiler/dialect/loss_ops.h"
#include "compiler/dialect/ring_ops.h"
#include "llvm/ADT/StringSet.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

namespace weir {

using namespace mlir;

/// A part of a second cache that others need as well.
static constexpr int64_t kColumnSumBytes = 64 << 10;

bool isKernelOrProducts(Operation* op) {
  return isa<AttentionOp, AttentionVjpOp, LogitStatisticsOp, LogitStatisticsVjpOp, MixedChunksOp,
             MixedChunksVjpOp, WriteRingOp>(op);
}

bool isKernelRoot(Operation* op) {
  if (auto attention = dyn_cast<AttentionOp>(op)) return attention.hasKernel();
  if (auto attention = dyn_cast<AttentionVjpOp>(op)) return attention.hasKernel();
  if (isKernelOrProducts(op)) return true;
  static const llvm::StringSet<> kRoots = {"weir.scan",        "weir.scan_vjp",
                                           "weir.recurrence",  "weir.recurrence_vjp",
                                           "weir.gather_rows", "weir.scatter_rows"};
  return kRoots.contains(op->getName().getStringRef());
}

bool isView(Operation* op) {
  return isa<tensor::ExtractSliceOp, tensor::InsertSliceOp, tensor::ConcatOp, tensor::ExpandShapeOp,
             tensor::CollapseShapeOp>(op);
}

/// Looks through conversions: bf16 products are written extf, extf, mulf, addf.
static Value stripCasts(Value value) {
  while (Operation* op = value.getDefiningOp()) {
    if (!isa<CastOpInterface>(op)) break;
    value = op->getOperand(0);
  }
  return value;
}

bool isContraction(linalg::GenericOp op) {
  if (op.getNumReductionLoops() == 0 || op.getNumDpsInits() != 1 || op.getNumDpsInputs() < 2) {
    return false;
  }
  Block* body = op.getBody();
  Value yielded = body->getTerminator()->getOperand(0);
  Operation* add = yielded.getDefiningOp();
  if (!add || !isa<arith::AddFOp, arith::AddIOp>(add)) return false;
  BlockArgument accumulator = body->getArguments().back();
  for (int side : {0, 1}) {
    if (add->getOperand(side) != accumulator) continue;
    Operation* mul = stripCasts(add->getOperand(1 - side)).getDefiningOp();
    if (!mul || !isa<arith::MulFOp, arith::MulIOp>(mul)) return false;
    auto lhs = dyn_cast<BlockArgument>(stripCasts(mul->getOperand(0)));
    auto rhs = dyn_cast<BlockArgument>(stripCasts(mul->getOperand(1)));
    if (!lhs || !rhs || lhs == rhs || lhs.getOwner() != body || rhs.getOwner() != body) {
      return false;
    }
    // Each side must have a dimension that the other lacks, or it is a weighted sum, as in a norm's
    // gradient.
    auto lacks = [&](BlockArgument from, BlockArgument in) {
      AffineMap a = op.getIndexingMapsArray()[from.getArgNumber()];
      AffineMap b = op.getIndexingMapsArray()[in.getArgNumber()];
      for (unsigned d = 0; d < op.getNumLoops(); ++d) {
        if (b.isFunctionOfDim(d) && !a.isFunctionOfDim(d)) return true;
      }
      return false;
    };
    return lacks(lhs, rhs) || lacks(rhs, lhs);
  }
  return false;
}

bool isElementwise(linalg::GenericOp op) { return op.getNumParallelLoops() == op.getNumLoops(); }

bool reducesOverRows(linalg::GenericOp op) {
  if (op.getNumReductionLoops() == 0) return false;
  SmallVector<utils::IteratorType> iterators = op.getIteratorTypesArray();
  SmallVector<int64_t> extents = op.getStaticLoopRanges();
  auto isReduced = [&](unsigned loop) { return iterators[loop] == utils::IteratorType::reduction; };
  for (OpOperand* operand : op.getDpsInputOperands()) {
    AffineMap map = op.getMatchingIndexingMap(operand);
    // What doesn't change along a sum, a bias for one, says nothing about where the rows are.
    bool isSummed = false;
    for (unsigned loop = 0; loop < op.getNumLoops(); ++loop) {
      isSummed = isSummed || (isReduced(loop) && extents[loop] > 1 && map.isFunctionOfDim(loop));
    }
    if (!isSummed) continue;
    // The outermost loop of this input with more than one iteration.
    for (AffineExpr expr : map.getResults()) {
      auto dim = dyn_cast<AffineDimExpr>(expr);
      if (dim && extents[dim.getPosition()] == 1) continue;
      if (!dim || !isReduced(dim.getPosition())) return false;
      break;
    }
  }
  return true;
}

bool addsUp(linalg::GenericOp op, unsigned result) {
  BlockArgument sum = op.getRegionOutputArgs()[result];
  auto add = op.getBody()->getTerminator()->getOperand(result).getDefiningOp<arith::AddFOp>();
  return add && sum.hasOneUse() && llvm::is_contained(add->getOperands(), sum);
}

bool isColumnSum(linalg::GenericOp op) {
  if (!reducesOverRows(op) || isContraction(op) || op.getNumParallelLoops() == 0) return false;
  return llvm::all_of(op->getResults(), [&](OpResult result) {
    return addsUp(op, result.getResultNumber()) &&
           op.getIndexingMapMatchingResult(result).isProjectedPermutation() &&
           byteSize(result.getType()) <= kColumnSumBytes;
  });
}

bool isCastOnly(linalg::GenericOp op) {
  for (Operation& inner : op.getBody()->without_terminator()) {
    if (!isa<CastOpInterface>(inner)) return false;
  }
  return true;
}

bool roundsResult(linalg::GenericOp op) {
  Operation* yield = op.getBody()->getTerminator();
  return yield->getNumOperands() == 1 &&
         isa_and_present<arith::TruncFOp>(yield->getOperand(0).getDefiningOp());
}

int64_t bodyCost(linalg::GenericOp op) {
  int64_t cost = 0;
  op.getBody()->walk([&](Operation* inner) {
    if (inner->hasTrait<OpTrait::IsTerminator>() || isa<linalg::IndexOp>(inner) ||
        inner->hasTrait<OpTrait::ConstantLike>()) {
      return;
    }
    if (isa<arith::DivFOp, arith::DivSIOp, arith::RemSIOp, arith::RemFOp>(inner)) {
      cost += 4;
    } else if (isa<math::AbsFOp, math::FmaOp, math::CopySignOp>(inner)) {
      cost += 1;
    } else if (inner->getDialect()->getNamespace() == "arith") {
      cost += 1;
    } else {
      cost += 8;  // exponentials and their kin; random numbers cost more still
    }
  });
  return cost;
}

int64_t numPoints(linalg::GenericOp op) {
  int64_t points = 1;
  for (int64_t extent : op.getStaticLoopRanges()) points *= extent;
  return points;
}

int64_t byteSize(Type type) {
  auto tensor = dyn_cast<RankedTensorType>(type);
  Type element = tensor ? tensor.getElementType() : type;
  int64_t bits = 0;
  if (element.isIntOrFloat()) bits = std::max<int64_t>(8, element.getIntOrFloatBitWidth());
  if (isa<IndexType>(element)) bits = 64;
  if (auto complex = dyn_cast<ComplexType>(element)) {
    bits = 2 * complex.getElementType().getIntOrFloatBitWidth();
  }
  if (!tensor) return bits / 8;
  return tensor.hasStaticShape() ? tensor.getNumElements() * bits / 8 : 0;
}

}  // namespace weir
