#include "compiler/dialect/ring_ops.h"

#include "compiler/dialect/embedding_ops.h"
#include "compiler/dialect/norm_ops.h"
#include "compiler/dialect/op_support.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/TypeUtilities.h"

#define GET_OP_CLASSES
#include "compiler/dialect/ring_ops.cpp.inc"

namespace weir {
using namespace mlir;

void registerRingOps(WeirDialect& dialect) {
  dialect.registerOps<
#define GET_OP_LIST
#include "compiler/dialect/ring_ops.cpp.inc"
      >();
}

namespace {

/// tensor<batch x count x i32>: numbers of rows of batch x size rows, those of each row of the
/// batch at the places that `place` gives for the index along `count`.
Value rowNumbers(LinalgBuilder& l, int64_t batch, int64_t size, int64_t count, Value start,
                 llvm::function_ref<Value(ElementwiseBuilder, Value start, Value index)> place) {
  OpBuilder& b = l.builder();
  Type i64 = b.getI64Type();
  return l.elementwise(
      {batch, count}, b.getI32Type(), start, l.map(2, {}), [&](ElementwiseBuilder e, ValueRange v) {
        Value row = e.mulIntegers(e.index(0, i64), e.integer(size, i64));
        return e.narrowInteger(e.addIntegers(row, place(e, v[0], e.index(1, i64))), b.getI32Type());
      });
}

/// x (batch x size x features) at those rows.
Value gatherRows(LinalgBuilder& l, Value x, Value numbers) {
  ArrayRef<int64_t> shape = shapeOf(x);
  return GatherRowsOp::create(l.builder(), x.getLoc(),
                              l.reshape(x, {shape[0] * shape[1], shape[2]}), numbers);
}

/// The `count` rows of a ring from the place of token `start` on.
Value rowsFrom(LinalgBuilder& l, Value ring, Value start, int64_t count) {
  int64_t size = shapeOf(ring)[1];
  return gatherRows(l, ring,
                    rowNumbers(l, shapeOf(ring)[0], size, count, start,
                               [&](ElementwiseBuilder e, Value from, Value i) {
                                 Value length = e.integer(size, from.getType());
                                 return e.remIntegers(e.addIntegers(e.remIntegers(from, length), i),
                                                      length);
                               }));
}

/// How many rows after that of `start` the row `index` of a ring is.
Value rowsAfter(ElementwiseBuilder e, Value place, Value index, int64_t size) {
  Value after = e.subIntegers(index, place), length = e.integer(size, index.getType());
  return e.select(e.atLeast(index, place), after, e.addIntegers(after, length));
}

/// `written` where one of `count` tokens from `place` on is written, else `other` (or 0).
Value chooseWritten(LinalgBuilder& l, Value place, int64_t count, Value written, Value other) {
  Value like = written ? written : other;
  ArrayRef<int64_t> shape = shapeOf(like);
  Type element = getElementTypeOrSelf(like.getType());
  SmallVector<Value> inputs{place, like};
  SmallVector<AffineMap> maps{l.map(3, {}), l.identity(3)};
  if (written && other) {
    inputs.push_back(other);
    maps.push_back(l.identity(3));
  }
  return l.elementwise(shape, element, inputs, maps, [&](ElementwiseBuilder e, ValueRange v) {
    Type i64 = v[0].getType();
    Value after = rowsAfter(e, v[0], e.index(1, i64), shape[1]);
    Value isOther = e.atLeast(after, e.integer(count, i64));
    Value first = written ? v[1] : e.constant(0, element);
    return e.select(isOther, other ? v.back() : e.constant(0, element), first);
  });
}

}  // namespace

// write_ring

LogicalResult WriteRingOp::verify() {
  ArrayRef<int64_t> ring = shapeOf(getRing()), rows = shapeOf(getRows());
  if (getElementTypeOrSelf(getRing().getType()) != getElementTypeOrSelf(getRows().getType()) ||
      ring[0] != rows[0] || ring[2] != rows[2] || rows[1] > ring[1])
    return emitOpError() << "can't write " << getRows().getType() << " to " << getRing().getType();
  return success();
}

FailureOr<SmallVector<Value>> WriteRingOp::decomposeOperation(OpBuilder& b) {
  if (failed(requireDecomposable(*this))) return failure();
  LinalgBuilder l(b, getLoc());
  int64_t size = shapeOf(getRing())[1], count = shapeOf(getRows())[1];
  Value place = placeInRing(l, getRing(), getStart());
  Value numbers = rowNumbers(
      l, shapeOf(getRing())[0], count, size, place, [&](ElementwiseBuilder e, Value from, Value i) {
        return e.minIntegers(rowsAfter(e, from, i, size), e.integer(count - 1, i.getType()));
      });
  return SmallVector<Value>{
      chooseWritten(l, place, count, gatherRows(l, getRows(), numbers), getRing())};
}

LogicalResult WriteRingOp::buildVjp(OpBuilder& b, ValueRange cotangents,
                                    SmallVectorImpl<Value>& operandCotangents) {
  Value dy = cotangents[0], dRing, dRows;
  if (dy) {
    LinalgBuilder l(b, getLoc());
    int64_t count = shapeOf(getRows())[1];
    dRing = chooseWritten(l, placeInRing(l, dy, getStart()), count, Value(), dy);
    dRows = rowsFrom(l, dy, getStart(), count);
  }
  operandCotangents.append({dRing, dRows, Value()});
  return success();
}

// Step forms

RankedTensorType ringType(const StreamContext& context, Value tokens, int64_t size) {
  auto type = cast<RankedTensorType>(tokens.getType());
  Type element = type.getElementType();
  if (context.roundsProducts && element.isF32()) element = BFloat16Type::get(type.getContext());
  return RankedTensorType::get({context.batch, size, type.getDimSize(2)}, element);
}

Value inTypeOf(LinalgBuilder& l, Value ring, Value tokens) {
  Type element = getElementTypeOrSelf(ring.getType());
  auto type = cast<RankedTensorType>(tokens.getType());
  if (type.getElementType() == element) return tokens;
  return arith::TruncFOp::create(l.builder(), tokens.getLoc(), type.clone(element), tokens);
}

Value placeInRing(LinalgBuilder& l, Value ring, Value start) {
  int64_t size = shapeOf(ring)[1];
  return l.elementwise({start}, [&](ElementwiseBuilder e, ValueRange v) {
    return e.remIntegers(v[0], e.integer(size, v[0].getType()));
  });
}

Value writeRing(LinalgBuilder& l, Value ring, Value tokens, Value start) {
  int64_t size = shapeOf(ring)[1], skipped = shapeOf(tokens)[1] - size;
  if (skipped > 0) {
    tokens = l.sliceDim(tokens, 1, skipped, size);
    start = l.elementwise({start}, [&](ElementwiseBuilder e, ValueRange v) {
      return e.addIntegers(v[0], e.integer(skipped, v[0].getType()));
    });
  }
  return WriteRingOp::create(l.builder(), tokens.getLoc(), ring.getType(), ring, tokens, start);
}

Value withTokensBefore(LinalgBuilder& l, Value ring, Value tokens, Value start, int64_t count) {
  int64_t size = shapeOf(ring)[1];
  // A row is `size` rows before itself.
  Value from = l.elementwise({start}, [&](ElementwiseBuilder e, ValueRange v) {
    return e.addIntegers(v[0], e.integer(size - count, v[0].getType()));
  });
  Value all = l.concat(1, {rowsFrom(l, ring, from, count), inTypeOf(l, ring, tokens)});
  auto type = cast<RankedTensorType>(all.getType());
  Type element = getElementTypeOrSelf(tokens.getType());
  if (type.getElementType() == element) return all;
  return arith::ExtFOp::create(l.builder(), all.getLoc(), type.clone(element), all);
}

Value attendToRing(LinalgBuilder& l, const RingQuery& q) {
  OpBuilder& b = l.builder();
  int64_t batch = shapeOf(q.keys)[0], size = shapeOf(q.keys)[1], heads = q.heads;
  int64_t head = shapeOf(q.keys)[2] / heads, valueHead = shapeOf(q.values)[2] / heads;
  Type narrow = getElementTypeOrSelf(q.values.getType()), wide = accumulatorType(narrow);
  Type i64 = b.getI64Type();
  // Letters: batch 0, head 1, row 2, feature 3.
  Value query = l.reshape(inTypeOf(l, q.keys, q.query), {batch, heads, head});
  Value scores = l.contract(query, {0, 1, 3}, l.reshape(q.keys, {batch, size, heads, head}),
                            {0, 2, 1, 3}, {0, 1, 2}, 4);
  auto distance = [&](ElementwiseBuilder e, Value place, unsigned dim) {
    return rowsAfter(e, e.index(dim, i64), place, size);
  };
  SmallVector<Value> inputs{scores, q.place, q.farthest};
  SmallVector<AffineMap> maps{l.identity(3), l.map(3, {}), l.map(3, {})};
  if (q.farthestOfRow) {
    inputs.push_back(q.farthestOfRow);
    maps.push_back(l.map(3, {0}));
  }
  if (q.bias) {
    int64_t diagonals = shapeOf(q.bias)[0];
    Value numbers = l.elementwise(
        {size}, b.getI32Type(), q.place, l.map(1, {}), [&](ElementwiseBuilder e, ValueRange v) {
          Value own = e.integer((diagonals - 1) / 2, i64);
          return e.narrowInteger(e.addIntegers(own, distance(e, v[0], 0)), b.getI32Type());
        });
    Value ofRows =
        GatherRowsOp::create(b, q.bias.getLoc(), l.reshape(q.bias, {diagonals, 1}), numbers);
    inputs.push_back(l.reshape(ofRows, {size}));
    maps.push_back(l.map(3, {2}));
  }
  bool softmax = q.kernel == "softmax";
  Type weightType = softmax ? wide : narrow;
  Value weights = l.elementwise(
      {batch, heads, size}, weightType, inputs, maps, [&](ElementwiseBuilder e, ValueRange v) {
        Value x = e.mul(v[0], e.constant(q.scale, wide));
        if (q.bias) x = e.add(x, e.cast(v.back(), wide));
        if (!softmax) x = e.activation(q.kernel, x);
        // As in weir.attention.
        Value hidden = e.constant(softmax ? -1e30 : 0, wide), away = distance(e, v[1], 2);
        x = e.select(e.atLeast(v[2], away), x, hidden);
        if (q.farthestOfRow) x = e.select(e.atLeast(v[3], away), x, hidden);
        return e.cast(x, weightType);
      });
  if (softmax) {
    weights = SoftmaxOp::create(b, q.query.getLoc(), weights);
    weights = inTypeOf(l, q.values, weights);
  }
  Value out = l.contract(weights, {0, 1, 2}, l.reshape(q.values, {batch, size, heads, valueHead}),
                         {0, 2, 1, 3}, {0, 1, 3}, 4);
  return l.reshape(out, {batch, 1, heads * valueHead});
}

}  // namespace weir
