// weir.attention: online softmax over blocks of keys (FlashAttention-2, algorithm 1).
//
// A thread takes a row's head: it packs keys and values once, and then, for a block of queries,
// adds up weights times values from key block to key block. Maxima and sums of a query are kept as
// it goes; the result so far is rescaled when a maximum grows.

#include "compiler/conversion/cpu/attention_blocks.h"
#include "compiler/conversion/cpu/product.h"
#include "compiler/dialect/attention_ops.h"
#include "compiler/dialect/elementwise_builder.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

namespace weir {

using namespace mlir;

namespace {

/// Scores that are not seen: finite, so that differences of two of them are numbers.
constexpr double kHidden = -1e30;

class AttentionEmitter {
 public:
  AttentionEmitter(KernelFunction& f, AttentionOp op, AttentionBlocks& a)
      : f(f),
        b(f.b),
        op(op),
        a(a),
        t(a.tiles),
        weight(f, t.compute(), 1, [&](OpBuilder& inner, ValueRange x) {
          if (a.isSoftmax()) return ValueList{x[0]};
          return ValueList{ElementwiseBuilder(inner, b.getLoc()).activation(a.s.kernel, x[0])};
        }) {}

  LogicalResult emit();

 private:
  void packHead();
  void emitQueries(Value number);
  void emitKeys(Value query, Value key);
  void softmaxColumn(Value query, Value key, Value column, Value count, bool masked);
  void activationColumn(Value query, Value key, Value column, Value count, bool masked);
  void writeResult(Value query);
  ScratchMatrix scratchSums(int64_t offset, int64_t rows) {
    return t.sums(b.add(threadOffset, offset), rows, a.queryBlock);
  }

  KernelFunction& f;
  KernelBuilder& b;
  AttentionOp op;
  AttentionBlocks& a;
  TileProducts& t;
  VectorFunction weight;
  Value threadOffset;
  /// Offsets in the thread's scratch memory.
  int64_t keyBytes = 0, valueBytes = 0, queryBytes = 0, scoreBytes = 0, weightBytes = 0,
          resultBytes = 0, stateBytes = 0;
  int64_t depth = 0, width = 0;  // padded features of keys and of values
  ScratchMatrix keyRows, valueColumns, queryColumns, scores, weights, result, state;
};

LogicalResult AttentionEmitter::emit() {
  if (failed(a.prepare())) return failure();
  depth = t.padded(a.features), width = t.padded(a.valueFeatures);
  keyBytes = f.thread.reserve(t.leftBytes(a.paddedKeys(), depth));
  valueBytes = f.thread.reserve(t.leftBytes(width * a.keyBlocks(), a.keyBlock));
  queryBytes = f.thread.reserve(t.rightBytes(depth, a.queryBlock));
  scoreBytes = f.thread.reserve(t.sumsBytes(a.keyBlock, a.queryBlock));
  if (t.matrixTiles()) weightBytes = f.thread.reserve(t.rightBytes(a.keyBlock, a.queryBlock));
  resultBytes = f.thread.reserve(t.sumsBytes(width, a.queryBlock));
  stateBytes = f.thread.reserve(t.sumsBytes(2, a.queryBlock));
  // A head's blocks of queries are dealt out to several threads where there are few heads.
  int64_t items = a.batch * a.s.heads;
  int64_t parts = std::clamp<int64_t>(divideUp(2 * CpuTarget::kWorkers, items), 1, a.queryBlocks());
  b.parallelLoop(items * parts, true, [&](Value item) {
    Value part = b.rem(item, parts), which = b.div(item, parts);
    a.enter(b.div(which, a.s.heads), b.rem(which, a.s.heads));
    threadOffset = f.threadOffset();
    packHead();
    b.loop(part, b.constant(a.queryBlocks()), parts, [&](Value number) { emitQueries(number); });
  });
  return success();
}

void AttentionEmitter::packHead() {
  keyRows = t.left(b.add(threadOffset, keyBytes), a.paddedKeys(), depth);
  valueColumns = t.left(b.add(threadOffset, valueBytes), width * a.keyBlocks(), a.keyBlock);
  queryColumns = t.right(b.add(threadOffset, queryBytes), depth, a.queryBlock);
  scores = scratchSums(scoreBytes, a.keyBlock);
  weights = t.matrixTiles() ? t.right(b.add(threadOffset, weightBytes), a.keyBlock, a.queryBlock)
                            : scores;
  result = scratchSums(resultBytes, width);
  state = scratchSums(stateBytes, 2);
  TokenRows k = a.rows(a.s.k), v = a.rows(a.s.v);
  b.loop(0, a.keyBlocks(), 1, [&](Value block) {
    Value first = b.mul(block, a.keyBlock), end = b.constant(a.keys);
    t.pack(k, first, a.keyBlock, end, {{t.fromRow(keyRows, first)}});
    t.pack(v, first, a.keyBlock, end,
           {{t.fromRow(valueColumns, b.mul(block, width)), true, /*alongDepth=*/true}});
  });
}

void AttentionEmitter::emitQueries(Value number) {
  Value query = b.mul(number, a.queryBlock);
  t.pack(a.rows(a.s.q), query, a.queryBlock, b.constant(a.queries), {{queryColumns, false}});
  b.loop(0, a.queryBlock, t.lanes(), [&](Value column) {
    b.loop(0, width, 1, [&](Value row) { t.store(a.splat(0), result, row, column); });
    t.store(a.splat(kHidden), state, b.constant(0), column);
    t.store(a.splat(0), state, b.constant(1), column);
  });
  auto [from, to] = a.keysOf(query);
  b.loop(from, to, a.keyBlock, [&](Value key) { emitKeys(query, key); });
  writeResult(query);
}

void AttentionEmitter::emitKeys(Value query, Value key) {
  Value count = a.countKeys(query, key);
  t.multiply(scores, t.fromRow(keyRows, key), queryColumns,
             {a.keyBlock, a.queryBlock, depth, count, Value()}, false);
  Value all = count ? count : b.constant(a.keyBlock);
  a.ifMasked(query, key, [&](bool masked) {
    b.loop(0, a.queryBlock, t.lanes(), [&](Value column) {
      if (a.isSoftmax())
        softmaxColumn(query, key, column, all, masked);
      else
        activationColumn(query, key, column, all, masked);
    });
  });
  t.multiply(result, t.fromRow(valueColumns, b.mul(b.div(key, a.keyBlock), width)), weights,
             {width, a.queryBlock, a.keyBlock, Value(), count}, true);
}

/// Weights of a vector of queries: exp(x - maximum) over the keys of the block.
void AttentionEmitter::softmaxColumn(Value query, Value key, Value column, Value count,
                                     bool masked) {
  AttentionBlocks::Lanes lanes = a.lanes(b.add(query, column));
  Value zero = b.constant(0), one = b.constant(1);
  // Without bias and mask scores stay as they are until they become weights.
  bool raw = !masked && !a.s.bias;
  Value before = t.load(state, zero, column);
  ValueList inits(4, a.splat(kHidden));
  ValueList maxima = b.loop(zero, count, 4, inits, [&](Value i, ValueRange current) {
    ValueList next;
    for (int64_t n = 0; n < 4; ++n) {
      Value row = b.add(i, n), at = b.add(key, row);
      Value x = t.load(scores, row, column);
      if (!raw) {
        x = a.scaled(x, lanes, at);
        if (masked)
          if (Value seen = a.visible(lanes, at))
            x = arith::SelectOp::create(b, seen, x, a.splat(kHidden));
        t.store(x, scores, row, column);
      }
      next.push_back(a.larger(x, current[n]));
    }
    return next;
  });
  Value now = a.larger(a.larger(maxima[0], maxima[1]), a.larger(maxima[2], maxima[3]));
  if (raw) now = arith::MulFOp::create(b, now, a.splat(a.scale()));
  now = a.larger(before, now);
  ValueList sums =
      b.loop(zero, count, 2, {a.splat(0), a.splat(0)}, [&](Value i, ValueRange current) {
        ValueList p, next;
        for (int64_t n = 0; n < 2; ++n) {
          Value x = t.load(scores, b.add(i, n), column);
          p.push_back(a.exponential(x, raw ? a.scale() : 1, now));
          next.push_back(arith::AddFOp::create(b, current[n], p[n]));
        }
        t.storeRight(p[0], p[1], weights, i, column);
        return next;
      });
  Value factor = a.exponential(before, 1, now);
  Value sum = arith::MulFOp::create(b, t.load(state, one, column), factor);
  sum = arith::AddFOp::create(b, sum, arith::AddFOp::create(b, sums[0], sums[1]));
  t.store(now, state, zero, column);
  t.store(sum, state, one, column);
  Value grown = arith::CmpFOp::create(b, arith::CmpFPredicate::UNE, before, now);
  Value any = vector::ReductionOp::create(b, vector::CombiningKind::OR, grown);
  b.ifThen(any, [&] {
    b.loop(0, width, 1, [&](Value row) {
      Value x = t.load(result, row, column);
      t.store(arith::MulFOp::create(b, x, factor), result, row, column);
    });
  });
}

void AttentionEmitter::activationColumn(Value query, Value key, Value column, Value count,
                                        bool masked) {
  AttentionBlocks::Lanes lanes = a.lanes(b.add(query, column));
  b.loop(b.constant(0), count, 2, [&](Value i) {
    ValueList w;
    for (int64_t n = 0; n < 2; ++n) {
      Value row = b.add(i, n), at = b.add(key, row);
      Value x = weight(a.scaled(t.load(scores, row, column), lanes, at))[0];
      if (masked)
        if (Value seen = a.visible(lanes, at)) x = arith::SelectOp::create(b, seen, x, a.splat(0));
      w.push_back(x);
    }
    t.storeRight(w[0], w[1], weights, i, column);
  });
}

/// Divides by the sums, and applies the gate.
void AttentionEmitter::writeResult(Value query) {
  Value zero = b.constant(0), one = b.constant(1), end = b.constant(a.queries);
  const TensorValue* out = resultOf(f, op.getResult());
  const TensorValue* logSum = op.getLogSum() ? resultOf(f, op.getLogSum()) : nullptr;
  if (a.isSoftmax())
    b.loop(0, a.queryBlock, t.lanes(), [&](Value column) {
      Value sum = t.load(state, one, column), first = b.add(query, column);
      t.store(arith::DivFOp::create(b, a.splat(1), sum), state, one, column);
      if (!logSum) return;
      Value value =
          arith::AddFOp::create(b, math::LogOp::create(b, sum), t.load(state, zero, column));
      Access access;
      access.memref = logSum->memref;
      access.element = logSum->element;
      Value at = b.offset(b.constant(logSum->offset), a.row, logSum->strides[0]);
      at = b.offset(b.offset(at, a.head, logSum->strides[1]), first, logSum->strides[2]);
      Value mask = vector::CreateMaskOp::create(b, VectorType::get({t.lanes()}, b.getI1Type()),
                                                ValueRange{b.sub(end, first)});
      storeVector(b, value, access, at, logSum->strides[2], mask);
    });
  if (!out) return;
  std::optional<TokenRows> gate;
  if (op.getGate()) gate = a.rows(op.getGate());
  t.unpack(
      result, a.rows(op.getResult(), *out), query, a.queryBlock, end,
      [&](Value x, Value column) -> Value {
        if (!a.isSoftmax()) return x;
        return arith::MulFOp::create(b, x, t.load(state, one, column));
      },
      [&](Value x, Value token, Value feature, Value mask) -> Value {
        if (!gate) return x;
        Value at = b.add(b.offset(gate->base, token, gate->stride), feature);
        Value g = loadVector(b, gate->access, at, 1, t.lanes(), mask);
        return arith::MulFOp::create(b, x, converted(b, g, t.compute()));
      });
}

}  // namespace

LogicalResult emitAttention(KernelFunction& f, Operation* operation) {
  auto op = cast<AttentionOp>(operation);
  bool matrixTiles =
      f.b.target.hasBf16() && cast<RankedTensorType>(op.getQ().getType()).getElementType().isBF16();
  AttentionSettings settings =
      AttentionSettings::of(op, static_cast<int64_t>(op.getNumHeads().value_or(1)));
  Type element = cast<RankedTensorType>(op.getQ().getType()).getElementType();
  int64_t panel = panelWidth(f.b.target, element.isF64() ? element : f.b.getF32Type());
  // Scores of a block stay in L1, or nearly so; wide values, which don't stay in L2, are read for
  // more queries at a time.
  bool wide = cast<RankedTensorType>(op.getV().getType()).getDimSize(2) > 256 * settings.heads;
  AttentionBlocks blocks(f, op, settings, matrixTiles ? (wide ? 128 : 64) : panel,
                         matrixTiles ? 128 : 64);
  return AttentionEmitter(f, op, blocks).emit();
}

}  // namespace weir
