// What weir.chunked_attention means, in products over chunks and a scan over them.
//
// Time is padded with zeros to G chunks of C. The state that enters chunk g is the sum of K^T V
// over earlier chunks, kept by weir.scan along g; it is never recovered by subtraction. With
// segments, which are contiguous, only the segment of a chunk's last token can go on in the next
// chunk: the scan carries that one, and starts anew where it ends. Without `causal`, another scan
// carries the segment of each chunk's first token to the chunks before, and a segment's own tokens
// in the chunk are reached by a product over pairs, as there may be many segments in a chunk.

#include "compiler/dialect/attention_ops.h"
#include "compiler/dialect/linalg_builder.h"
#include "compiler/dialect/op_support.h"
#include "compiler/dialect/scan_ops.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/TypeUtilities.h"

namespace weir {
using namespace mlir;

namespace {

/// What the two ops of this kind have: values that an op lacks are null.
struct Operands {
  Value quadQ, quadK, linQ, linK, v, bias, segments, sum, part, count;
  bool causal = true;
  StringRef kernel;
};

struct Chunks {
  Chunks(OpBuilder& b, Location loc, const Operands& op, int64_t chunk)
      : b(b),
        l(b, loc),
        loc(loc),
        op(op),
        batch(shapeOf(op.v)[0]),
        time(shapeOf(op.v)[1]),
        chunk(chunk),
        chunks(llvm::divideCeil(time, chunk)),
        narrow(getElementTypeOrSelf(op.v.getType())),
        wide(accumulatorType(narrow)) {
    if (op.segments) segments = cutSegments();
  }

  /// batch x time x f as batch x chunks x C x f.
  Value cut(Value x) {
    Value padded = l.padEnd(x, 1, chunks * chunk - time);
    return l.reshape(padded, {batch, chunks, chunk, shapeOf(x)[2]});
  }

  /// Ids as batch x chunks x C; what is padded has an id of its own.
  Value cutSegments() {
    Value ids = op.segments;
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

  /// x (over batch, chunks, ...) moved to the next chunk, or the one before; `edge` enters.
  Value shifted(Value x, Value edge, bool backwards = false) {
    if (chunks == 1) return edge;
    Value rest = l.sliceDim(x, 1, backwards ? 1 : 0, chunks - 1);
    return backwards ? l.concat(1, {rest, edge}) : l.concat(1, {edge, rest});
  }

  Value zeroChunk(Value like) {
    SmallVector<int64_t> one(shapeOf(like));
    one[1] = 1;
    return l.filled(0, one, wide);
  }

  /// A running sum over chunks; `keep` (batch x chunks, or null for ones) is the decay.
  Value accumulate(Value x, Value keep, bool backwards = false) {
    ArrayRef<int64_t> shape = shapeOf(x);
    unsigned rank = shape.size();
    if (!keep) keep = l.filled(1, {batch, chunks}, wide);
    Value decay = l.elementwise(shape, wide, keep, l.map(rank, {0, 1}),
                                [](ElementwiseBuilder, ValueRange v) { return v[0]; });
    SmallVector<int64_t> state(shape);
    state.erase(state.begin() + 1);
    auto scan = ScanOp::create(b, loc, TypeRange{x.getType(), RankedTensorType::get(state, wide)},
                               ValueRange{decay, x}, Value(), Value(), ArrayAttr(), ArrayAttr(),
                               backwards ? b.getUnitAttr() : UnitAttr(), IntegerAttr());
    return scan.getResults()[0];
  }

  /// lin_k^T v of each chunk; of its tokens of the segment `ids` (batch x chunks) if there is one.
  Value products(Value ids) {
    Value keys = cut(op.linK);
    if (ids) {
      keys = l.elementwise(shapeOf(keys), narrow, {keys, segments, ids},
                           {l.identity(4), l.map(4, {0, 1, 2}), l.map(4, {0, 1})},
                           [&](ElementwiseBuilder e, ValueRange v) {
                             return e.select(e.equal(v[1], v[2]), v[0], e.constant(0, narrow));
                           });
    }
    // Letters: batch 0, chunk 1, token 2, key feature 3, value feature 4.
    return l.contract(keys, {0, 1, 2, 3}, cut(op.v), {0, 1, 2, 4}, {0, 1, 3, 4}, 5);
  }

  /// Adds what the first chunk's own tokens lack.
  Value withPart(Value products) {
    if (!op.part) return products;
    Value first = l.sliceDim(products, 1, 0, 1);
    first =
        l.elementwise(shapeOf(first), wide, {first, op.part}, {l.identity(4), l.map(4, {0, 2, 3})},
                      [](ElementwiseBuilder e, ValueRange v) { return e.add(v[0], v[1]); });
    if (chunks == 1) return first;
    return l.concat(1, {first, l.sliceDim(products, 1, 1, chunks - 1)});
  }

  /// lin_q times a state of each chunk.
  Value read(Value states) {
    return l.contract(cut(op.linQ), {0, 1, 2, 3}, states, {0, 1, 3, 4}, {0, 1, 2, 4}, 5);
  }

  /// `x` (batch x chunks x C x e) for tokens whose id is that of `ids` (batch x chunks), else 0.
  Value ofSegment(Value x, Value ids) {
    return l.elementwise(shapeOf(x), wide, {x, segments, ids},
                         {l.identity(4), l.map(4, {0, 1, 2}), l.map(4, {0, 1})},
                         [&](ElementwiseBuilder e, ValueRange v) {
                           return e.select(e.equal(v[1], v[2]), v[0], e.constant(0, wide));
                         });
  }

  /// What enters each chunk from its neighbour: the sum of products over the chunks that it has
  /// come through, and with segments their number and whose segment it is.
  struct Entering {
    /// The sum and the number after each chunk, and before it.
    Value after, before, counts;
    /// Ids of the segment, batch x chunks.
    Value ids;
    Value products;
  };
  Entering enter(bool backwards);

  Value quadratic();
  Value causalLinear(SmallVectorImpl<Value>& carried);
  Value fullLinear();
  Value segmentedLinear();
  /// batch x time x e: without the tokens that were added.
  Value rows(Value x) {
    Value flat = l.reshape(x, {batch, chunks * chunk, shapeOf(op.v)[2]});
    return l.sliceDim(flat, 1, 0, time);
  }
  Value linear(SmallVectorImpl<Value>& carried) {
    if (op.causal) return causalLinear(carried);
    return segments ? segmentedLinear() : fullLinear();
  }

  OpBuilder& b;
  LinalgBuilder l;
  Location loc;
  const Operands op;
  int64_t batch, time, chunk, chunks;
  Type narrow, wide;
  Value segments;
  /// What the tokens of each chunk read, where causalLinear was called.
  Value means;
};

/// batch x chunks x C x e.
Value Chunks::quadratic() {
  // Letters: batch 0, chunk 1, i 2, j 3, feature 4.
  Value scores =
      l.contract(cut(op.quadQ), {0, 1, 2, 4}, cut(op.quadK), {0, 1, 3, 4}, {0, 1, 2, 3}, 5);
  SmallVector<Value> inputs{scores};
  SmallVector<AffineMap> maps{l.identity(4)};
  if (op.bias) {
    auto type = RankedTensorType::get({chunk, chunk}, getElementTypeOrSelf(op.bias.getType()));
    inputs.push_back(ToeplitzOp::create(b, loc, type, op.bias));
    maps.push_back(l.map(4, {2, 3}));
  }
  if (segments) {
    inputs.append({segments, segments});
    maps.append({l.map(4, {0, 1, 2}), l.map(4, {0, 1, 3})});
  }
  Value weights = l.elementwise(
      {batch, chunks, chunk, chunk}, narrow, inputs, maps, [&](ElementwiseBuilder e, ValueRange v) {
        Value x = e.mul(v[0], e.constant(1.0 / chunk, wide));
        if (op.bias) x = e.add(x, e.cast(v[1], wide));
        x = e.activation(op.kernel, x);
        Value zero = e.constant(0, wide);
        Type i64 = b.getI64Type();
        if (op.causal) x = e.select(e.atLeast(e.index(2, i64), e.index(3, i64)), x, zero);
        if (segments) x = e.select(e.equal(v[v.size() - 2], v[v.size() - 1]), x, zero);
        return e.cast(x, narrow);
      });
  return l.contract(weights, {0, 1, 2, 3}, cut(op.v), {0, 1, 3, 4}, {0, 1, 2, 4}, 5);
}

Chunks::Entering Chunks::enter(bool backwards) {
  Entering result;
  if (!segments) {
    result.products = withPart(products(Value()));
    result.after = accumulate(result.products, Value());
    result.before = shifted(result.after, zeroChunk(result.after));
    return result;
  }
  // `leaving` is the segment that goes on where the chunk ends (begins).
  Value first = idAt(0), last = idAt(chunk - 1);
  Value leaving = backwards ? first : last, meeting = backwards ? last : first;
  result.ids = shifted(leaving, l.sliceDim(meeting, 1, backwards ? chunks - 1 : 0, 1), backwards);
  // A chunk passes on what it got if it is of one segment, the one that came in.
  Value keep = l.elementwise({batch, chunks}, wide, {first, last, result.ids},
                             SmallVector<AffineMap>(3, l.identity(2)),
                             [&](ElementwiseBuilder e, ValueRange v) {
                               Value whole = e.equal(v[0], v[1]);
                               return number(e, e.logicalAnd(whole, e.equal(v[0], v[2])));
                             });
  result.products = withPart(products(leaving));
  result.after = accumulate(result.products, keep, backwards);
  result.before = shifted(result.after, zeroChunk(result.after), backwards);
  Value ones = l.filled(1, {batch, chunks}, wide);
  result.counts = shifted(accumulate(ones, keep, backwards), zeroChunk(ones), backwards);
  return result;
}

/// batch x chunks x C x e, as is what the other two give.
Value Chunks::causalLinear(SmallVectorImpl<Value>& carried) {
  Entering in = enter(/*backwards=*/false);
  SmallVector<Value> inputs{in.before};
  SmallVector<AffineMap> maps{l.identity(4)};
  auto add = [&](Value x, ArrayRef<unsigned> dims) {
    inputs.push_back(x);
    maps.push_back(l.map(4, dims));
    return inputs.size() - 1;
  };
  size_t counts = segments ? add(in.counts, {0, 1}) : 0, sum = 0, count = 0, ids = 0;
  if (op.sum) {
    carried.push_back(l.concat(1, {zeroChunk(in.after), in.after}));
    carried.push_back(in.products);
    sum = add(op.sum, {0, 2, 3});
    count = add(op.count, {0});
    if (segments) {
      ids = add(in.ids, {0, 1});
      add(l.reshape(l.sliceDim(idAt(0), 1, 0, 1), {batch}), {0});
    }
  }
  // The mean over chunks, in the operands' type.
  means = l.elementwise(
      shapeOf(in.before), narrow, inputs, maps, [&](ElementwiseBuilder e, ValueRange v) {
        Value total = v[0], number;
        if (segments) {
          number = v[counts];
          if (sum) {
            // What was before the row goes on as far as its first document does.
            Value isFirst = e.equal(v[ids], v[ids + 1]), zero = e.constant(0, wide);
            total = e.add(total, e.select(isFirst, v[sum], zero));
            number = e.add(number, e.select(isFirst, e.toFloat(v[count], wide), zero));
          }
        } else {
          Value whole = e.index(1, b.getI64Type());
          if (sum) {
            total = e.add(total, v[sum]);
            whole = e.addIntegers(whole, v[count]);
          }
          number = e.toFloat(whole, wide);
        }
        Value x = e.mul(total, e.constant(1.0 / chunk, wide));
        return e.cast(e.div(x, e.maximum(number, e.constant(1, wide))), narrow);
      });
  // A token reads the state only if it goes on with the segment that the chunk before ended with.
  return segments ? ofSegment(read(means), in.ids) : read(means);
}

Value Chunks::fullLinear() {
  Value ofChunks = products(Value());
  Value sum = l.sum(shapeOf(ofChunks), {1}, wide, ofChunks, l.identity(4),
                    [](ElementwiseBuilder, ValueRange v) { return v[0]; });
  return read(l.elementwise(shapeOf(ofChunks), narrow, sum, l.map(4, {0, 2, 3}),
                            [&](ElementwiseBuilder e, ValueRange v) {
                              double scale = 1.0 / chunk / chunks;
                              return e.cast(e.mul(v[0], e.constant(scale, wide)), narrow);
                            }));
}

Value Chunks::segmentedLinear() {
  Entering before = enter(/*backwards=*/false), after = enter(/*backwards=*/true);
  auto scaled = [&](ElementwiseBuilder e, ValueRange v) {
    return e.cast(e.mul(v[0], e.constant(1.0 / chunk, wide)), narrow);
  };
  auto readState = [&](Entering& in) {
    return read(l.elementwise(shapeOf(in.before), narrow, in.before, l.identity(4), scaled));
  };
  // Letters: batch 0, chunk 1, i 2, j 3, feature 4.
  Value pairs = l.contract(cut(op.linQ), {0, 1, 2, 4}, cut(op.linK), {0, 1, 3, 4}, {0, 1, 2, 3}, 5);
  pairs = l.elementwise({batch, chunks, chunk, chunk}, narrow, {pairs, segments, segments},
                        {l.identity(4), l.map(4, {0, 1, 2}), l.map(4, {0, 1, 3})},
                        [&](ElementwiseBuilder e, ValueRange v) {
                          Value x = e.mul(v[0], e.constant(1.0 / chunk, wide));
                          x = e.select(e.equal(v[1], v[2]), x, e.constant(0, wide));
                          return e.cast(x, narrow);
                        });
  Value own = l.contract(pairs, {0, 1, 2, 3}, cut(op.v), {0, 1, 3, 4}, {0, 1, 2, 4}, 5);
  AffineMap ofToken = l.map(4, {0, 1, 2}), ofChunk = l.map(4, {0, 1});
  return l.elementwise(
      shapeOf(own), wide,
      {own, readState(before), readState(after), segments, before.ids, after.ids, before.counts,
       after.counts},
      {l.identity(4), l.identity(4), l.identity(4), ofToken, ofChunk, ofChunk, ofChunk, ofChunk},
      [&](ElementwiseBuilder e, ValueRange v) {
        Value zero = e.constant(0, wide), sum = v[0], count = e.constant(1, wide);
        for (unsigned side : {0u, 1u}) {
          Value goesOn = e.equal(v[3], v[4 + side]);
          sum = e.add(sum, e.select(goesOn, v[1 + side], zero));
          count = e.add(count, e.select(goesOn, v[6 + side], zero));
        }
        return e.div(sum, count);
      });
}

}  // namespace

FailureOr<SmallVector<Value>> ChunkedAttentionOp::decomposeOperation(OpBuilder& b) {
  if (failed(requireDecomposable(*this, isBound()))) return failure();
  int64_t chunk = *getChunkSize();
  Chunks c(b, getLoc(),
           {getQuadQ(), getQuadK(), getLinQ(), getLinK(), getV(), getBias(), getSegments(),
            getSum(), getPart(), getCount(), getCausal(), getKernel()},
           chunk);
  SmallVector<Value> results(1), inputs;
  if (MixedChunksOp::canReplace(*this)) {
    // Before a gate the values have the type of what products read.
    auto type = cast<RankedTensorType>(getResult().getType());
    if (getGate()) type = type.clone(c.narrow);
    auto mixed = MixedChunksOp::create(b, getLoc(), type, Type(), getQuadQ(), getQuadK(), getLinQ(),
                                       getLinK(), getV(), getBias(), chunk, getKernel());
    results[0] = mixed.getResult();
    if (!getGate()) return results;
    inputs.push_back(results[0]);
  } else {
    Value quadratic = c.quadratic(), linear = c.linear(results);
    inputs = {c.rows(quadratic), c.rows(linear)};
  }
  if (getGate()) inputs.push_back(getGate());
  SmallVector<AffineMap> maps(inputs.size(), c.l.identity(3));
  results[0] = c.l.elementwise(
      shapeOf(getV()), c.wide, inputs, maps, [&](ElementwiseBuilder e, ValueRange v) {
        ValueRange terms = getGate() ? v.slice(0, inputs.size() - 1) : v.slice(0, inputs.size());
        Value sum = e.cast(terms[0], c.wide);
        if (terms.size() == 2) sum = e.add(sum, terms[1]);
        if (!getGate()) return sum;
        return e.mul(sum, e.cast(v[terms.size()], c.wide));
      });
  return results;
}

FailureOr<SmallVector<Value>> MixedChunksOp::decomposeOperation(OpBuilder& b) {
  if (failed(requireDecomposable(*this))) return failure();
  Operands operands{getQuadQ(), getQuadK(), getLinQ(), getLinK(), getV(), getBias()};
  operands.kernel = getKernel();
  Chunks c(b, getLoc(), operands, static_cast<int64_t>(getChunkSize()));
  SmallVector<Value> carried;
  Value quadratic = c.quadratic(), linear = c.linear(carried);
  Type element = getElementTypeOrSelf(getResult().getType());
  SmallVector<Value> results{c.l.elementwise(
      shapeOf(getV()), element, {c.rows(quadratic), c.rows(linear)},
      SmallVector<AffineMap>(2, c.l.identity(3)),
      [&](ElementwiseBuilder e, ValueRange v) { return e.cast(e.add(v[0], v[1]), element); })};
  if (getMeans()) results.push_back(c.means);
  return results;
}

}  // namespace weir
