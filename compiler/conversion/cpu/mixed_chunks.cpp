#include "compiler/conversion/cpu/mixed_chunks.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/TypeUtilities.h"

namespace weir {

using namespace mlir;

namespace {

/// Features of values that are worked on at a time, if there are many.
constexpr int64_t kTileFeatures = 256;
/// Blocks of rows of a chunk's weights, if it is long: each has code of its own.
constexpr int64_t kRowBlocks = 4, kLeastRows = 64;

int64_t tileOf(int64_t features) {
  if (features <= kTileFeatures + 64) return features;
  // Equal tiles, if there are any.
  for (int64_t tile = kTileFeatures + 64; tile >= kTileFeatures / 2; tile -= 32)
    if (features % tile == 0) return tile;
  return kTileFeatures;
}

}  // namespace

ChunkSizes::ChunkSizes(const MixedInputs& in)
    : batch(shapeOf(in.v)[0]),
      time(shapeOf(in.v)[1]),
      quad(shapeOf(in.quadK)[2]),
      lin(shapeOf(in.linK)[2]),
      features(shapeOf(in.v)[2]),
      divisor(in.chunkSize),
      chunk(std::min(time, divisor)),
      chunks(divideUp(time, chunk)),
      uneven(time % chunk != 0),
      rowBlock(std::max(kLeastRows, roundUp(divideUp(chunk, kRowBlocks), kTilePair))),
      tile(tileOf(features)) {}

void forPhases(KernelFunction& f, const ChunkSizes& size,
               function_ref<void(Value, Value, int64_t)> sums,
               function_ref<void(Value, Value)> chunks) {
  KernelBuilder& b = f.b;
  bool parallel = size.work() >= kParallelWork;
  // The phases' scratch memory is the same.
  ScratchPlan before = f.thread;
  int64_t used = 0;
  auto phase = [&](int64_t count, function_ref<void(Value)> body) {
    if (count == 0) return;
    f.thread = before;
    b.parallelLoop(count, parallel, body);
    used = std::max(used, f.thread.size());
  };
  int64_t full = size.features / size.tile, rest = size.features % size.tile;
  phase(size.batch * full,
        [&](Value i) { sums(b.div(i, full), b.mul(b.rem(i, full), size.tile), size.tile); });
  phase(rest ? size.batch : 0, [&](Value row) { sums(row, b.constant(full * size.tile), rest); });
  phase(size.batch * size.chunks,
        [&](Value i) { chunks(b.div(i, size.chunks), b.rem(i, size.chunks)); });
  f.thread.growTo(used);
}

TensorValue sharedStates(KernelFunction& f, const ChunkSizes& size, Type element) {
  TensorValue states;
  states.element = element;
  states.shape = {size.batch, size.chunks, size.lin, size.features};
  states.strides = denseStrides(states.shape);
  int64_t count = ShapedType::getNumElements(states.shape);
  int64_t at = f.shared.reserve(count * storageBytes(element));
  states.memref = f.b.view(f.sharedScratch, f.b.constant(at), count, element);
  return states;
}

MixedChunks::MixedChunks(KernelFunction& f, const MixedInputs& in, const ChunkSizes& size,
                         Value threadOffset)
    : f(f),
      b(f.b),
      in(in),
      size(size),
      t(f, getElementTypeOrSelf(in.v.getType()),
        accumulatorType(getElementTypeOrSelf(in.v.getType())), threadOffset,
        std::min({size.chunk, size.quad, size.lin, size.tile})) {}

Matrix MixedChunks::chunkOf(const TensorValue& tensor, Value g) {
  Matrix m;
  m.access = f.origin(tensor);
  m.rows = size.chunk;
  m.columns = tensor.shape[2];
  Value first = b.mul(g, size.chunk);
  if (size.uneven)
    m.rowCount = b.minimum(b.constant(size.chunk), b.sub(b.constant(size.time), first));
  m.access.streamed = tensor.streamed;
  if (tensor.scalar) return m;
  m.access.base = b.offset(m.access.base, row, tensor.strides[0]);
  m.access.base = b.offset(m.access.base, first, tensor.strides[1]);
  m.access.strides = {tensor.strides[1], tensor.strides[2]};
  return m;
}

Matrix MixedChunks::chunkOf(const TensorValue& tensor, Value g, Matrix& buffer, Value first,
                            int64_t width) {
  Matrix source = t.part(chunkOf(tensor, g), b.constant(0), size.chunk, first, width);
  bool converts = source.element() != t.narrow;
  if (!size.uneven && !tensor.scalar && !converts) return source;
  if (!buffer.access.memref) buffer = t.scratch(t.narrow, source.rows, source.columns);
  Matrix present = buffer;
  present.rowCount = source.rowCount;
  t.copy(source, present);
  if (!size.uneven) return buffer;
  Matrix missing = t.part(buffer, source.rowCount, source.rows, b.constant(0), source.columns);
  missing.rowCount = b.sub(b.constant(source.rows), source.rowCount);
  t.fill(missing, 0);
  return buffer;
}

Matrix MixedChunks::meansOf(const TensorValue& means, Value g) {
  Matrix m;
  m.access = f.origin(means);
  m.rows = size.lin;
  m.columns = size.features;
  if (means.scalar) return m;
  m.access.base = b.offset(m.access.base, row, means.strides[0]);
  m.access.base = b.offset(m.access.base, g, means.strides[1]);
  m.access.strides = {means.strides[2], means.strides[3]};
  return m;
}

void MixedChunks::forRowBlocks(function_ref<void(int64_t row, int64_t rows)> body) {
  for (int64_t from = 0; from < size.chunk; from += size.rowBlock)
    body(from, std::min(size.rowBlock, size.chunk - from));
}

void MixedChunks::forTiles(function_ref<void(Value, Value, int64_t)> body) {
  int64_t full = size.features / size.tile, rest = size.features % size.tile;
  b.loop(0, full, 1, [&](Value i) { body(i, b.mul(i, size.tile), size.tile); });
  if (rest) body(b.constant(full), b.constant(full * size.tile), rest);
}

std::optional<Matrix> MixedChunks::biasMatrix(int64_t offset, int64_t rows, int64_t columns) {
  if (!in.bias) return std::nullopt;
  const TensorValue& bias = f.tensors[in.bias];
  Matrix m;
  m.access = f.origin(bias);
  m.rows = rows;
  m.columns = columns;
  if (bias.scalar) return m;
  int64_t stride = bias.strides[0], middle = (bias.shape[0] - 1) / 2;
  m.access.base = b.add(m.access.base, (middle + offset) * stride);
  m.access.strides = {stride, -stride};
  return m;
}

Value MixedChunks::scaled(ElementwiseBuilder e, Value score, Value bias) {
  Value x = e.mul(score, e.constant(1.0 / size.divisor, t.wide));
  return bias ? e.add(x, e.cast(bias, t.wide)) : x;
}

Value MixedChunks::meanScale(Value g) {
  Value number = b.maximum(g, b.constant(1));
  number = arith::IndexCastOp::create(b, b.getI64Type(), number);
  number = arith::SIToFPOp::create(b, t.wide, number);
  return arith::DivFOp::create(b, b.floatConstant(t.wide, 1.0 / size.divisor), number);
}

}  // namespace weir
