// Slices and their gradients.
//
// Everything is brought to one form: a tensor put together, along one dimension, of parts of which
// some are zeros (tensor.concat of parts and fills). Two such tensors are added part by part,
// wherever one of the two is zeros.

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

#include "compiler/transforms/op_kinds.h"
#include "compiler/transforms/simplify_views_pass.h"

namespace weir {

#define GEN_PASS_DEF_SIMPLIFYVIEWS
#include "compiler/transforms/simplify_views_pass.h.inc"

using namespace mlir;

namespace {

RankedTensorType typeOf(Value value) { return cast<RankedTensorType>(value.getType()); }

bool isZeros(Value value) {
  auto fill = value.getDefiningOp<linalg::FillOp>();
  return fill && matchPattern(fill.getInputs()[0], m_AnyZeroFloat());
}

RankedTensorType resized(RankedTensorType type, int64_t dim, int64_t size) {
  SmallVector<int64_t> shape(type.getShape());
  shape[dim] = size;
  return RankedTensorType::get(shape, type.getElementType());
}

Value filled(OpBuilder& b, Location loc, Value scalar, RankedTensorType type) {
  Value empty = tensor::EmptyOp::create(b, loc, type.getShape(), type.getElementType());
  return linalg::FillOp::create(b, loc, scalar, empty).getResult(0);
}

/// tensor.insert_slice of a part along one dimension into what is the same everywhere.
struct InsertToConcat : OpRewritePattern<tensor::InsertSliceOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(tensor::InsertSliceOp op,
                                PatternRewriter& rewriter) const override {
    auto fill = op.getDest().getDefiningOp<linalg::FillOp>();
    RankedTensorType whole = op.getDestType(), part = op.getSourceType();
    if (!fill || !whole.hasStaticShape() || part.getRank() != whole.getRank()) return failure();
    int64_t dim = -1;
    for (int64_t d = 0; d < whole.getRank(); ++d) {
      if (op.getStaticStrides()[d] != 1 || ShapedType::isDynamic(op.getStaticOffsets()[d]))
        return failure();
      if (part.getDimSize(d) == whole.getDimSize(d)) continue;
      if (dim >= 0) return failure();
      dim = d;
    }
    if (dim < 0) {
      rewriter.replaceOp(op, op.getSource());
      return success();
    }
    int64_t before = op.getStaticOffsets()[dim];
    int64_t after = whole.getDimSize(dim) - before - part.getDimSize(dim);
    SmallVector<Value> parts;
    auto addGap = [&](int64_t size) {
      if (size == 0) return;
      parts.push_back(
          filled(rewriter, op.getLoc(), fill.getInputs()[0], resized(whole, dim, size)));
    };
    addGap(before);
    parts.push_back(op.getSource());
    addGap(after);
    rewriter.replaceOpWithNewOp<tensor::ConcatOp>(op, whole, dim, parts);
    return success();
  }
};

/// A concatenation of concatenations along the same dimension.
struct FlattenConcat : OpRewritePattern<tensor::ConcatOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(tensor::ConcatOp op, PatternRewriter& rewriter) const override {
    SmallVector<Value> parts;
    for (Value part : op.getInputs()) {
      auto inner = part.getDefiningOp<tensor::ConcatOp>();
      if (inner && inner.getDim() == op.getDim() && inner->hasOneUse()) {
        parts.append(inner.getInputs().begin(), inner.getInputs().end());
      } else {
        parts.push_back(part);
      }
    }
    if (parts.size() == op.getInputs().size()) return failure();
    rewriter.replaceOpWithNewOp<tensor::ConcatOp>(op, op.getResultType(), op.getDim(), parts);
    return success();
  }
};

/// A slice of a concatenation that is one of its parts.
struct SliceOfConcat : OpRewritePattern<tensor::ExtractSliceOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(tensor::ExtractSliceOp op,
                                PatternRewriter& rewriter) const override {
    auto concat = op.getSource().getDefiningOp<tensor::ConcatOp>();
    if (!concat || op.getType().getRank() != concat.getResultType().getRank()) return failure();
    int64_t dim = concat.getDim(), offset = 0;
    for (int64_t d = 0; d < op.getType().getRank(); ++d) {
      if (op.getStaticStrides()[d] != 1) return failure();
      if (d != dim && op.getType().getDimSize(d) != concat.getResultType().getDimSize(d))
        return failure();
    }
    for (Value part : concat.getInputs()) {
      if (offset == op.getStaticOffsets()[dim] && part.getType() == op.getType()) {
        rewriter.replaceOp(op, part);
        return success();
      }
      offset += typeOf(part).getDimSize(dim);
    }
    return failure();
  }
};

/// The body is one addition of the two inputs, all maps are the same.
bool isAddition(linalg::GenericOp op) {
  if (!isElementwise(op) || op.getNumDpsInputs() != 2 || op.getNumResults() != 1) return false;
  if (!llvm::all_of(op.getIndexingMapsArray(), [](AffineMap map) { return map.isIdentity(); }))
    return false;
  Block* body = op.getBody();
  auto add = body->getTerminator()->getOperand(0).getDefiningOp<arith::AddFOp>();
  if (!add || add->getBlock() != body) return false;
  Value x = body->getArgument(0), y = body->getArgument(1);
  return (add.getLhs() == x && add.getRhs() == y) || (add.getLhs() == y && add.getRhs() == x);
}

/// A sum of two concatenations of which at each place at most one is more than zeros.
struct AddConcats : OpRewritePattern<linalg::GenericOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(linalg::GenericOp op, PatternRewriter& rewriter) const override {
    if (!isAddition(op)) return failure();
    auto a = op.getInputs()[0].getDefiningOp<tensor::ConcatOp>();
    auto b = op.getInputs()[1].getDefiningOp<tensor::ConcatOp>();
    if (!a || !b || a.getDim() != b.getDim()) return failure();
    int64_t dim = a.getDim();

    // Both from left to right; zeros can be cut anywhere, parts nowhere.
    struct Cursor {
      tensor::ConcatOp concat;
      int64_t dim;
      unsigned part = 0;
      int64_t used = 0;
      bool done() const { return part == concat->getNumOperands(); }
      Value value() const { return concat->getOperand(part); }
      int64_t left() const { return typeOf(value()).getDimSize(dim) - used; }
      void advance(int64_t size) {
        used += size;
        if (left() == 0) {
          ++part;
          used = 0;
        }
      }
    };
    struct Piece {
      Value value;  // null: zeros
      int64_t size;
    };
    Cursor x{a, dim}, y{b, dim};
    SmallVector<Piece> pieces;
    while (!x.done() && !y.done()) {
      bool xZero = isZeros(x.value()), yZero = isZeros(y.value());
      if (!xZero && !yZero) return failure();
      if (xZero && yZero) {
        int64_t size = std::min(x.left(), y.left());
        pieces.push_back({Value(), size});
        x.advance(size);
        y.advance(size);
        continue;
      }
      Cursor& part = xZero ? y : x;
      Cursor& zeros = xZero ? x : y;
      if (part.used != 0 || zeros.left() < part.left()) return failure();
      int64_t size = part.left();
      pieces.push_back({part.value(), size});
      part.advance(size);
      zeros.advance(size);
    }

    RankedTensorType type = typeOf(op.getResult(0));
    SmallVector<Value> parts;
    Value zero;
    for (const Piece& piece : pieces) {
      if (piece.value) {
        parts.push_back(piece.value);
        continue;
      }
      if (!zero) {
        zero = arith::ConstantOp::create(rewriter, op.getLoc(),
                                         rewriter.getZeroAttr(type.getElementType()));
      }
      parts.push_back(filled(rewriter, op.getLoc(), zero, resized(type, dim, piece.size)));
    }
    rewriter.replaceOpWithNewOp<tensor::ConcatOp>(op, type, dim, parts);
    return success();
  }
};

/// Whether two slices of one tensor have no element in common.
bool areDisjoint(tensor::ExtractSliceOp a, tensor::ExtractSliceOp b) {
  for (int64_t d = 0; d < a.getSourceType().getRank(); ++d) {
    auto last = [d](tensor::ExtractSliceOp slice) {
      return slice.getStaticOffsets()[d] +
             (slice.getStaticSizes()[d] - 1) * slice.getStaticStrides()[d];
    };
    if (last(a) < b.getStaticOffsets()[d] || last(b) < a.getStaticOffsets()[d]) return true;
  }
  return false;
}

/// Slices with static places that read no element twice, and nothing else, are all that uses
/// `value`.
bool isCutIntoParts(Value value) {
  SmallVector<tensor::ExtractSliceOp> slices;
  for (Operation* user : value.getUsers()) {
    auto slice = dyn_cast<tensor::ExtractSliceOp>(user);
    if (!slice || llvm::any_of(slice.getStaticOffsets(), ShapedType::isDynamic) ||
        llvm::any_of(slice.getStaticSizes(), ShapedType::isDynamic) ||
        llvm::any_of(slice.getStaticStrides(), ShapedType::isDynamic))
      return false;
    for (tensor::ExtractSliceOp other : slices)
      if (!areDisjoint(slice, other)) return false;
    slices.push_back(slice);
  }
  return true;
}

/// A slice of an elementwise result of which nothing is read twice.
struct SliceBeforeComputing : OpRewritePattern<tensor::ExtractSliceOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(tensor::ExtractSliceOp op,
                                PatternRewriter& rewriter) const override {
    auto producer = op.getSource().getDefiningOp<linalg::GenericOp>();
    RankedTensorType type = op.getType();
    if (!producer || producer.getNumResults() != 1 || !isElementwise(producer) ||
        type.getRank() != op.getSourceType().getRank() || !isCutIntoParts(op.getSource())) {
      return failure();
    }
    if (!producer.getBody()->getOps<linalg::IndexOp>().empty()) return failure();
    AffineMap written = producer.getMatchingIndexingMap(producer.getDpsInitOperand(0));
    if (!written.isPermutation() ||
        producer.payloadUsesValueFromOperand(producer.getDpsInitOperand(0))) {
      return failure();
    }
    for (OpOperand* input : producer.getDpsInputOperands()) {
      if (!producer.getMatchingIndexingMap(input).isProjectedPermutation() ||
          !isa<RankedTensorType>(input->get().getType())) {
        return failure();
      }
    }
    // Offset, size and stride of each loop.
    SmallVector<int64_t> offsets(type.getRank()), sizes(type.getRank()), strides(type.getRank());
    for (auto [d, expr] : llvm::enumerate(written.getResults())) {
      unsigned loop = cast<AffineDimExpr>(expr).getPosition();
      offsets[loop] = op.getStaticOffsets()[d];
      sizes[loop] = op.getStaticSizes()[d];
      strides[loop] = op.getStaticStrides()[d];
    }
    SmallVector<Value> inputs;
    for (OpOperand* input : producer.getDpsInputOperands()) {
      SmallVector<OpFoldResult> o, s, t;
      for (AffineExpr expr : producer.getMatchingIndexingMap(input).getResults()) {
        unsigned loop = cast<AffineDimExpr>(expr).getPosition();
        o.push_back(rewriter.getIndexAttr(offsets[loop]));
        s.push_back(rewriter.getIndexAttr(sizes[loop]));
        t.push_back(rewriter.getIndexAttr(strides[loop]));
      }
      inputs.push_back(
          o.empty() ? input->get()
                    : tensor::ExtractSliceOp::create(rewriter, op.getLoc(), input->get(), o, s, t));
    }
    Value empty =
        tensor::EmptyOp::create(rewriter, op.getLoc(), type.getShape(), type.getElementType());
    auto sliced = linalg::GenericOp::create(rewriter, producer.getLoc(), type, inputs, empty,
                                            producer.getIndexingMapsArray(),
                                            producer.getIteratorTypesArray());
    rewriter.cloneRegionBefore(producer.getRegion(), sliced.getRegion(),
                               sliced.getRegion().begin());
    rewriter.replaceOp(op, sliced.getResults());
    return success();
  }
};

/// Elementwise work on a concatenation that nothing else reads is done on its parts, by what makes
/// them: the parts meet in their final form.
struct ComputeBeforeConcat : OpRewritePattern<linalg::GenericOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(linalg::GenericOp op, PatternRewriter& rewriter) const override {
    if (!isElementwise(op) || op.getNumResults() != 1 || !op.getRegion().hasOneBlock() ||
        !op.getBody()->getOps<linalg::IndexOp>().empty())
      return failure();
    OpOperand* init = op.getDpsInitOperand(0);
    RankedTensorType type = typeOf(op.getResult(0));
    if (!op.getMatchingIndexingMap(init).isIdentity() || op.payloadUsesValueFromOperand(init) ||
        !type.hasStaticShape())
      return failure();
    tensor::ConcatOp concat;
    for (OpOperand* input : op.getDpsInputOperands()) {
      auto tensor = dyn_cast<RankedTensorType>(input->get().getType());
      if (!tensor || !op.getMatchingIndexingMap(input).isProjectedPermutation()) return failure();
      auto candidate = input->get().getDefiningOp<tensor::ConcatOp>();
      if (!candidate || concat || !op.getMatchingIndexingMap(input).isIdentity()) continue;
      if (candidate->hasOneUse() && llvm::none_of(candidate.getInputs(), isZeros))
        concat = candidate;
    }
    if (!concat) return failure();
    int64_t dim = concat.getDim(), offset = 0;
    SmallVector<Value> parts;
    for (Value part : concat.getInputs()) {
      int64_t size = typeOf(part).getDimSize(dim);
      SmallVector<Value> inputs;
      for (OpOperand* input : op.getDpsInputOperands()) {
        if (input->get() == concat.getResult()) {
          inputs.push_back(part);
          continue;
        }
        RankedTensorType whole = typeOf(input->get());
        SmallVector<OpFoldResult> offsets(whole.getRank(), rewriter.getIndexAttr(0)), sizes,
            strides(whole.getRank(), rewriter.getIndexAttr(1));
        bool cut = false;
        for (auto [d, expr] : llvm::enumerate(op.getMatchingIndexingMap(input).getResults())) {
          bool here = cast<AffineDimExpr>(expr).getPosition() == dim;
          if (here) offsets[d] = rewriter.getIndexAttr(offset);
          sizes.push_back(rewriter.getIndexAttr(here ? size : whole.getDimSize(d)));
          cut |= here;
        }
        inputs.push_back(cut ? tensor::ExtractSliceOp::create(rewriter, op.getLoc(), input->get(),
                                                              offsets, sizes, strides)
                                   .getResult()
                             : input->get());
      }
      RankedTensorType partType = resized(type, dim, size);
      Value empty = tensor::EmptyOp::create(rewriter, op.getLoc(), partType.getShape(),
                                            partType.getElementType());
      auto computed =
          linalg::GenericOp::create(rewriter, op.getLoc(), partType, inputs, empty,
                                    op.getIndexingMapsArray(), op.getIteratorTypesArray());
      rewriter.cloneRegionBefore(op.getRegion(), computed.getRegion(),
                                 computed.getRegion().begin());
      parts.push_back(computed.getResult(0));
      offset += size;
    }
    rewriter.replaceOpWithNewOp<tensor::ConcatOp>(op, type, dim, parts);
    return success();
  }
};

struct SimplifyViews : impl::SimplifyViewsBase<SimplifyViews> {
  using SimplifyViewsBase::SimplifyViewsBase;

  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    patterns.add<InsertToConcat, FlattenConcat, SliceOfConcat, AddConcats, SliceBeforeComputing,
                 ComputeBeforeConcat>(&getContext());
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns)))) signalPassFailure();
  }
};

}  // namespace
}  // namespace weir
