// What weir.chunked_attention means, in products over chunks and a scan over them.
//
// Time is padded with zeros to G chunks of C. The state that enters chunk g is the sum of K^T V / C
// over earlier chunks, kept by weir.scan along g; it is never recovered by subtraction. With
// segments, which are contiguous, only the segment of a chunk's last token can go on in the next
// chunk: the scan carries that one, and starts anew where it ends.

#include "compiler/dialect/attention_ops.h"
#include "compiler/dialect/linalg_builder.h"
#include "compiler/dialect/op_support.h"
#include "compiler/dialect/scan_ops.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/TypeUtilities.h"

namespace weir {
using namespace mlir;

namespace {

struct Chunks {
  Chunks(OpBuilder& b, ChunkedAttentionOp op)
      : b(b),
        l(b, op.getLoc()),
        op(op),
        batch(shapeOf(op.getV())[0]),
        time(shapeOf(op.getV())[1]),
        chunk(*op.getChunkSize()),
        chunks(llvm::divideCeil(time, chunk)),
        narrow(getElementTypeOrSelf(op.getV().getType())),
        wide(accumulatorType(narrow)) {
    if (op.getSegments()) segments = cutSegments();
  }

  /// batch x time x f as batch x chunks x C x f.
  Value cut(Value x) {
    Value padded = l.padEnd(x, 1, chunks * chunk - time);
    return l.reshape(padded, {batch, chunks, chunk, shapeOf(x)[2]});
  }

  /// Ids as batch x chunks x C; what is padded has an id of its own.
  Value cutSegments() {
    Value ids = op.getSegments();
    if (int64_t missing = chunks * chunk - time) {
      Value padding = l.elementwise(
          {batch, missing}, b.getI32Type(), {}, {}, [&](ElementwiseBuilder e, ValueRange) {
            return e.integer(std::numeric_limits<int32_t>::min(), b.getI32Type());
          });
      ids = l.concat(1, {ids, padding});
    }
    return l.reshape(ids, {batch, chunks, chunk});
  }

  Value number(ElementwiseBuilder e, Value condition) {
    return e.select(condition, e.constant(1, wide), e.constant(0, wide));
  }

  /// Element `position` of each chunk's ids: batch x chunks.
  Value idAt(int64_t position) {
    return l.reshape(l.sliceDim(segments, 2, position, 1), {batch, chunks});
  }

  /// x (over batch, chunks, ...) moved to the next chunk; zeros enter the first.
  Value shifted(Value x, Value first) {
    if (chunks == 1) return first;
    return l.concat(1, {first, l.sliceDim(x, 1, 0, chunks - 1)});
  }

  Value zeroChunk(ArrayRef<int64_t> shape) {
    SmallVector<int64_t> one(shape);
    one[1] = 1;
    return l.filled(0, one, wide);
  }

  /// A running sum over chunks; `keep` (batch x chunks, or null for ones) is the decay.
  Value accumulate(Value x, Value keep) {
    ArrayRef<int64_t> shape = shapeOf(x);
    unsigned rank = shape.size();
    if (!keep) keep = l.filled(1, {batch, chunks}, wide);
    Value decay = l.elementwise(shape, wide, keep, l.map(rank, {0, 1}),
                                [](ElementwiseBuilder, ValueRange v) { return v[0]; });
    SmallVector<int64_t> state(shape);
    state.erase(state.begin() + 1);
    auto scan =
        ScanOp::create(b, op.getLoc(), TypeRange{x.getType(), RankedTensorType::get(state, wide)},
                       ValueRange{decay, x}, Value(), Value(), ArrayAttr(), ArrayAttr(), UnitAttr(),
                       IntegerAttr());
    return scan.getResults()[0];
  }

  Value quadratic();
  Value linear();
  Value causalStates(Value products, Value& counts);

  OpBuilder& b;
  LinalgBuilder l;
  ChunkedAttentionOp op;
  int64_t batch, time, chunk, chunks;
  Type narrow, wide;
  Value segments;
};

/// batch x chunks x C x e.
Value Chunks::quadratic() {
  // Letters: batch 0, chunk 1, i 2, j 3, feature 4.
  Value scores = l.contract(cut(op.getQuadQ()), {0, 1, 2, 4}, cut(op.getQuadK()), {0, 1, 3, 4},
                            {0, 1, 2, 3}, 5);
  SmallVector<Value> inputs{scores};
  SmallVector<AffineMap> maps{l.identity(4)};
  if (op.getBias()) {
    auto type = RankedTensorType::get({chunk, chunk}, getElementTypeOrSelf(op.getBias().getType()));
    inputs.push_back(ToeplitzOp::create(b, op.getLoc(), type, op.getBias()));
    maps.push_back(l.map(4, {2, 3}));
  }
  if (segments) {
    inputs.append({segments, segments});
    maps.append({l.map(4, {0, 1, 2}), l.map(4, {0, 1, 3})});
  }
  Value weights = l.elementwise(
      {batch, chunks, chunk, chunk}, narrow, inputs, maps, [&](ElementwiseBuilder e, ValueRange v) {
        Value x = e.mul(v[0], e.constant(1.0 / chunk, wide));
        if (op.getBias()) x = e.add(x, e.cast(v[1], wide));
        x = e.activation(op.getKernel(), x);
        Value zero = e.constant(0, wide);
        Type i64 = b.getI64Type();
        if (op.getCausal()) x = e.select(e.atLeast(e.index(2, i64), e.index(3, i64)), x, zero);
        if (segments) x = e.select(e.equal(v[v.size() - 2], v[v.size() - 1]), x, zero);
        return e.cast(x, narrow);
      });
  return l.contract(weights, {0, 1, 2, 3}, cut(op.getV()), {0, 1, 3, 4}, {0, 1, 2, 4}, 5);
}

/// The sums of earlier chunks' products that enter each chunk, and how many chunks they are of
/// (batch x chunks, or null: the number of the chunk).
Value Chunks::causalStates(Value products, Value& counts) {
  Value keep;
  if (segments) {
    // A chunk passes on what it got if it is of one segment, the one that came in.
    Value first = idAt(0), last = idAt(chunk - 1);
    Value before =
        chunks == 1 ? first
                    : l.concat(1, {l.sliceDim(first, 1, 0, 1), l.sliceDim(last, 1, 0, chunks - 1)});
    keep = l.elementwise({batch, chunks}, wide, {first, last, before},
                         SmallVector<AffineMap>(3, l.identity(2)),
                         [&](ElementwiseBuilder e, ValueRange v) {
                           return number(e, e.logicalAnd(e.equal(v[0], v[1]), e.equal(v[0], v[2])));
                         });
    Value ones = l.filled(1, {batch, chunks}, wide);
    counts = shifted(accumulate(ones, keep), l.filled(0, {batch, 1}, wide));
  }
  return shifted(accumulate(products, keep), zeroChunk(shapeOf(products)));
}

/// batch x chunks x C x e.
Value Chunks::linear() {
  // Letters: batch 0, chunk 1, token 2, key feature 3, value feature 4.
  Value keys = cut(op.getLinK()), queries = cut(op.getLinQ());
  if (segments) {
    // Only keys of the chunk's last segment go on.
    keys = l.elementwise(shapeOf(keys), narrow, {keys, segments, idAt(chunk - 1)},
                         {l.identity(4), l.map(4, {0, 1, 2}), l.map(4, {0, 1})},
                         [&](ElementwiseBuilder e, ValueRange v) {
                           return e.select(e.equal(v[1], v[2]), v[0], e.constant(0, narrow));
                         });
  }
  Value products = l.contract(keys, {0, 1, 2, 3}, cut(op.getV()), {0, 1, 2, 4}, {0, 1, 3, 4}, 5);
  ArrayRef<int64_t> shape = shapeOf(products);
  Value states, counts;
  double scale = 1.0 / chunk;
  if (op.getCausal()) {
    states = causalStates(products, counts);
  } else {
    Value sum = l.sum(shape, {1}, wide, products, l.identity(4),
                      [](ElementwiseBuilder, ValueRange v) { return v[0]; });
    states = l.elementwise(shape, wide, sum, l.map(4, {0, 2, 3}),
                           [](ElementwiseBuilder, ValueRange v) { return v[0]; });
    scale /= chunks;
  }
  // The mean over chunks, in the operands' type.
  SmallVector<Value> inputs{states};
  SmallVector<AffineMap> maps{l.identity(4)};
  if (counts) {
    inputs.push_back(counts);
    maps.push_back(l.map(4, {0, 1}));
  }
  Value means = l.elementwise(shape, narrow, inputs, maps, [&](ElementwiseBuilder e, ValueRange v) {
    Value x = e.mul(v[0], e.constant(scale, wide));
    if (op.getCausal()) {
      Value count = counts ? v[1] : e.toFloat(e.index(1, b.getI64Type()), wide);
      x = e.div(x, e.maximum(count, e.constant(1, wide)));
    }
    return e.cast(x, narrow);
  });
  Value out = l.contract(queries, {0, 1, 2, 3}, means, {0, 1, 3, 4}, {0, 1, 2, 4}, 5);
  if (!segments) return out;
  // A token reads the state only if it goes on with the segment that the chunk before ended with.
  Value last = idAt(chunk - 1);
  Value none =
      l.elementwise({batch, 1}, b.getI32Type(), {}, {}, [&](ElementwiseBuilder e, ValueRange) {
        return e.integer(std::numeric_limits<int32_t>::min(), b.getI32Type());
      });
  Value before = chunks == 1 ? none : l.concat(1, {none, l.sliceDim(last, 1, 0, chunks - 1)});
  return l.elementwise(shapeOf(out), wide, {out, segments, before},
                       {l.identity(4), l.map(4, {0, 1, 2}), l.map(4, {0, 1})},
                       [&](ElementwiseBuilder e, ValueRange v) {
                         return e.select(e.equal(v[1], v[2]), v[0], e.constant(0, wide));
                       });
}

}  // namespace

FailureOr<SmallVector<Value>> ChunkedAttentionOp::decomposeOperation(OpBuilder& b) {
  if (failed(requireDecomposable(*this, isBound()))) return failure();
  Chunks c(b, *this);
  Value quadratic = c.quadratic(), linear = c.linear();
  int64_t features = shapeOf(getV())[2];
  auto rows = [&](Value x) {
    Value flat = c.l.reshape(x, {c.batch, c.chunks * c.chunk, features});
    return c.l.sliceDim(flat, 1, 0, c.time);
  };
  SmallVector<Value> inputs{rows(quadratic), rows(linear)};
  if (getGate()) inputs.push_back(getGate());
  SmallVector<AffineMap> maps(inputs.size(), c.l.identity(3));
  return SmallVector<Value>{c.l.elementwise(
      {c.batch, c.time, features}, c.wide, inputs, maps, [&](ElementwiseBuilder e, ValueRange v) {
        Value sum = e.add(v[0], v[1]);
        return getGate() ? e.mul(sum, e.cast(v[2], c.wide)) : sum;
      })};
}

}  // namespace weir
