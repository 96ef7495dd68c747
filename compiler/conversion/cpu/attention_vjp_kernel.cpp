// weir.attention_vjp: FlashAttention-2, algorithm 2.
//
// A thread takes a row's head, packs all six operands once, and walks blocks of keys. For each
// block of queries that sees them it computes scores and their cotangents again, and adds to the
// cotangents of that block's keys and values, and of its queries, which stay in scratch memory
// until the head is done. Sums run in an order that depends on shapes only.

#include "compiler/conversion/cpu/attention_blocks.h"
#include "compiler/conversion/cpu/product.h"
#include "compiler/dialect/attention_ops.h"
#include "compiler/dialect/elementwise_builder.h"
#include "compiler/dialect/region_ops.h"
#include "compiler/dialect/region_vjp.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

namespace weir {

using namespace mlir;

namespace {

/// (x, dw) -> (w, dx) of w = kernel(x).
ValueList weightAndGradient(OpBuilder& b, Location loc, StringRef kernel, ValueRange arguments) {
  Region scratch;
  Type type = arguments[0].getType();
  Block* body;
  {
    OpBuilder::InsertionGuard guard(b);
    body = b.createBlock(&scratch, {}, {type}, {loc});
    YieldOp::create(b, loc, ElementwiseBuilder(b, loc).activation(kernel, body->getArgument(0)));
  }
  RegionVjp vjp(b, *body, arguments[0]);
  SmallVector<Value> gradients;
  if (failed(vjp.pullBack(arguments[1], {true}, gradients))) return {};
  Value gradient = gradients[0];
  if (!gradient) gradient = ElementwiseBuilder(b, loc).constant(0, type);
  return {vjp.yield(0), gradient};
}

class AttentionVjpEmitter {
 public:
  AttentionVjpEmitter(KernelFunction& f, AttentionVjpOp op, AttentionBlocks& a)
      : f(f),
        b(f.b),
        op(op),
        a(a),
        t(a.tiles),
        activation(f, t.compute(), 2, [&](OpBuilder& inner, ValueRange v) {
          if (a.isSoftmax()) return ValueList(v);
          return weightAndGradient(inner, b.getLoc(), a.s.kernel, v);
        }) {}

  LogicalResult emit();

 private:
  void reserve();
  void enterHead();
  void packQueries();
  void packKeys();
  void emitKeys(Value key);
  void emitPair(Value query, Value key);
  void column(Value query, Value key, Value column, Value count, bool masked);
  void addDiagonals(Value query, Value key, Value count);
  void writeTokens(ScratchMatrix sums, Value result, Value first, int64_t features, double factor);
  void writeQueries();
  LogicalResult sumDiagonals();

  KernelFunction& f;
  KernelBuilder& b;
  AttentionVjpOp op;
  AttentionBlocks& a;
  TileProducts& t;
  VectorFunction activation;
  Value threadOffset, partialBias;
  int64_t depth = 0, width = 0;  // padded features of keys and of values
  int64_t margin = 0;            // columns of zeros on both sides of dx, for diagonals
  int64_t biasSize = 0;
  /// A matrix of the thread's scratch memory that has yet to get its place.
  struct Reserved {
    ScratchMatrix* matrix;
    int64_t offset, rows, columns;
    enum { Left, Right, Sums } kind;
  };
  SmallVector<Reserved> reserved;
  ScratchMatrix keyRows, keyColumns, valueRows, queryColumns, queryDepth, outColumns, outDepth;
  ScratchMatrix scores, weightCotangents, weights, scoreRows, scoreDepth, dq, dk, dv, state;
};

void AttentionVjpEmitter::reserve() {
  auto add = [&](ScratchMatrix& matrix, decltype(Reserved::kind) kind, int64_t rows,
                 int64_t columns) {
    int64_t bytes = kind == Reserved::Left    ? t.leftBytes(rows, columns)
                    : kind == Reserved::Right ? t.rightBytes(rows, columns)
                                              : t.sumsBytes(rows, columns);
    reserved.push_back({&matrix, f.thread.reserve(bytes), rows, columns, kind});
  };
  int64_t q = a.queryBlock, k = a.keyBlock;
  margin = a.s.bias ? t.lanes() : 0;
  add(keyRows, Reserved::Left, a.paddedKeys(), depth);
  add(keyColumns, Reserved::Left, a.keyBlocks() * depth, k);
  add(valueRows, Reserved::Left, a.paddedKeys(), width);
  add(queryColumns, Reserved::Right, a.queryBlocks() * depth, q);
  add(outColumns, Reserved::Right, a.queryBlocks() * width, q);
  add(queryDepth, Reserved::Right, a.paddedQueries(), depth);
  add(outDepth, Reserved::Right, a.paddedQueries(), width);
  add(scores, Reserved::Sums, k, q);
  add(weightCotangents, Reserved::Sums, k, q + 2 * margin);
  if (t.matrixTiles()) {
    add(weights, Reserved::Left, k, q);
    add(scoreRows, Reserved::Left, k, q);
    add(scoreDepth, Reserved::Right, k, q);
  }
  add(dq, Reserved::Sums, a.queryBlocks() * depth, q);
  add(dk, Reserved::Sums, k, depth);
  add(dv, Reserved::Sums, k, width);
  if (a.isSoftmax()) add(state, Reserved::Sums, 2, a.paddedQueries());
}

void AttentionVjpEmitter::enterHead() {
  threadOffset = f.threadOffset();
  for (const Reserved& r : reserved) {
    Value offset = b.add(threadOffset, r.offset);
    *r.matrix = r.kind == Reserved::Left    ? t.left(offset, r.rows, r.columns)
                : r.kind == Reserved::Right ? t.right(offset, r.rows, r.columns)
                                            : t.sums(offset, r.rows, r.columns);
  }
  weightCotangents.column = b.constant(margin);
  if (!t.matrixTiles()) {
    // What products read is what they write: weights in place of scores, dx in place of dw.
    weights = scores;
    scoreRows = scoreDepth = weightCotangents;
  }
  auto clear = [&](ScratchMatrix matrix, int64_t rows, int64_t columns) {
    b.loop(0, rows, 1, [&](Value row) {
      b.loop(0, columns, t.lanes(), [&](Value at) { t.store(a.splat(0), matrix, row, at); });
    });
  };
  clear(dq, a.queryBlocks() * depth, a.queryBlock);
  if (margin == 0) return;
  ScratchMatrix before = weightCotangents, after = weightCotangents;
  before.column = b.constant(0);
  after.column = b.constant(margin + a.queryBlock);
  clear(before, a.keyBlock, margin);
  clear(after, a.keyBlock, margin);
}

/// Queries and cotangents of the result in both orders; with a softmax log_sum and the products of
/// cotangent and result, too.
void AttentionVjpEmitter::packQueries() {
  TokenRows q = a.rows(a.s.q), cotangent = a.rows(op.getCotangent());
  Value end = b.constant(a.queries);
  b.loop(0, a.queryBlocks(), 1, [&](Value block) {
    Value first = b.mul(block, a.queryBlock);
    t.pack(q, first, a.queryBlock, end,
           {{t.fromDepth(queryColumns, b.mul(block, depth)), false},
            {t.fromDepth(queryDepth, first), false, /*alongDepth=*/true}});
    t.pack(cotangent, first, a.queryBlock, end,
           {{t.fromDepth(outColumns, b.mul(block, width)), false},
            {t.fromDepth(outDepth, first), false, /*alongDepth=*/true}});
  });
  if (!a.isSoftmax()) return;
  const TensorValue& logSum = f.tensors[op.getLogSum()];
  TokenRows out = a.rows(op.getOut());
  int64_t lanes = t.lanes();
  auto maskType = VectorType::get({lanes}, b.getI1Type());
  b.loop(0, a.paddedQueries(), lanes, [&](Value query) {
    Value mask = vector::CreateMaskOp::create(b, maskType, ValueRange{b.sub(end, query)});
    Access access;
    access.memref = logSum.memref;
    access.scalar = logSum.scalar;
    access.element = logSum.element;
    Value at = b.constant(logSum.offset);
    int64_t stride = 0;
    if (!logSum.scalar) {
      stride = logSum.strides[2];
      at = b.offset(b.offset(at, a.row, logSum.strides[0]), a.head, logSum.strides[1]);
      at = b.offset(at, query, stride);
    }
    t.store(loadVector(b, access, at, stride, lanes, mask), state, b.constant(0), query);
    t.store(a.splat(0), state, b.constant(1), query);
  });
  b.loop(b.constant(0), end, 1, [&](Value query) {
    auto place = [&](const TokenRows& rows, Value feature) {
      return b.add(b.offset(rows.base, query, rows.stride), feature);
    };
    Value total =
        b.loop(b.constant(0), b.constant(a.valueFeatures), lanes, ValueRange{a.splat(0)},
               [&](Value feature, ValueRange current) {
                 Value mask = vector::CreateMaskOp::create(
                     b, maskType, ValueRange{b.sub(b.constant(a.valueFeatures), feature)});
                 ValueList both;
                 for (const TokenRows* rows : {&out, &cotangent}) {
                   Value x = loadVector(b, rows->access, place(*rows, feature), 1, lanes, mask);
                   if (rows->access.isScalar())
                     x = arith::SelectOp::create(b, mask, x, b.floatConstant(x.getType(), 0.0));
                   both.push_back(converted(b, x, t.compute()));
                 }
                 Value product = arith::MulFOp::create(b, both[0], both[1]);
                 return ValueList{arith::AddFOp::create(b, current[0], product)};
               })[0];
    Value delta = vector::ReductionOp::create(b, vector::CombiningKind::ADD, total);
    memref::StoreOp::create(b, delta, state.memref, ValueRange{b.constant(1), query});
  });
}

void AttentionVjpEmitter::packKeys() {
  TokenRows k = a.rows(a.s.k), v = a.rows(a.s.v);
  Value end = b.constant(a.keys);
  b.loop(0, a.keyBlocks(), 1, [&](Value block) {
    Value first = b.mul(block, a.keyBlock);
    t.pack(k, first, a.keyBlock, end,
           {{t.fromRow(keyRows, first)},
            {t.fromRow(keyColumns, b.mul(block, depth)), true, /*alongDepth=*/true}});
    t.pack(v, first, a.keyBlock, end, {{t.fromRow(valueRows, first)}});
  });
}

void AttentionVjpEmitter::emitKeys(Value key) {
  for (auto [matrix, columns] : {std::pair(dk, depth), std::pair(dv, width)})
    b.loop(0, a.keyBlock, 1, [&, matrix = matrix, columns = columns](Value row) {
      b.loop(0, columns, t.lanes(), [&](Value at) { t.store(a.splat(0), matrix, row, at); });
    });
  auto [from, to] = a.queryBlocksOf(key);
  b.loop(from, to, 1, [&](Value block) { emitPair(b.mul(block, a.queryBlock), key); });
  writeTokens(dk, op.getDk(), key, a.features, a.scale());
  writeTokens(dv, op.getDv(), key, a.valueFeatures, 1);
}

void AttentionVjpEmitter::emitPair(Value query, Value key) {
  int64_t q = a.queryBlock, k = a.keyBlock;
  Value queryNumber = b.div(query, q), keyNumber = b.div(key, k), count = a.countKeys(query, key);
  t.multiply(scores, t.fromRow(keyRows, key), t.fromDepth(queryColumns, b.mul(queryNumber, depth)),
             {k, q, depth, count, {}}, false);
  t.multiply(weightCotangents, t.fromRow(valueRows, key),
             t.fromDepth(outColumns, b.mul(queryNumber, width)), {k, q, width, count, {}}, false);
  Value all = count ? count : b.constant(k);
  a.ifMasked(query, key, [&](bool masked) {
    b.loop(0, q, t.lanes(), [&](Value at) { column(query, key, at, all, masked); });
  });
  if (a.s.bias) addDiagonals(query, key, all);
  t.multiply(dv, weights, t.fromDepth(outDepth, query), {k, width, q, count, {}}, true);
  t.multiply(dk, scoreRows, t.fromDepth(queryDepth, query), {k, depth, q, count, {}}, true);
  t.multiply(t.fromRow(dq, b.mul(queryNumber, depth)),
             t.fromRow(keyColumns, b.mul(keyNumber, depth)), scoreDepth, {depth, q, k, {}, count},
             true);
}

/// Weights and cotangents of scores, for a vector of queries and all keys of the block.
void AttentionVjpEmitter::column(Value query, Value key, Value column, Value count, bool masked) {
  AttentionBlocks::Lanes lanes = a.lanes(b.add(query, column));
  ValueList rows;
  if (a.isSoftmax())
    for (int64_t i : {0, 1}) rows.push_back(t.load(state, b.constant(i), lanes.query));
  b.loop(b.constant(0), count, 2, [&](Value i) {
    ValueList w, dx;
    for (int64_t n = 0; n < 2; ++n) {
      Value row = b.add(i, n), at = b.add(key, row);
      Value x = t.load(scores, row, column), dw = t.load(weightCotangents, row, column);
      ValueList results;
      if (a.isSoftmax()) {
        bool raw = !a.s.bias;
        if (!raw) x = a.scaled(x, lanes, at);
        results = {a.exponential(x, raw ? a.scale() : 1, rows[0])};
        results.push_back(
            arith::MulFOp::create(b, results[0], arith::SubFOp::create(b, dw, rows[1])));
      } else {
        results = activation({a.scaled(x, lanes, at), dw});
      }
      Value seen = masked ? a.visible(lanes, at) : Value();
      for (Value& value : results)
        if (seen) value = arith::SelectOp::create(b, seen, value, a.splat(0));
      w.push_back(results[0]);
      dx.push_back(results[1]);
      if (a.s.bias && t.matrixTiles()) t.store(results[1], weightCotangents, row, column);
    }
    t.storeLeft(w[0], w[1], weights, i, column);
    t.storeLeft(dx[0], dx[1], scoreRows, i, column);
    if (t.matrixTiles()) t.storeRight(dx[0], dx[1], scoreDepth, i, column);
  });
}

/// Adds the sums along the diagonals of dx: `lanes` of them at a time, each row of keys one place
/// further along.
void AttentionVjpEmitter::addDiagonals(Value query, Value key, Value count) {
  int64_t lanes = t.lanes();
  Value item = b.add(b.mul(a.row, a.s.heads), a.head);
  // The diagonal of query + d and key is d places from that of the two first.
  b.loop(b.sub(b.constant(0), b.constant(roundUp(a.keyBlock, lanes))), b.constant(a.queryBlock),
         lanes, [&](Value d) {
           Value from = b.maximum(b.constant(0), b.sub(b.constant(1 - lanes), d));
           Value to = b.minimum(count, b.sub(b.constant(a.queryBlock), d));
           Value sum =
               b.loop(from, to, 1, ValueRange{a.splat(0)}, [&](Value i, ValueRange current) {
                 Value x = t.load(weightCotangents, i, b.add(d, i));
                 return ValueList{arith::AddFOp::create(b, current[0], x)};
               })[0];
           Value place = b.add(b.mul(item, biasSize),
                               b.add(b.sub(b.add(query, d), key), a.paddedKeys() + a.keyBlock));
           Value before = vector::LoadOp::create(b, a.vectorType, partialBias, ValueRange{place});
           vector::StoreOp::create(b, arith::AddFOp::create(b, before, sum), partialBias,
                                   ValueRange{place});
         });
}

/// Rows of sums to the tokens from `first` on.
void AttentionVjpEmitter::writeTokens(ScratchMatrix sums, Value result, Value first,
                                      int64_t features, double factor) {
  const TensorValue* storage = resultOf(f, result);
  if (!storage) return;
  TokenRows target = a.rows(result, *storage);
  int64_t lanes = t.lanes();
  Value count = b.minimum(b.constant(a.keyBlock), b.sub(b.constant(a.keys), first));
  b.loop(b.constant(0), count, 1, [&](Value row) {
    b.loop(0, features, lanes, [&](Value feature) {
      Value mask = vector::CreateMaskOp::create(b, VectorType::get({lanes}, b.getI1Type()),
                                                ValueRange{b.sub(b.constant(features), feature)});
      Value x = t.load(sums, row, feature);
      if (factor != 1) x = arith::MulFOp::create(b, x, a.splat(factor));
      Value at = b.add(b.offset(target.base, b.add(first, row), target.stride), feature);
      storeVector(b, converted(b, x, storage->element), target.access, at, 1, mask);
    });
  });
}

void AttentionVjpEmitter::writeQueries() {
  const TensorValue* storage = resultOf(f, op.getDq());
  if (!storage) return;
  TokenRows target = a.rows(op.getDq(), *storage);
  b.loop(0, a.queryBlocks(), 1, [&](Value block) {
    t.unpack(t.fromRow(dq, b.mul(block, depth)), target, b.mul(block, a.queryBlock), a.queryBlock,
             b.constant(a.queries), [&](Value x, Value) -> Value {
               return arith::MulFOp::create(b, x, a.splat(a.scale()));
             });
  });
}

/// The bias's cotangent: the parts of all rows and heads, in their order.
LogicalResult AttentionVjpEmitter::sumDiagonals() {
  const TensorValue* storage = op.getDbias() ? resultOf(f, op.getDbias()) : nullptr;
  if (!storage) return success();
  int64_t origin = (storage->shape[0] - 1) / 2, items = a.batch * a.s.heads;
  // Where the first diagonal is among a part's; diagonals beyond those are of no query and key.
  int64_t shift = a.paddedKeys() + a.keyBlock - a.older - origin;
  Access access;
  access.memref = storage->memref;
  access.element = storage->element;
  b.loop(0, storage->shape[0], 1, [&](Value d) {
    Value at = b.add(d, shift);
    Value inside = arith::AndIOp::create(b, b.lessThan(b.constant(-1), at),
                                         b.lessThan(at, b.constant(biasSize)));
    Value last = arith::SelectOp::create(b, inside, b.constant(items), b.constant(0));
    at = b.maximum(b.constant(0), b.minimum(at, b.constant(biasSize - 1)));
    Value sum = b.loop(b.constant(0), last, 1, ValueRange{b.floatConstant(t.compute(), 0.0)},
                       [&](Value item, ValueRange current) {
                         Value x = memref::LoadOp::create(
                             b, partialBias, ValueRange{b.add(b.mul(item, biasSize), at)});
                         return ValueList{arith::AddFOp::create(b, current[0], x)};
                       })[0];
    if (storage->element != t.compute()) {
      if (storage->element.getIntOrFloatBitWidth() < t.compute().getIntOrFloatBitWidth())
        sum = arith::TruncFOp::create(b, storage->element, sum);
      else
        sum = arith::ExtFOp::create(b, storage->element, sum);
    }
    storeScalar(b, sum, access, b.offset(b.constant(storage->offset), d, storage->strides[0]));
  });
  return success();
}

LogicalResult AttentionVjpEmitter::emit() {
  if (failed(a.prepare())) return failure();
  depth = t.padded(a.features), width = t.padded(a.valueFeatures);
  reserve();
  int64_t items = a.batch * a.s.heads;
  if (a.s.bias) {
    biasSize = roundUp(a.paddedQueries() + a.paddedKeys() + 2 * a.keyBlock + t.lanes(), 16);
    int64_t offset = f.shared.reserve(items * biasSize * storageBytes(t.compute()));
    partialBias = b.view(f.sharedScratch, b.constant(offset), items * biasSize, t.compute());
  }
  b.parallelLoop(items, true, [&](Value item) {
    a.enter(b.div(item, a.s.heads), b.rem(item, a.s.heads));
    enterHead();
    if (a.s.bias) {
      Value first = b.mul(item, biasSize);
      b.loop(0, biasSize, t.lanes() >= 8 ? 8 : 4, [&](Value d) {
        auto type = VectorType::get({t.lanes() >= 8 ? 8 : 4}, t.compute());
        vector::StoreOp::create(b, b.floatConstant(type, 0.0), partialBias,
                                ValueRange{b.add(first, d)});
      });
    }
    packQueries();
    packKeys();
    b.loop(0, a.paddedKeys(), a.keyBlock, [&](Value key) { emitKeys(key); });
    writeQueries();
  });
  return sumDiagonals();
}

}  // namespace

LogicalResult emitAttentionVjp(KernelFunction& f, Operation* operation) {
  auto op = cast<AttentionVjpOp>(operation);
  Type element = cast<RankedTensorType>(op.getQ().getType()).getElementType();
  bool matrixTiles = f.b.target.hasBf16() && element.isBF16();
  AttentionSettings settings = AttentionSettings::of(op, static_cast<int64_t>(op.getNumHeads()));
  int64_t panel = panelWidth(f.b.target, element.isF64() ? element : f.b.getF32Type());
  AttentionBlocks blocks(f, op, settings, matrixTiles ? 128 : panel, matrixTiles ? 128 : 64);
  return AttentionVjpEmitter(f, op, blocks).emit();
}

}  // namespace weir
