// weir.mixed_chunks: rows in parallel, the chunks of a row in order, all of a chunk by one thread.
//
// The sum of lin_k^T v over earlier chunks stays in the thread's scratch memory. The weights of a
// chunk are computed a block of rows at a time and stand next to lin_q, as the values stand under
// the means: one product with both of them gives a block of rows of the result, without a visit to
// its sums in between. Values are packed once, for that product and for lin_k^T v.

#include "compiler/conversion/cpu/mixed_chunks.h"

namespace weir {

using namespace mlir;

namespace {

class Forward : public MixedChunks {
 public:
  Forward(KernelFunction& f, MixedChunksOp op, const MixedInputs& in, const ChunkSizes& size,
          Value threadOffset)
      : MixedChunks(f, in, size, threadOffset),
        op(op),
        aligned(roundUp(size.lin, t.unit())),
        sum(t.scratch(t.wide, size.tiles() * size.lin, size.tile)),
        means(t.scratch(t.narrow, size.lin, size.tile)),
        scores(t.scratch(t.wide, size.rowBlock, size.chunk)),
        left(t.scratch(t.narrow, size.chunk, aligned + size.chunk)),
        out(t.scratch(t.wide, size.rowBlock, size.tile)),
        keyBuffer(t.packBuffer({{size.quad, size.chunk}})),
        valueBuffer(t.packBuffer({{aligned + size.chunk, size.tile}})) {}

  LogicalResult emit(Value batchRow) {
    row = batchRow;
    t.fill(sum, 0);
    if (aligned > size.lin)
      t.fill(t.part(left, 0, size.chunk, size.lin, aligned - size.lin), 0);
    reverseBias();
    b.loop(0, size.chunks, 1, [&](Value g) { emitChunk(g); });
    return t.status;
  }

 private:
  void reverseBias();
  void emitChunk(Value g);
  void emitWeights(int64_t from, int64_t rows, const Matrix& queries, const PackedMatrix& keys);
  void emitTile(Value g, Value tile, Value first, int64_t width, const Matrix& keys,
                const Matrix& values);

  MixedChunksOp op;
  /// Columns of `left` before the weights: lin_q, and zeros.
  int64_t aligned;
  Matrix sum, means, scores, left, out;
  Value keyBuffer, valueBuffer;
  std::optional<Matrix> reversed;
  Matrix quadQBuffer, quadKBuffer, linQBuffer, linKBuffer, valuesBuffer;
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
  Matrix block = t.part(scores, 0, rows, 0, columns);
  t.multiply(t.part(queries, from, rows, 0, size.quad),
             t.part(keys, 0, size.quad, 0, columns), block, /*accumulate=*/false);
  SmallVector<Matrix> inputs{block};
  if (reversed) {
    // Element (i, j) is bias(from + i - j), the reversed one's at chunk - 1 - from - i + j.
    Matrix bias = *reversed;
    bias.access.base = b.add(bias.access.base, size.chunk - 1 - from);
    bias.access.strides = {-1, 1};
    inputs.push_back(bias);
  }
  t.map(inputs, {t.part(left, from, rows, aligned, columns)},
        [&](ElementwiseBuilder e, ValueRange v) {
          Value x = e.activation(in.activation, scaled(e, v[0], reversed ? v[1] : Value()));
          Type i32 = b.getI32Type();
          Value i = e.addIntegers(e.index(0, i32), e.integer(from, i32)), j = e.index(1, i32);
          x = e.select(e.atLeast(i, j), x, e.constant(0, t.wide));
          return SmallVector<Value>{e.cast(x, t.narrow)};
        });
}

void Forward::emitTile(Value g, Value tile, Value first, int64_t width, const Matrix& keys,
                       const Matrix& values) {
  Matrix state = t.part(sum, b.mul(tile, size.lin), size.lin, b.constant(0), width);
  Matrix read = t.part(means, 0, size.lin, 0, width);
  const TensorValue* saved = op.getMeans() ? resultOf(f, op.getMeans()) : nullptr;
  if (saved) read = t.part(meansOf(*saved, g), b.constant(0), size.lin, first, width);
  t.map({state, t.uniform(meanScale(g), size.lin, width)}, {read},
        [&](ElementwiseBuilder e, ValueRange v) {
          return SmallVector<Value>{e.cast(e.mul(v[0], v[1]), t.narrow)};
        });
  Matrix own = t.part(values, b.constant(0), size.chunk, first, width);
  int64_t depth = aligned + size.chunk;
  PackedMatrix right = t.pack(valueBuffer, read, depth, 0);
  t.pack(valueBuffer, own, depth, aligned);
  const TensorValue* result = resultOf(f, op.getResult());
  if (result) {
    Matrix target = t.part(chunkOf(*result, g), b.constant(0), size.chunk, first, width);
    forRowBlocks([&](int64_t from, int64_t rows) {
      int64_t steps = aligned + from + rows;
      Matrix block = t.part(out, 0, rows, 0, width);
      t.multiply(t.part(left, from, rows, 0, steps), t.part(right, 0, steps, 0, width), block,
                 /*accumulate=*/false);
      t.copy(block, t.part(target, from, rows, 0, width));
    });
  }
  // Nobody reads the sum after the last chunk.
  b.ifThen(b.lessThan(g, b.constant(size.chunks - 1)), [&] {
    t.multiply(keys.transposed(), t.part(right, aligned, size.chunk, 0, width), state,
               /*accumulate=*/true);
  });
}

void Forward::emitChunk(Value g) {
  Matrix quadQ = chunkOf(f.tensors[in.quadQ], g, quadQBuffer),
         quadK = chunkOf(f.tensors[in.quadK], g, quadKBuffer),
         linQ = chunkOf(f.tensors[in.linQ], g, linQBuffer),
         linK = chunkOf(f.tensors[in.linK], g, linKBuffer),
         values = chunkOf(f.tensors[in.v], g, valuesBuffer);
  PackedMatrix keys = t.pack(keyBuffer, quadK.transposed());
  forRowBlocks([&](int64_t from, int64_t rows) { emitWeights(from, rows, quadQ, keys); });
  t.copy(linQ, t.part(left, 0, size.chunk, 0, size.lin));
  forTiles([&](Value tile, Value first, int64_t width) {
    emitTile(g, tile, first, width, linK, values);
  });
}

}  // namespace

LogicalResult emitMixedChunks(KernelFunction& f, Operation* operation) {
  auto op = cast<MixedChunksOp>(operation);
  MixedInputs in(op);
  ChunkSizes size(in);
  LogicalResult result = success();
  f.b.parallelLoop(size.batch, size.work() >= kParallelWork, [&](Value row) {
    result = Forward(f, op, in, size, f.threadOffset()).emit(row);
  });
  return result;
}

}  // namespace weir
