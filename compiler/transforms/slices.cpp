#include "compiler/transforms/slices.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/IR/Matchers.h"
#include "llvm/ADT/STLExtras.h"

namespace weir {
namespace {

using namespace mlir;

struct Chain {
  SmallVector<tensor::InsertSliceOp> pieces;  // last insertion first
};

bool isStatic(tensor::InsertSliceOp op) {
  return op.hasUnitStride() && llvm::none_of(op.getStaticOffsets(), ShapedType::isDynamic) &&
         llvm::none_of(op.getStaticSizes(), ShapedType::isDynamic) &&
         op.getDestType().hasStaticShape();
}

/// The insertions into zeros that make up `value`; empty if it isn't made that
/// way.
Chain findChain(Value value) {
  Chain chain;
  while (auto insert = value.getDefiningOp<tensor::InsertSliceOp>()) {
    if (!isStatic(insert)) return {};
    chain.pieces.push_back(insert);
    value = insert.getDest();
  }
  auto fill = value.getDefiningOp<linalg::FillOp>();
  if (!fill || !matchPattern(fill.getInputs()[0], m_AnyZeroFloat())) return {};
  return chain;
}

bool areDisjoint(tensor::InsertSliceOp a, tensor::InsertSliceOp b) {
  for (auto [offsetA, sizeA, offsetB, sizeB] : llvm::zip_equal(
           a.getStaticOffsets(), a.getStaticSizes(), b.getStaticOffsets(), b.getStaticSizes()))
    if (offsetA + sizeA <= offsetB || offsetB + sizeB <= offsetA) return true;
  return false;
}

}  // namespace

Value joinDisjointSlices(OpBuilder& builder, Location loc, Value a, Value b) {
  Chain chainA = findChain(a), chainB = findChain(b);
  if (chainA.pieces.empty() || chainB.pieces.empty()) return {};
  for (tensor::InsertSliceOp pieceA : chainA.pieces)
    for (tensor::InsertSliceOp pieceB : chainB.pieces)
      if (!areDisjoint(pieceA, pieceB)) return {};
  Value result = a;
  for (tensor::InsertSliceOp piece : llvm::reverse(chainB.pieces))
    result = tensor::InsertSliceOp::create(builder, loc, piece.getSource(), result,
                                           piece.getMixedOffsets(), piece.getMixedSizes(),
                                           piece.getMixedStrides());
  return result;
}

void formConcats(OpBuilder& builder, Block& block) {
  for (auto last : llvm::to_vector(block.getOps<tensor::InsertSliceOp>())) {
    bool isLast = llvm::none_of(last->getUsers(), [&](Operation* user) {
      auto insert = dyn_cast<tensor::InsertSliceOp>(user);
      return insert && insert.getDest() == last.getResult();
    });
    if (!isLast || last->use_empty()) continue;
    Chain chain = findChain(last.getResult());
    RankedTensorType type = last.getType();
    auto pieces = chain.pieces;
    if (pieces.size() < 2 || llvm::any_of(pieces, [&](tensor::InsertSliceOp piece) {
          return piece.getSourceType().getRank() != type.getRank();
        }))
      continue;
    for (int64_t dim = 0; dim < type.getRank(); ++dim) {
      auto fullElsewhere = [&](tensor::InsertSliceOp piece) {
        for (int64_t d = 0; d < type.getRank(); ++d)
          if (d != dim && piece.getStaticSizes()[d] != type.getDimSize(d)) return false;
        return true;
      };
      if (!llvm::all_of(pieces, fullElsewhere)) continue;
      llvm::sort(pieces, [&](tensor::InsertSliceOp a, tensor::InsertSliceOp b) {
        return a.getStaticOffsets()[dim] < b.getStaticOffsets()[dim];
      });
      int64_t end = 0;
      SmallVector<Value> sources;
      for (tensor::InsertSliceOp piece : pieces) {
        if (piece.getStaticOffsets()[dim] != end) break;
        end += piece.getStaticSizes()[dim];
        sources.push_back(piece.getSource());
      }
      if (sources.size() != pieces.size() || end != type.getDimSize(dim)) continue;
      builder.setInsertionPoint(last);
      Value whole = tensor::ConcatOp::create(builder, last.getLoc(), dim, sources);
      last.getResult().replaceAllUsesWith(whole);
      break;
    }
  }
}

}  // namespace weir
