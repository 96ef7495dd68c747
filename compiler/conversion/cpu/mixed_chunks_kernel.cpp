// weir.mixed_chunks: rows in parallel, the chunks of a row in order, all of a chunk by one thread;
// or where rows are few, sums of all chunks first, and then chunks in parallel.
//
// The sum of lin_k^T v over earlier chunks stays in the thread's scratch memory. The weights of a
// chunk are computed a block of rows at a time and stand next to lin_q, as the values stand under
// the means: one product with both of them gives a block of rows of the result, without a visit to
// its sums in between. Values are packed once, for that product and for lin_k^T v.

#include "compiler/conversion/cpu/mixed_chunks.h"
#include "mlir/IR/TypeUtilities.h"

namespace weir {

using namespace mlir;

namespace {

class Forward : public MixedChunks {
 public:
  /// `saved`: where means go, or come from; null if they are not kept.
  Forward(KernelFunction& f, MixedChunksOp op, const MixedInputs& in, const ChunkSizes& size,
          const TensorValue* saved, Phase phase)
      : MixedChunks(f, in, size, f.threadOffset()),
        op(op),
        saved(saved),
        phase(phase),
        aligned(roundUp(size.lin, t.unit())),
        sum(t.scratch(t.wide, sumTiles(size, phase) * size.lin, size.tile)),
        means(t.scratch(t.narrow, size.lin, size.tile)),
        left(t.scratch(t.narrow, size.chunk, aligned + size.chunk)),
        keyBuffer(t.packBuffer({{size.quad, size.chunk}})),
        valueBuffer(t.packBuffer({{aligned + size.chunk, size.tile}})),
        linKBuffer(t.leftBuffer(size.lin, size.chunk)) {}

  LogicalResult emitRow(Value batchRow) {
    row = batchRow;
    t.fill(sum, 0);
    prepare();
    b.loop(0, size.chunks, 1, [&](Value g) { emitChunk(g); });
    return t.status;
  }
  LogicalResult emitSums(Value batchRow, Value first, int64_t width);
  LogicalResult emitOneChunk(Value batchRow, Value g) {
    row = batchRow;
    prepare();
    emitChunk(g);
    return t.status;
  }

 private:
  static int64_t sumTiles(const ChunkSizes& size, Phase phase) {
    return phase == Phase::All ? size.tiles() : 1;
  }
  void prepare() {
    if (aligned > size.lin) t.fill(t.part(left, 0, size.chunk, size.lin, aligned - size.lin), 0);
    reverseBias();
  }
  void reverseBias();
  void emitChunk(Value g);
  void emitWeights(int64_t from, int64_t rows, const Matrix& queries, const PackedMatrix& keys);
  /// `keys`: lin_k transposed.
  void emitTile(Value g, Value tile, Value first, int64_t width, const LeftMatrix& keys,
                const Matrix& values);
  /// The mean of `state` in chunk g.
  void writeMean(Value g, const Matrix& state, const Matrix& mean);
  void addChunk(Value g, const LeftMatrix& keys, const PackedMatrix& values, const Matrix& state);

  MixedChunksOp op;
  const TensorValue* saved;
  Phase phase;
  /// Columns of `left` before the weights: lin_q, and zeros.
  int64_t aligned;
  Matrix sum, means, left;
  Value keyBuffer, valueBuffer, linKBuffer;
  std::optional<Matrix> reversed;
  Matrix quadQCopy, quadKCopy, linQCopy, linKCopy, valuesCopy;
};

/// The bias in reverse order: along a row of weights it is then read forwards.
void Forward::reverseBias() {
  std::optional<Matrix> bias = biasMatrix(size.chunk - 1, 1, 2 * size.chunk - 1);
  if (!bias) return;
  reversed = t.scratch(t.wide, 1, 2 * size.chunk - 1);
  t.copy(*bias, *reversed);
}

void Forward::emitWeights(int64_t from, int64_t rows, const Matrix& queries,
                          const PackedMatrix& keys) {
  int64_t columns = from + rows;
  SmallVector<Matrix> inputs;
  if (reversed) {
    // Element (i, j) is bias(from + i - j), the reversed one's at chunk - 1 - from - i + j.
    Matrix bias = *reversed;
    bias.access.base = b.add(bias.access.base, size.chunk - 1 - from);
    bias.access.strides = {-1, 1};
    inputs.push_back(bias);
  }
  t.multiplyMap(
      t.part(queries, from, rows, 0, size.quad), t.part(keys, 0, size.quad, 0, columns), inputs,
      {t.part(left, from, rows, aligned, columns)}, [&](ElementwiseBuilder e, ValueRange v) {
        Value x = e.activation(in.activation, scaled(e, v[0], reversed ? v[1] : Value()));
        Type i32 = b.getI32Type();
        Value i = e.addIntegers(e.index(0, i32), e.integer(from, i32)), j = e.index(1, i32);
        x = e.select(e.atLeast(i, j), x, e.constant(0, t.wide));
        return SmallVector<Value>{e.cast(x, t.narrow)};
      });
}

void Forward::writeMean(Value g, const Matrix& state, const Matrix& mean) {
  t.map({state, t.uniform(meanScale(g), state.rows, state.columns)}, {mean},
        [&](ElementwiseBuilder e, ValueRange v) {
          return SmallVector<Value>{e.cast(e.mul(v[0], v[1]), t.narrow)};
        });
}

void Forward::addChunk(Value g, const LeftMatrix& keys, const PackedMatrix& values,
                       const Matrix& state) {
  // Nobody reads the sum after the last chunk.
  b.ifThen(b.lessThan(g, b.constant(size.chunks - 1)),
           [&] { t.multiply(keys, values, state, /*accumulate=*/true); });
}

void Forward::emitTile(Value g, Value tile, Value first, int64_t width, const LeftMatrix& keys,
                       const Matrix& values) {
  Value zero = b.constant(0);
  Matrix read = t.part(means, 0, size.lin, 0, width), state;
  if (saved) read = t.part(meansOf(*saved, g), zero, size.lin, first, width);
  if (phase == Phase::All) {
    state = t.part(sum, b.mul(tile, size.lin), size.lin, zero, width);
    writeMean(g, state, read);
  }
  int64_t depth = aligned + size.chunk;
  PackedMatrix right = t.pack(valueBuffer, read, depth, zero);
  t.pack(valueBuffer, t.part(values, zero, size.chunk, first, width), depth, b.constant(aligned));
  const TensorValue* result = resultOf(f, op.getResult());
  if (result) {
    Matrix target = t.part(chunkOf(*result, g), zero, size.chunk, first, width);
    Matrix next = t.part(values, zero, size.chunk, b.add(first, width), width);
    forRowBlocks([&](int64_t from, int64_t rows) {
      int64_t steps = aligned + from + rows;
      t.multiplyMap(
          t.part(left, from, rows, 0, steps), t.part(right, 0, steps, 0, width), {},
          {t.part(target, from, rows, 0, width)},
          [&](ElementwiseBuilder e, ValueRange v) {
            return SmallVector<Value>{e.cast(v[0], t.narrow)};
          },
          t.part(next, from, rows, 0, width));
    });
  }
  if (phase == Phase::All) addChunk(g, keys, t.part(right, aligned, size.chunk, 0, width), state);
}

LogicalResult Forward::emitSums(Value batchRow, Value first, int64_t width) {
  row = batchRow;
  Matrix state = t.part(sum, 0, size.lin, 0, width);
  t.fill(state, 0);
  b.loop(0, size.chunks, 1, [&](Value g) {
    writeMean(g, state, t.part(meansOf(*saved, g), b.constant(0), size.lin, first, width));
    Matrix keys = chunkOf(f.tensors[in.linK], g, linKCopy),
           values = chunkOf(f.tensors[in.v], g, valuesCopy, first, width);
    addChunk(g, keys.transposed(), t.pack(valueBuffer, values), state);
  });
  return t.status;
}

void Forward::emitChunk(Value g) {
  Matrix quadQ = chunkOf(f.tensors[in.quadQ], g, quadQCopy),
         quadK = chunkOf(f.tensors[in.quadK], g, quadKCopy),
         linQ = chunkOf(f.tensors[in.linQ], g, linQCopy),
         linK = chunkOf(f.tensors[in.linK], g, linKCopy),
         values = chunkOf(f.tensors[in.v], g, valuesCopy);
  PackedMatrix keys = t.pack(keyBuffer, quadK.transposed());
  forRowBlocks([&](int64_t from, int64_t rows) { emitWeights(from, rows, quadQ, keys); });
  t.copy(linQ, t.part(left, 0, size.chunk, 0, size.lin));
  LeftMatrix keysOfSum = linK.transposed();
  if (phase == Phase::All) keysOfSum = t.packLeft(linKBuffer, keysOfSum.source);
  forTiles([&](Value tile, Value first, int64_t width) {
    emitTile(g, tile, first, width, keysOfSum, values);
  });
}

}  // namespace

LogicalResult emitMixedChunks(KernelFunction& f, Operation* operation) {
  auto op = cast<MixedChunksOp>(operation);
  MixedInputs in(op);
  ChunkSizes size(in);
  const TensorValue* saved = op.getMeans() ? resultOf(f, op.getMeans()) : nullptr;
  LogicalResult result = success();
  auto check = [&](LogicalResult part) {
    if (failed(part)) result = failure();
  };
  if (!size.inPhases()) {
    f.b.parallelLoop(size.batch, size.work() >= kParallelWork, [&](Value row) {
      check(Forward(f, op, in, size, saved, Phase::All).emitRow(row));
    });
    return result;
  }
  TensorValue states;
  if (!saved) {
    states = sharedStates(f, size, getElementTypeOrSelf(op.getV().getType()));
    saved = &states;
  }
  forPhases(
      f, size,
      [&](Value row, Value first, int64_t width) {
        check(Forward(f, op, in, size, saved, Phase::Sums).emitSums(row, first, width));
      },
      [&](Value row, Value g) {
        check(Forward(f, op, in, size, saved, Phase::Chunks).emitOneChunk(row, g));
      });
  return result;
}

}  // namespace weir
