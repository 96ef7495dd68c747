// The step form of weir.chunked_attention.
//
// Chunks lie on the grid of the stream: where in a chunk a call begins (its phase) is known at run
// time only. Keys and values are in rings of C rows, so that a token's row is its place in its
// chunk. One token joins them, looks at the rows up to its own, reads `sum`, and joins `part`.
// Several tokens are gathered to G = ceil((C - 1 + n) / C) chunks on the grid, the first of which
// begins with the rows of earlier calls; then the op itself does the work, from `sum` and `part`.
//
// `sum` grows without end. What each addition loses (Knuth's TwoSum) goes to `part`, and so into
// the next sum.
//
// With segments, `position` says all about earlier tokens: how many of them are of the document
// that goes on, whether `sum` is of it, and of how many chunks. No ids are carried.

#include <limits>

#include "compiler/dialect/attention_ops.h"
#include "compiler/dialect/embedding_ops.h"
#include "compiler/dialect/linalg_builder.h"
#include "compiler/dialect/ring_ops.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/TypeUtilities.h"

namespace weir {
using namespace mlir;

namespace {

struct ChunkedStep {
  ChunkedStep(OpBuilder& b, ChunkedAttentionOp op, const StreamArguments& arguments)
      : b(b),
        l(b, op.getLoc()),
        op(op),
        batch(shapeOf(op.getV())[0]),
        time(shapeOf(op.getV())[1]),
        chunk(*op.getChunkSize()),
        head(shapeOf(op.getLinK())[2]),
        features(shapeOf(op.getV())[2]),
        element(getElementTypeOrSelf(op.getV().getType())),
        wide(accumulatorType(element)),
        i64(b.getI64Type()),
        start(arguments.start),
        position(arguments.segments ? arguments.position : Value()),
        segments(arguments.segments) {
    sum = arguments.states[0];
    part = arguments.states[1];
    keys = op.getQuadK();
    values = op.getV();
    if (chunk > 1) rings = arguments.states.drop_front(2);
    phase = l.elementwise({}, i64, start, l.identity(0), [&](ElementwiseBuilder e, ValueRange v) {
      return e.remIntegers(v[0], e.integer(chunk, i64));
    });
  }

  SmallVector<Value> run(SmallVectorImpl<Value>& newStates) {
    SmallVector<Value> newRings;
    for (auto [ring, tokens] : llvm::zip(rings, ValueRange{keys, values}))
      newRings.push_back(writeRing(l, ring, inTypeOf(l, ring, tokens), start));
    Value out = time == 1 ? oneToken(newRings, newStates) : manyTokens(newStates);
    newStates.append(newRings);
    if (!op.getGate()) return {out};
    return {l.elementwise(
        shapeOf(out), wide, {out, op.getGate()}, {l.identity(3), l.identity(3)},
        [&](ElementwiseBuilder e, ValueRange v) { return e.mul(v[0], e.cast(v[1], wide)); })};
  }

 private:
  /// Of how many earlier chunks `sum` is: batch x i64.
  Value countBefore() {
    SmallVector<Value> inputs{start};
    SmallVector<AffineMap> maps{l.map(1, {})};
    if (position) {
      inputs.push_back(position);
      maps.push_back(l.identity(1));
    }
    return l.elementwise({batch}, i64, inputs, maps, [&](ElementwiseBuilder e, ValueRange v) {
      Value size = e.integer(chunk, i64), count = e.divIntegers(v[0], size);
      if (!position) return count;
      Value begin = e.subIntegers(v[0], v[1]);
      return e.subIntegers(count, e.divIntegers(begin, size));
    });
  }

  /// `state` (batch x ...) for rows whose document goes on, else 0.
  Value ofDocument(Value state) {
    if (!position) return state;
    unsigned rank = shapeOf(state).size();
    return l.elementwise(shapeOf(state), wide, {state, position},
                         {l.identity(rank), l.map(rank, {0})},
                         [&](ElementwiseBuilder e, ValueRange v) {
                           return e.select(isPositive(e, v[1]), v[0], e.constant(0, wide));
                         });
  }

  Value isPositive(ElementwiseBuilder e, Value integer) {
    return e.atLeast(integer, e.integer(1, integer.getType()));
  }

  /// What x + y rounds away.
  Value lost(ElementwiseBuilder e, Value x, Value y) {
    Value total = e.add(x, y), ofY = e.sub(total, x);
    return e.add(e.sub(x, e.sub(total, ofY)), e.sub(y, ofY));
  }

  Value oneToken(ArrayRef<Value> newRings, SmallVectorImpl<Value>& newStates);
  Value manyTokens(SmallVectorImpl<Value>& newStates);
  Value quadraticOfOne(Value ringOfKeys, Value ringOfValues);
  Value linearOfOne();
  Value after(ChunkedAttentionOp grid, Value ids, Value from, int64_t f, bool isSum);

  /// batch x slots x features: the rows of `x` (batch x length x features) at `phase * sign +
  /// shift` and on, places outside of x being those at its ends.
  Value rowsFrom(Value x, int64_t slots, int64_t sign, int64_t shift) {
    int64_t length = shapeOf(x)[1], width = shapeOf(x)[2];
    Value table = l.reshape(x, {batch * length, width});
    return GatherRowsOp::create(b, op.getLoc(), table, indices(length, slots, sign, shift));
  }
  Value indices(int64_t length, int64_t slots, int64_t sign, int64_t shift) {
    return l.elementwise({batch, slots}, b.getI32Type(), phase, l.map(2, {}),
                         [&](ElementwiseBuilder e, ValueRange v) {
                           Value place = e.mulIntegers(v[0], e.integer(sign, i64));
                           place = e.addIntegers(place, e.integer(shift, i64));
                           place = e.addIntegers(place, e.index(1, i64));
                           place = e.maxIntegers(place, e.integer(0, i64));
                           place = e.minIntegers(place, e.integer(length - 1, i64));
                           Value row = e.mulIntegers(e.index(0, i64), e.integer(length, i64));
                           return e.narrowInteger(e.addIntegers(row, place), b.getI32Type());
                         });
  }
  /// Ids of the slots, batch x slots: what isn't of the documents of the new tokens has none.
  Value idsOfSlots(int64_t slots);

  OpBuilder& b;
  LinalgBuilder l;
  ChunkedAttentionOp op;
  int64_t batch, time, chunk, head, features;
  Type element, wide, i64;
  Value start, position, segments, phase, sum, part, keys, values;
  /// Of keys and values; none for chunks of one.
  ValueRange rings;
};

/// batch x e.
Value ChunkedStep::quadraticOfOne(Value ringOfKeys, Value ringOfValues) {
  RingQuery q;
  q.query = op.getQuadQ();
  q.keys = ringOfKeys;
  q.values = ringOfValues;
  q.place = q.farthest = phase;
  q.farthestOfRow = position;
  q.bias = op.getBias();
  q.kernel = op.getKernel();
  q.scale = 1.0 / static_cast<double>(chunk);
  return l.reshape(attendToRing(l, q), {batch, features});
}

/// batch x e.
Value ChunkedStep::linearOfOne() {
  Value query = l.reshape(op.getLinQ(), {batch, head});
  Value out = l.contract(query, {0, 1}, sum, {0, 1, 2}, {0, 2}, 3);
  return l.elementwise({batch, features}, wide, {out, countBefore()},
                       {l.identity(2), l.map(2, {0})}, [&](ElementwiseBuilder e, ValueRange v) {
                         Value x = e.mul(v[0], e.constant(1.0 / chunk, wide));
                         Value one = e.constant(1, wide);
                         x = e.div(x, e.maximum(e.toFloat(v[1], wide), one));
                         // Without an earlier chunk, `sum` may be of another document.
                         return e.select(isPositive(e, v[1]), x, e.constant(0, wide));
                       });
}

Value ChunkedStep::oneToken(ArrayRef<Value> newRings, SmallVectorImpl<Value>& newStates) {
  Value quadratic =
      newRings.empty() ? quadraticOfOne(keys, values) : quadraticOfOne(newRings[0], newRings[1]);
  Value linear = linearOfOne();
  Value out = l.elementwise({quadratic, linear},
                            [](ElementwiseBuilder e, ValueRange v) { return e.add(v[0], v[1]); });

  SmallVector<Value> inputs{sum, part, l.reshape(op.getLinK(), {batch, head}),
                            l.reshape(op.getV(), {batch, features}), phase};
  SmallVector<AffineMap> maps{l.identity(3), l.identity(3), l.map(3, {0, 1}), l.map(3, {0, 2}),
                              l.map(3, {})};
  if (position) {
    inputs.push_back(position);
    maps.push_back(l.map(3, {0}));
  }
  // One op for both states, so that each can be written where it is: either is made of both.
  SmallVector<Value> states(2, l.empty(shapeOf(sum), wide));
  maps.append(2, l.identity(3));
  SmallVector<utils::IteratorType> loops(3, utils::IteratorType::parallel);
  auto next = linalg::GenericOp::create(
      b, op.getLoc(), TypeRange(ValueRange(states)), inputs, states, maps, loops,
      [&](OpBuilder& b, Location loc, ValueRange v) {
        ElementwiseBuilder e(b, loc);
        Value zero = e.constant(0, wide), total = v[0], ofChunk = v[1];
        if (position) {
          Value goesOn = isPositive(e, v[5]);
          total = e.select(goesOn, total, zero);
          ofChunk = e.select(goesOn, ofChunk, zero);
        }
        ofChunk = e.add(ofChunk, e.mul(e.cast(v[2], wide), e.cast(v[3], wide)));
        Value isLast = e.equal(v[4], e.integer(chunk - 1, i64));
        linalg::YieldOp::create(b, loc,
                                ValueRange{e.select(isLast, e.add(total, ofChunk), total),
                                           e.select(isLast, lost(e, total, ofChunk), ofChunk)});
      });
  newStates.append(next->result_begin(), next->result_end());
  return l.reshape(out, {batch, 1, features});
}

Value ChunkedStep::idsOfSlots(int64_t slots) {
  Type i32 = b.getI32Type(), f64 = b.getF64Type();
  // Through f64, which holds every id: tables are of numbers.
  Value table =
      l.elementwise({batch, time}, f64, segments, l.identity(2),
                    [&](ElementwiseBuilder e, ValueRange v) { return e.toFloat(v[0], f64); });
  Value rows = rowsFrom(l.reshape(table, {batch, time, 1}), slots, -1, 0);
  return l.elementwise(
      {batch, slots}, i32, {l.reshape(rows, {batch, slots}), phase, position},
      {l.identity(2), l.map(2, {}), l.map(2, {0})}, [&](ElementwiseBuilder e, ValueRange v) {
        Value begin = e.subIntegers(v[1], v[2]);
        Value none = e.integer(std::numeric_limits<int32_t>::min(), i32);
        return e.select(e.atLeast(e.index(1, i64), begin), e.toInteger(v[0], i32), none);
      });
}

Value ChunkedStep::manyTokens(SmallVectorImpl<Value>& newStates) {
  int64_t chunks = llvm::divideCeil(chunk - 1 + time, chunk), slots = chunks * chunk;
  bool onGrid = chunk == 1;
  auto aligned = [&](Value x) { return onGrid ? x : rowsFrom(x, slots, -1, 0); };
  auto alignedWindow = [&](unsigned ring, Value x) {
    if (onGrid) return x;
    return rowsFrom(withTokensBefore(l, rings[ring], x, start, chunk - 1), slots, -1, chunk - 1);
  };

  Value ids, from = ofDocument(sum), partOfFirst = ofDocument(part);
  if (segments) {
    ids = onGrid ? segments : idsOfSlots(slots);
    // Only the first chunk's last document goes on.
    AffineMap row = l.map(3, {0});
    auto column = [&](Value x, int64_t place) {
      return l.reshape(l.sliceDim(x, 1, place, 1), {batch});
    };
    partOfFirst = l.elementwise(shapeOf(part), wide,
                                {partOfFirst, column(segments, 0), column(ids, chunk - 1)},
                                {l.identity(3), row, row}, [&](ElementwiseBuilder e, ValueRange v) {
                                  return e.select(e.equal(v[1], v[2]), v[0], e.constant(0, wide));
                                });
  }
  Value linK = op.getLinK();
  if (!onGrid) {
    linK = aligned(linK);
    linK = l.elementwise(shapeOf(linK), element, {linK, phase}, {l.identity(3), l.map(3, {})},
                         [&](ElementwiseBuilder e, ValueRange v) {
                           Value zero = e.constant(0, element), slot = e.index(1, i64);
                           Value end = e.addIntegers(v[1], e.integer(time - 1, i64));
                           Value x = e.select(e.atLeast(slot, v[1]), v[0], zero);
                           return e.select(e.atLeast(end, slot), x, zero);
                         });
  }
  UnitAttr causal = b.getUnitAttr();
  auto grid = ChunkedAttentionOp::create(
      b, op.getLoc(), aligned(op.getQuadQ()), alignedWindow(0, keys), aligned(op.getLinQ()), linK,
      alignedWindow(1, values), /*gate=*/Value(), op.getBias(), ValueRange(), ids, from,
      partOfFirst, countBefore(), op.getSizesAttr(), op.getChunkSizeAttr(), causal,
      op.getKernelAttr());

  // The call ends in chunk f = time / C, or in the next one if the phase is late enough.
  int64_t finished = time / chunk, rest = time % chunk;
  for (bool isSum : {true, false}) {
    Value state = after(grid, ids, from, finished, isSum);
    if (rest > 0) {
      state = l.elementwise(
          shapeOf(state), wide, {state, after(grid, ids, from, finished + 1, isSum), phase},
          {l.identity(3), l.identity(3), l.map(3, {})}, [&](ElementwiseBuilder e, ValueRange v) {
            return e.select(e.atLeast(v[2], e.integer(chunk - rest, i64)), v[1], v[0]);
          });
    }
    newStates.push_back(state);
  }
  return onGrid ? grid.getResult() : rowsFrom(grid.getResult(), time, 1, 0);
}

/// `sum` or `part` after the new tokens if they end in chunk f of the grid.
Value ChunkedStep::after(ChunkedAttentionOp grid, Value ids, Value from, int64_t f, bool isSum) {
  Value growth = grid.getCarried()[0], products = grid.getCarried()[1];
  ArrayRef<int64_t> shape = shapeOf(from);
  auto ofChunk = [&](Value x) { return l.reshape(l.sliceDim(x, 1, f, 1), shape); };
  auto column = [&](Value x, int64_t place) {
    return l.reshape(l.sliceDim(x, 1, place, 1), {batch});
  };
  SmallVector<Value> inputs{from, f == 0 ? from : ofChunk(growth)};
  SmallVector<AffineMap> maps(2, l.identity(3));
  if (segments) {
    // `sum` is of the last token's document, if that was there before the last chunk. What was
    // before the call is in it if the first token's document got that far.
    Value first = column(segments, 0);
    inputs.append({first, column(segments, time - 1), f == 0 ? first : column(ids, f * chunk - 1)});
    maps.append(3, l.map(3, {0}));
  }
  bool hasChunk = !isSum && f < shapeOf(products)[1];
  if (hasChunk) {
    inputs.push_back(ofChunk(products));
    maps.push_back(l.identity(3));
  }
  return l.elementwise(shape, wide, inputs, maps, [&](ElementwiseBuilder e, ValueRange v) {
    Value zero = e.constant(0, wide), before = v[0], result;
    if (segments) before = e.select(e.equal(v[2], v[4]), before, zero);
    if (isSum) {
      result = f == 0 ? before : e.add(before, v[1]);
    } else {
      result = f == 0 ? zero : lost(e, before, v[1]);
    }
    if (segments) result = e.select(e.equal(v[3], v[4]), result, zero);
    return hasChunk ? e.add(result, v.back()) : result;
  });
}

LogicalResult verifyStep(ChunkedAttentionOp op) {
  if (op.getCausal()) return success();
  return op.emitOpError() << "without `causal` looks ahead: it has no step form";
}

}  // namespace

LogicalResult ChunkedAttentionOp::stateSpecs(const StreamContext& context,
                                             SmallVectorImpl<StreamStateSpec>& specs) {
  if (failed(verifyStep(*this))) return failure();
  auto type = cast<RankedTensorType>(getV().getType());
  int64_t chunk = *getChunkSize(), features = type.getDimSize(2);
  auto sum = RankedTensorType::get({context.batch, shapeOf(getLinK())[2], features},
                                   accumulatorType(type.getElementType()));
  specs.push_back({"sum", sum, "zeros"});
  specs.push_back({"part", sum, "zeros"});
  if (chunk == 1) return success();
  specs.push_back({"keys", ringType(context, getQuadK(), chunk), "zeros"});
  specs.push_back({"values", ringType(context, getV(), chunk), "zeros"});
  return success();
}

FailureOr<SmallVector<Value>> ChunkedAttentionOp::buildStep(OpBuilder& b,
                                                            const StreamArguments& arguments,
                                                            SmallVectorImpl<Value>& newStates) {
  if (failed(verifyStep(*this))) return failure();
  return ChunkedStep(b, *this, arguments).run(newStates);
}

}  // namespace weir
