// weir.mixed_chunks_vjp: rows in parallel, the chunks of a row from the last to the first; or where
// rows are few, what is carried for all chunks first, and then chunks in parallel.
//
// What is carried is the cotangent of the sum of lin_k^T v, in the thread's scratch memory. Weights
// are held transposed (keys are rows): so they are left operands of the sums over queries as they
// stand. As in the forward direction two sums are one product: the weights stand next to lin_k, the
// cotangents of the result over that of the sum.

#include "compiler/conversion/cpu/mixed_chunks.h"
#include "compiler/dialect/region_vjp.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/TypeUtilities.h"

namespace weir {

using namespace mlir;

namespace {

class Backward : public MixedChunks {
 public:
  /// `states`: in phases, the cotangent of the sum after each chunk.
  Backward(KernelFunction& f, MixedChunksVjpOp op, const MixedInputs& in, const ChunkSizes& size,
           const TensorValue* states, Phase phase)
      : MixedChunks(f, in, size, f.threadOffset()),
        op(op),
        states(states),
        aligned(roundUp(size.chunk, t.unit())),
        sum(t.scratch(t.wide, (phase == Phase::All ? size.tiles() : 1) * size.lin, size.tile)),
        sumRounded(t.scratch(t.narrow, size.lin, size.tile)),
        sumPart(t.scratch(t.wide, size.lin, size.tile)),
        scores(t.scratch(t.wide, size.chunk, size.chunk)),
        weightCotangents(t.scratch(t.wide, size.chunk, size.chunk)),
        left(t.scratch(t.narrow, size.chunk, aligned + size.lin)),
        out(t.scratch(t.wide, size.rowBlock, size.tile)),
        first(t.scratch(t.wide, size.chunk, std::max(size.lin, size.quad))),
        ofKeys(t.part(first, 0, size.chunk, 0, size.lin)),
        ofQueries(t.scratch(t.wide, size.chunk, size.lin)),
        ofScores(t.part(first, 0, size.chunk, 0, size.quad)),
        tokenBuffer(t.packBuffer({{aligned + size.lin, size.tile}})),
        featureBuffer(t.packBuffer({{size.quad, size.chunk},
                                    {size.tile, size.chunk},
                                    {size.tile, size.lin},
                                    {size.chunk, size.quad}})) {}

  LogicalResult emitRow(Value batchRow, std::optional<Matrix> biasParts);
  LogicalResult emitSums(Value batchRow, Value first, int64_t width);
  LogicalResult emitOneChunk(Value batchRow, Value g, std::optional<Matrix> biasParts);

 private:
  /// `part`: the row of `biasParts` that is this thread's.
  void prepare(Value batchRow, std::optional<Matrix> biasParts, Value part);
  /// Adds to what is carried what comes from reading in chunk g.
  void carry(Value g, const Matrix& queries, const PackedMatrix& cotangent, const Matrix& carried);
  void emitChunk(Value g);
  void emitWeights(const Matrix& queries, const Matrix& keys);
  void emitTile(Value g, Value tile, Value first, int64_t width, const Matrix& queries,
                const Matrix& values, const Matrix& cotangents);
  void emitScoreCotangents();
  void addBias();
  Value isVisible(ElementwiseBuilder e);
  /// The kernel's result for the cotangent of input `i`, if it is one.
  const TensorValue* resultFor(unsigned i) { return resultOf(f, op.getResults()[i]); }

  MixedChunksVjpOp op;
  const TensorValue* states;
  /// Columns of `left` before lin_k: weights, and zeros.
  int64_t aligned;
  Matrix sum, sumRounded, sumPart, scores, weightCotangents, left, out, first, ofKeys, ofQueries,
      ofScores;
  Value tokenBuffer, featureBuffer;
  /// One row: the cotangent of each diagonal.
  std::optional<Matrix> biasCotangent;
  Matrix quadQBuffer, quadKBuffer, linQBuffer, linKBuffer, valuesBuffer, cotangentBuffer;
};

/// Elements of weights are (key, query).
Value Backward::isVisible(ElementwiseBuilder e) {
  Type i32 = b.getI32Type();
  return e.atLeast(e.index(1, i32), e.index(0, i32));
}

void Backward::emitWeights(const Matrix& queries, const Matrix& keys) {
  PackedMatrix right = t.pack(featureBuffer, queries.transposed());
  forRowBlocks([&](int64_t from, int64_t rows) {
    int64_t columns = size.chunk - from;
    t.multiply(t.part(keys, from, rows, 0, size.quad), t.part(right, 0, size.quad, from, columns),
               t.part(scores, from, rows, from, columns), /*accumulate=*/false);
  });
  std::optional<Matrix> bias = biasMatrix(0, size.chunk, size.chunk);
  SmallVector<Matrix> inputs{scores};
  if (bias) inputs.push_back(bias->transposed());
  t.map(inputs, {t.part(left, 0, size.chunk, 0, size.chunk)},
        [&](ElementwiseBuilder e, ValueRange v) {
          Value x = e.activation(in.activation, scaled(e, v[0], bias ? v[1] : Value()));
          x = e.select(isVisible(e), x, e.constant(0, t.wide));
          return SmallVector<Value>{e.cast(x, t.narrow)};
        });
}

void Backward::emitTile(Value g, Value tile, Value first, int64_t width, const Matrix& queries,
                        const Matrix& values, const Matrix& cotangents) {
  Value zero = b.constant(0);
  Matrix carried, rounded;
  if (states) {
    rounded = t.part(meansOf(*states, g), zero, size.lin, first, width);
  } else {
    carried = t.part(sum, b.mul(tile, size.lin), size.lin, zero, width);
    rounded = t.part(sumRounded, 0, size.lin, 0, width);
    t.copy(carried, rounded);
  }
  Matrix own = t.part(values, zero, size.chunk, first, width);
  Matrix cotangent = t.part(cotangents, zero, size.chunk, first, width);
  int64_t depth = aligned + size.lin;
  PackedMatrix right = t.pack(tokenBuffer, cotangent, depth, 0);
  t.pack(tokenBuffer, rounded, depth, aligned);
  if (const TensorValue* result = resultFor(4)) {
    Matrix target = t.part(chunkOf(*result, g), zero, size.chunk, first, width);
    forRowBlocks([&](int64_t from, int64_t rows) {
      // Queries before the block don't see its keys.
      Matrix block = t.part(out, 0, rows, 0, width);
      t.multiply(t.part(left, from, rows, from, depth - from),
                 t.part(right, from, depth - from, 0, width), block, /*accumulate=*/false);
      t.copy(block, t.part(target, from, rows, 0, width));
    });
  }
  PackedMatrix features = t.pack(featureBuffer, cotangent.transposed());
  forRowBlocks([&](int64_t from, int64_t rows) {
    int64_t columns = size.chunk - from;
    t.multiply(t.part(own, from, rows, 0, width), t.part(features, 0, width, from, columns),
               t.part(weightCotangents, from, rows, from, columns), /*accumulate=*/true);
  });
  t.multiply(own, t.pack(featureBuffer, rounded.transposed()), ofKeys, /*accumulate=*/true);
  // In the first chunk nothing was read.
  b.ifThen(b.lessThan(zero, g), [&] {
    Matrix means = t.part(meansOf(f.tensors[op.getMeans()], g), zero, size.lin, first, width);
    t.multiply(cotangent, t.pack(featureBuffer, means.transposed()), ofQueries,
               /*accumulate=*/true);
    if (!states) carry(g, queries, t.part(right, 0, size.chunk, 0, width), carried);
  });
}

void Backward::carry(Value g, const Matrix& queries, const PackedMatrix& cotangent,
                     const Matrix& carried) {
  Matrix change = t.part(sumPart, 0, size.lin, 0, carried.columns);
  t.multiply(queries.transposed(), cotangent, change, /*accumulate=*/false);
  t.map({carried, change, t.uniform(meanScale(g), size.lin, carried.columns)}, {carried},
        [&](ElementwiseBuilder e, ValueRange v) {
          return SmallVector<Value>{e.add(v[0], e.mul(v[1], v[2]))};
        });
}

/// From cotangents of weights to those of scores, in `left` times 1 / C; those of the bias stay in
/// `weightCotangents`.
void Backward::emitScoreCotangents() {
  std::optional<Matrix> bias = biasMatrix(0, size.chunk, size.chunk);
  SmallVector<Matrix> inputs{scores, weightCotangents},
      outputs{t.part(left, 0, size.chunk, 0, size.chunk)};
  if (bias) inputs.push_back(bias->transposed());
  if (biasCotangent) outputs.push_back(weightCotangents);
  t.map(inputs, outputs, [&](ElementwiseBuilder e, ValueRange v) {
    Value x = scaled(e, v[0], bias ? v[2] : Value());
    Block activation;
    activation.addArgument(t.wide, b.getLoc());
    OpBuilder inner(b.getContext());
    inner.setInsertionPointToEnd(&activation);
    Value y =
        ElementwiseBuilder(inner, b.getLoc()).activation(in.activation, activation.getArgument(0));
    linalg::YieldOp::create(inner, b.getLoc(), y);
    RegionVjp vjp(e.builder(), activation, x);
    SmallVector<Value> gradient;
    if (failed(vjp.pullBack(v[1], {true}, gradient)) || !gradient[0]) {
      t.status = failure();
      gradient = {x};
    }
    Value dx = e.select(isVisible(e), gradient[0], e.constant(0, t.wide));
    SmallVector<Value> values{e.cast(e.mul(dx, e.constant(1.0 / size.divisor, t.wide)), t.narrow)};
    if (biasCotangent) values.push_back(dx);
    return values;
  });
}

void Backward::addBias() {
  if (!biasCotangent) return;
  int64_t middle = (biasCotangent->columns - 1) / 2;
  b.loop(0, size.chunk, 1, [&](Value key) {
    Matrix diagonals =
        t.part(*biasCotangent, b.constant(0), 1, b.sub(b.constant(middle), key), size.chunk);
    Matrix of = t.part(weightCotangents, key, 1, b.constant(0), size.chunk);
    t.map({diagonals, of}, {diagonals},
          [](ElementwiseBuilder e, ValueRange v) { return SmallVector<Value>{e.add(v[0], v[1])}; });
  });
}

void Backward::emitChunk(Value g) {
  Matrix quadQ = chunkOf(f.tensors[in.quadQ], g, quadQBuffer),
         quadK = chunkOf(f.tensors[in.quadK], g, quadKBuffer),
         linQ = chunkOf(f.tensors[in.linQ], g, linQBuffer),
         linK = chunkOf(f.tensors[in.linK], g, linKBuffer),
         values = chunkOf(f.tensors[in.v], g, valuesBuffer),
         cotangents = chunkOf(f.tensors[op.getCotangent()], g, cotangentBuffer);
  for (const Matrix& m : {weightCotangents, ofKeys, ofQueries}) t.fill(m, 0);
  emitWeights(quadQ, quadK);
  t.copy(linK, t.part(left, 0, size.chunk, aligned, size.lin));
  forTiles([&](Value tile, Value first, int64_t width) {
    emitTile(g, tile, first, width, linQ, values, cotangents);
  });
  auto store = [&](const Matrix& from, unsigned input) {
    if (const TensorValue* result = resultFor(input)) t.copy(from, chunkOf(*result, g));
  };
  store(ofQueries, 2);
  store(ofKeys, 3);
  emitScoreCotangents();
  addBias();
  Matrix ofScoresLeft = t.part(left, 0, size.chunk, 0, size.chunk);
  t.multiply(ofScoresLeft.transposed(), t.pack(featureBuffer, quadK), ofScores,
             /*accumulate=*/false);
  store(ofScores, 0);
  t.multiply(ofScoresLeft, t.pack(featureBuffer, quadQ), ofScores, /*accumulate=*/false);
  store(ofScores, 1);
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
      Matrix queries = chunkOf(f.tensors[in.linQ], g, linQBuffer),
             cotangent = chunkOf(f.tensors[op.getCotangent()], g, cotangentBuffer, first, width);
      carry(g, queries, t.pack(tokenBuffer, cotangent), carried);
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
