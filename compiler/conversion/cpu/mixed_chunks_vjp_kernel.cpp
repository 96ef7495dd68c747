// weir.mixed_chunks_vjp: rows in parallel, the chunks of a row from the last to the first; or where
// rows are few, what is carried for all chunks first, and then chunks in parallel.
//
// What is carried is the cotangent of the sum of lin_k^T v, in the thread's scratch memory. Weights
// are held transposed (keys are rows): so they are left operands of the sums over queries as they
// stand. As in the forward direction two sums are one product: the weights stand next to lin_k, the
// cotangents of the result over that of the sum.
//
// Sums over features are in the first cache when the rest is done to them if the packed cotangents
// of all features fit into the second; else they are added up in scratch memory, tile by tile.

#include "compiler/conversion/cpu/mixed_chunks.h"
#include "compiler/dialect/region_vjp.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/TypeUtilities.h"

namespace weir {

using namespace mlir;

namespace {

/// Bytes of packed cotangents that leave the second cache room for the rest of a chunk.
constexpr int64_t kGroupBytes = 1 << 20;

class Backward : public MixedChunks {
 public:
  /// `states`: in phases, the cotangent of the sum after each chunk.
  Backward(KernelFunction& f, MixedChunksVjpOp op, const MixedInputs& in, const ChunkSizes& size,
           const TensorValue* states, Phase phase)
      : MixedChunks(f, in, size, f.threadOffset()),
        op(op),
        states(states),
        aligned(roundUp(size.chunk, t.unit())),
        group(packedBytes(size.features) <= kGroupBytes ? size.features : size.tile),
        sum(t.scratch(t.wide, (phase == Phase::All ? size.tiles() : 1) * size.lin, size.tile)),
        sumRounded(t.scratch(t.narrow, size.lin, size.tile)),
        scores(t.scratch(t.wide, size.chunk, size.chunk)),
        left(t.scratch(t.narrow, size.chunk, aligned + size.lin)),
        ofQueries(t.scratch(t.wide, size.lin, size.chunk)),
        tokenBuffer(t.packBuffer({{aligned + size.lin, size.tile}})),
        cotangentBuffer(t.packBuffer({{group, size.chunk}})),
        sumBuffer(t.packBuffer({{group, size.lin}})),
        quadBuffer(t.packBuffer({{size.quad, size.chunk}, {size.chunk, size.quad}})),
        linQBuffer(t.leftBuffer(size.lin, size.chunk)),
        valueBuffer(t.leftBuffer(size.rowBlock, group)) {
    if (allFeatures()) return;
    weightCotangents = t.scratch(t.wide, size.chunk, size.chunk);
    ofKeys = t.scratch(t.wide, size.chunk, size.lin);
  }

  LogicalResult emitRow(Value batchRow, std::optional<Matrix> biasParts);
  LogicalResult emitSums(Value batchRow, Value first, int64_t width);
  LogicalResult emitOneChunk(Value batchRow, Value g, std::optional<Matrix> biasParts);

 private:
  /// The chunk's inputs, of `g`.
  struct Chunk {
    Value g;
    Matrix quadQ, quadK, linQ, linK, values, cotangents;
  };

  int64_t packedBytes(int64_t features) {
    return t.packedBytes({{features, size.chunk}}) + t.packedBytes({{features, size.lin}});
  }
  /// `part`: the row of `biasParts` that is this thread's.
  void prepare(Value batchRow, std::optional<Matrix> biasParts, Value part);
  /// Adds to what is carried what comes from reading in chunk g.
  void carry(Value g, const LeftMatrix& queries, const PackedMatrix& cotangent,
             const Matrix& carried);
  void emitChunk(Value g);
  void emitWeights(const Chunk& chunk);
  /// `queries`: lin_q transposed, for what is carried.
  void emitTile(const Chunk& chunk, const std::optional<LeftMatrix>& queries, Value tile,
                Value first, int64_t width);
  void sumOverFeatures(const Chunk& chunk, Value first, int64_t width);
  /// From cotangents of the weights of keys [from, from + rows) to those of scores, in `left` times
  /// 1 / C; adds to those of the bias. `map(inputs, outputs, body)` puts the cotangents of weights
  /// before the inputs.
  using Map = function_ref<void(ArrayRef<Matrix> inputs, ArrayRef<Matrix> outputs,
                                ThreadMatrices::Body body)>;
  void emitScoreCotangents(int64_t from, int64_t rows, Map map);
  void multiplyScoreCotangents(const Chunk& chunk);
  Value isVisible(ElementwiseBuilder e);
  SmallVector<Value> rounded(ElementwiseBuilder e, ValueRange v) {
    return {e.cast(v[0], t.narrow)};
  }
  bool allFeatures() const { return group == size.features; }
  /// The part of an input's cotangent that is of chunk `g`; null if it isn't asked for.
  std::optional<Matrix> targetOf(unsigned input, Value g) {
    const TensorValue* result = resultOf(f, op.getResults()[input]);
    if (!result) return std::nullopt;
    return chunkOf(*result, g);
  }

  MixedChunksVjpOp op;
  const TensorValue* states;
  /// Columns of `left` before lin_k: weights, and zeros.
  int64_t aligned;
  /// Features that are summed over at a time: all, or those of a tile.
  int64_t group;
  Matrix sum, sumRounded, scores, left, ofQueries;
  Value tokenBuffer, cotangentBuffer, sumBuffer, quadBuffer, linQBuffer, valueBuffer;
  /// Sums over features, if not over all at a time.
  Matrix weightCotangents, ofKeys;
  /// One row: the cotangent of each diagonal.
  std::optional<Matrix> biasCotangent;
  Matrix quadQCopy, quadKCopy, linQCopy, linKCopy, valuesCopy, cotangentCopy;
};

/// Elements of weights are (key, query).
Value Backward::isVisible(ElementwiseBuilder e) {
  Type i32 = b.getI32Type();
  return e.atLeast(e.index(1, i32), e.index(0, i32));
}

void Backward::emitWeights(const Chunk& chunk) {
  PackedMatrix right = t.pack(quadBuffer, chunk.quadQ.transposed());
  std::optional<Matrix> bias = biasMatrix(0, size.chunk, size.chunk);
  forRowBlocks([&](int64_t from, int64_t rows) {
    int64_t columns = size.chunk - from;
    SmallVector<Matrix> inputs;
    if (bias) inputs.push_back(t.part(bias->transposed(), from, rows, from, columns));
    t.multiplyMap(
        t.part(chunk.quadK, from, rows, 0, size.quad), t.part(right, 0, size.quad, from, columns),
        inputs,
        {t.part(left, from, rows, from, columns), t.part(scores, from, rows, from, columns)},
        [&](ElementwiseBuilder e, ValueRange v) {
          Value x = e.activation(in.activation, scaled(e, v[0], bias ? v[1] : Value()));
          x = e.select(isVisible(e), x, e.constant(0, t.wide));
          return SmallVector<Value>{e.cast(x, t.narrow), v[0]};
        });
  });
}

/// What needs a tile of features only: the cotangent of its values, and what is carried. Packs it
/// for the sums over features.
void Backward::emitTile(const Chunk& chunk, const std::optional<LeftMatrix>& queries, Value tile,
                        Value first, int64_t width) {
  Value zero = b.constant(0), firstInGroup = allFeatures() ? first : zero;
  Matrix carried, ofSum;
  if (states) {
    ofSum = t.part(meansOf(*states, chunk.g), zero, size.lin, first, width);
  } else {
    carried = t.part(sum, b.mul(tile, size.lin), size.lin, zero, width);
    ofSum = t.part(sumRounded, 0, size.lin, 0, width);
    t.copy(carried, ofSum);
  }
  Matrix cotangent = t.part(chunk.cotangents, zero, size.chunk, first, width);
  int64_t depth = aligned + size.lin;
  PackedMatrix right = t.pack(tokenBuffer, cotangent, depth, zero);
  t.pack(tokenBuffer, ofSum, depth, b.constant(aligned));
  int64_t features = allFeatures() ? group : width;
  t.pack(cotangentBuffer, cotangent.transposed(), features, firstInGroup);
  t.pack(sumBuffer, ofSum.transposed(), features, firstInGroup);
  if (std::optional<Matrix> result = targetOf(4, chunk.g)) {
    Matrix target = t.part(*result, zero, size.chunk, first, width);
    Matrix next = t.part(chunk.cotangents, zero, size.chunk, b.add(first, width), width);
    forRowBlocks([&](int64_t from, int64_t rows) {
      // Queries before the block don't see its keys.
      t.multiplyMap(
          t.part(left, from, rows, from, depth - from), t.part(right, from, depth - from, 0, width),
          {}, {t.part(target, from, rows, 0, width)},
          [&](ElementwiseBuilder e, ValueRange v) { return rounded(e, v); },
          t.part(next, from, rows, 0, width));
    });
  }
  if (!queries) return;
  // In the first chunk nothing was read.
  b.ifThen(b.lessThan(zero, chunk.g),
           [&] { carry(chunk.g, *queries, t.part(right, 0, size.chunk, 0, width), carried); });
}

void Backward::carry(Value g, const LeftMatrix& queries, const PackedMatrix& cotangent,
                     const Matrix& carried) {
  t.multiplyMap(queries, cotangent, {carried, t.uniform(meanScale(g), size.lin, carried.columns)},
                {carried}, [&](ElementwiseBuilder e, ValueRange v) {
                  return SmallVector<Value>{e.add(v[1], e.mul(v[0], v[2]))};
                });
}

/// Sums over `width` features from `first` on, whose cotangents emitTile() has packed.
void Backward::sumOverFeatures(const Chunk& chunk, Value first, int64_t width) {
  Value zero = b.constant(0);
  auto sumInto = [&](const Matrix& sums, const LeftMatrix& a, const PackedMatrix& right) {
    t.multiply(a, right, sums, /*accumulate=*/true);
  };
  auto round = [&](ElementwiseBuilder e, ValueRange v) { return rounded(e, v); };
  // The second one stands for its shape: where it came from doesn't matter once it is packed.
  Matrix cotangent = t.part(chunk.cotangents, zero, size.chunk, first, width),
         ofSum = t.part(sumRounded, 0, size.lin, 0, width);
  PackedMatrix cotangents = t.packed(cotangentBuffer, cotangent.transposed()),
               sums = t.packed(sumBuffer, ofSum.transposed());
  std::optional<Matrix> keys = targetOf(3, chunk.g);
  forRowBlocks([&](int64_t from, int64_t rows) {
    LeftMatrix values =
        t.packLeft(valueBuffer, t.part(chunk.values, b.constant(from), rows, first, width));
    PackedMatrix right = t.part(cotangents, 0, width, from, size.chunk - from);
    if (!allFeatures()) {
      sumInto(t.part(weightCotangents, from, rows, from, size.chunk - from), values, right);
      return sumInto(t.part(ofKeys, from, rows, 0, size.lin), values, sums);
    }
    if (keys)
      t.multiplyMap(values, sums, {}, {t.part(*keys, from, rows, 0, size.lin)}, round,
                    t.part(chunk.values, b.constant(from + rows), rows, first, width));
    emitScoreCotangents(from, rows, [&](auto inputs, auto outputs, auto body) {
      t.multiplyMap(values, right, inputs, outputs, body);
    });
  });
  // In the first chunk nothing was read.
  b.ifThen(b.lessThan(zero, chunk.g), [&] {
    Matrix means = t.part(meansOf(f.tensors[op.getMeans()], chunk.g), zero, size.lin, first, width);
    t.multiply(means, cotangents, ofQueries, /*accumulate=*/!allFeatures());
  });
}

void Backward::emitScoreCotangents(int64_t from, int64_t rows, Map map) {
  int64_t columns = size.chunk - from;
  std::optional<Matrix> bias = biasMatrix(0, size.chunk, size.chunk);
  SmallVector<Matrix> inputs{t.part(scores, from, rows, from, columns)},
      outputs{t.part(left, from, rows, from, columns)};
  if (bias) inputs.push_back(t.part(bias->transposed(), from, rows, from, columns));
  if (biasCotangent) {
    Matrix diagonals = *biasCotangent;
    diagonals.access.base = b.add(diagonals.access.base, (biasCotangent->columns - 1) / 2);
    diagonals.access.strides = {-1, 1};
    diagonals.rows = rows, diagonals.columns = columns;
    inputs.push_back(diagonals);
    outputs.push_back(diagonals);
  }
  map(inputs, outputs, [&](ElementwiseBuilder e, ValueRange v) {
    Value x = scaled(e, v[1], bias ? v[2] : Value());
    Block activation;
    activation.addArgument(t.wide, b.getLoc());
    OpBuilder inner(b.getContext());
    inner.setInsertionPointToEnd(&activation);
    Value y =
        ElementwiseBuilder(inner, b.getLoc()).activation(in.activation, activation.getArgument(0));
    linalg::YieldOp::create(inner, b.getLoc(), y);
    RegionVjp vjp(e.builder(), activation, x);
    SmallVector<Value> gradient;
    if (failed(vjp.pullBack(v[0], {true}, gradient)) || !gradient[0]) {
      t.status = failure();
      gradient = {x};
    }
    Value dx = e.select(isVisible(e), gradient[0], e.constant(0, t.wide));
    SmallVector<Value> values{e.cast(e.mul(dx, e.constant(1.0 / size.divisor, t.wide)), t.narrow)};
    if (biasCotangent) values.push_back(e.add(v.back(), dx));
    return values;
  });
}

/// From cotangents of scores to those of what they are products of.
void Backward::multiplyScoreCotangents(const Chunk& chunk) {
  auto round = [&](ElementwiseBuilder e, ValueRange v) { return rounded(e, v); };
  if (std::optional<Matrix> queries = targetOf(0, chunk.g)) {
    PackedMatrix keys = t.pack(quadBuffer, chunk.quadK);
    forRowBlocks([&](int64_t from, int64_t rows) {
      int64_t seen = from + rows;
      t.multiplyMap(t.part(left, 0, seen, from, rows).transposed(),
                    t.part(keys, 0, seen, 0, size.quad), {},
                    {t.part(*queries, from, rows, 0, size.quad)}, round);
    });
  }
  if (std::optional<Matrix> keys = targetOf(1, chunk.g)) {
    PackedMatrix queries = t.pack(quadBuffer, chunk.quadQ);
    forRowBlocks([&](int64_t from, int64_t rows) {
      int64_t seeing = size.chunk - from;
      t.multiplyMap(t.part(left, from, rows, from, seeing),
                    t.part(queries, from, seeing, 0, size.quad), {},
                    {t.part(*keys, from, rows, 0, size.quad)}, round);
    });
  }
}

void Backward::emitChunk(Value g) {
  Value zero = b.constant(0);
  Chunk chunk{g,
              chunkOf(f.tensors[in.quadQ], g, quadQCopy),
              chunkOf(f.tensors[in.quadK], g, quadKCopy),
              chunkOf(f.tensors[in.linQ], g, linQCopy),
              chunkOf(f.tensors[in.linK], g, linKCopy),
              chunkOf(f.tensors[in.v], g, valuesCopy),
              chunkOf(f.tensors[op.getCotangent()], g, cotangentCopy)};
  emitWeights(chunk);
  t.copy(chunk.linK, t.part(left, 0, size.chunk, aligned, size.lin));
  std::optional<LeftMatrix> queries;
  if (!states) queries = t.packLeft(linQBuffer, chunk.linQ.transposed());
  if (!allFeatures()) {
    t.fill(weightCotangents, 0);
    t.fill(ofKeys, 0);
    t.fill(ofQueries, 0);
  } else {
    b.ifThen(b.lessThan(g, b.constant(1)), [&] { t.fill(ofQueries, 0); });
  }
  forTiles([&](Value tile, Value first, int64_t width) {
    emitTile(chunk, queries, tile, first, width);
    if (!allFeatures()) sumOverFeatures(chunk, first, width);
  });
  if (allFeatures()) sumOverFeatures(chunk, zero, size.features);
  if (std::optional<Matrix> target = targetOf(2, g)) t.copy(ofQueries.transposed(), *target);
  if (!allFeatures()) {
    if (std::optional<Matrix> target = targetOf(3, g)) t.copy(ofKeys, *target);
    forRowBlocks([&](int64_t from, int64_t rows) {
      Matrix block = t.part(weightCotangents, from, rows, from, size.chunk - from);
      emitScoreCotangents(from, rows, [&](auto inputs, auto outputs, auto body) {
        SmallVector<Matrix> all{block};
        all.append(inputs.begin(), inputs.end());
        t.map(all, outputs, body);
      });
    });
  }
  multiplyScoreCotangents(chunk);
}

void Backward::prepare(Value batchRow, std::optional<Matrix> biasParts, Value part) {
  row = batchRow;
  if (biasParts) {
    biasCotangent = t.part(*biasParts, part, 1, b.constant(0), biasParts->columns);
    t.fill(*biasCotangent, 0);
  }
  if (aligned > size.chunk)
    t.fill(t.part(left, 0, size.chunk, size.chunk, aligned - size.chunk), 0);
}

LogicalResult Backward::emitRow(Value batchRow, std::optional<Matrix> biasParts) {
  prepare(batchRow, biasParts, batchRow);
  t.fill(sum, 0);
  b.loop(0, size.chunks, 1, [&](Value i) { emitChunk(b.sub(b.constant(size.chunks - 1), i)); });
  return t.status;
}

LogicalResult Backward::emitSums(Value batchRow, Value first, int64_t width) {
  row = batchRow;
  Matrix carried = t.part(sum, 0, size.lin, 0, width);
  t.fill(carried, 0);
  b.loop(0, size.chunks, 1, [&](Value i) {
    Value g = b.sub(b.constant(size.chunks - 1), i), zero = b.constant(0);
    t.copy(carried, t.part(meansOf(*states, g), zero, size.lin, first, width));
    b.ifThen(b.lessThan(zero, g), [&] {
      Matrix queries = chunkOf(f.tensors[in.linQ], g, linQCopy),
             cotangent = chunkOf(f.tensors[op.getCotangent()], g, cotangentCopy, first, width);
      carry(g, queries.transposed(), t.pack(tokenBuffer, cotangent), carried);
    });
  });
  return t.status;
}

LogicalResult Backward::emitOneChunk(Value batchRow, Value g, std::optional<Matrix> biasParts) {
  prepare(batchRow, biasParts, b.add(b.mul(batchRow, size.chunks), g));
  emitChunk(g);
  return t.status;
}

}  // namespace

LogicalResult emitMixedChunksVjp(KernelFunction& f, Operation* operation) {
  KernelBuilder& b = f.b;
  auto op = cast<MixedChunksVjpOp>(operation);
  MixedInputs in(op);
  ChunkSizes size(in);
  const TensorValue* biasResult = in.bias ? resultOf(f, op.getResults()[5]) : nullptr;
  std::optional<Matrix> parts;
  if (biasResult) {
    Type wide = accumulatorType(getElementTypeOrSelf(in.v.getType()));
    int64_t diagonals = biasResult->shape[0];
    int64_t rows = size.inPhases() ? size.batch * size.chunks : size.batch;
    int64_t count = rows * diagonals;
    int64_t at = f.shared.reserve(count * storageBytes(wide));
    parts.emplace();
    parts->access.memref = b.view(f.sharedScratch, b.constant(at), count, wide);
    parts->access.base = b.constant(0);
    parts->access.strides = {diagonals, 1};
    parts->access.element = wide;
    parts->rows = rows;
    parts->columns = diagonals;
  }
  LogicalResult result = success();
  auto check = [&](LogicalResult part) {
    if (failed(part)) result = failure();
  };
  if (size.inPhases()) {
    TensorValue states = sharedStates(f, size, getElementTypeOrSelf(op.getV().getType()));
    forPhases(
        f, size,
        [&](Value row, Value first, int64_t width) {
          check(Backward(f, op, in, size, &states, Phase::Sums).emitSums(row, first, width));
        },
        [&](Value row, Value g) {
          check(Backward(f, op, in, size, &states, Phase::Chunks).emitOneChunk(row, g, parts));
        });
  } else {
    b.parallelLoop(size.batch, size.work() >= kParallelWork, [&](Value row) {
      check(Backward(f, op, in, size, nullptr, Phase::All).emitRow(row, parts));
    });
  }
  if (failed(result) || !parts) return result;
  // Parts are added in their order.
  ThreadMatrices t(f, parts->element(), parts->element(), b.constant(0));
  Matrix total = t.part(*parts, 0, 1, 0, parts->columns);
  b.loop(1, parts->rows, 1, [&](Value row) {
    t.map({total, t.part(*parts, row, 1, b.constant(0), parts->columns)}, {total},
          [](ElementwiseBuilder e, ValueRange v) { return SmallVector<Value>{e.add(v[0], v[1])}; });
  });
  Matrix target = total;
  target.access.memref = biasResult->memref;
  target.access.base = b.constant(biasResult->offset);
  target.access.strides = {0, biasResult->strides[0]};
  target.access.element = biasResult->element;
  t.copy(total, target);
  return t.status;
}

}  // namespace weir
