// weir.logit_statistics_vjp.
//
// Each thread takes a part of the classes and, for a group of blocks of tokens, all pairs of
// blocks: the weight's cotangent is added up in place, the tokens' in a buffer for each part of the
// classes. Those are added in their order before the next group, so that buffers are no larger than
// a group.

#include "compiler/conversion/cpu/logit_blocks.h"
#include "compiler/dialect/loss_ops.h"

namespace weir {

using namespace mlir;

namespace {

/// Blocks of tokens of a group.
constexpr int64_t kGroup = 4;

class Backward : public Logits {
 public:
  Backward(KernelFunction& f, const LogitSizes& size, LogitStatisticsVjpOp op)
      : Logits(f, size, op.getX(), op.getWeight(), op.getTargets()),
        op(op),
        dx(resultOf(f, op.getDx())),
        dweight(resultOf(f, op.getDweight())) {}

  LogicalResult emit();

 private:
  /// Blocks of tokens of one size: `perRow` in each row, from token `first` on.
  struct Blocks {
    int64_t perRow, first, count;
    bool isFirst;
  };
  /// What a thread has for a group.
  struct Work {
    ThreadMatrices& t;
    Matrix scores, cotangents;
    Value columns, rows, classes;
    /// For each token of the group's block i, in row i: the cotangent of its target's logit.
    Matrix ofTargets;
    Value part, from, number;
    const Blocks& blocks;
  };

  void emitBlocks(const Blocks& blocks);
  void emitPart(const Blocks& blocks, Value part, Value from, Value number);
  void emitClasses(Work& w, Value first, int64_t rows);
  void emitPair(Work& w, Value i, Value first, int64_t rows, const PackedMatrix& classes);
  void addParts(const Blocks& blocks, Value from, Value number);
  TokenBlock blockOf(const Blocks& blocks, Value number) {
    Value at = b.add(b.mul(b.rem(number, blocks.perRow), blocks.count), blocks.first);
    return {b.div(number, blocks.perRow), at, blocks.count};
  }
  /// The buffer for block i of a group's tokens and a part of the classes.
  Matrix partial(const Blocks& blocks, Value part, Value i) {
    Matrix m;
    m.access.memref = partials;
    m.access.base = b.mul(b.add(b.mul(part, kGroup), i), size.tokenBlock * size.features);
    m.access.strides = {size.features, 1};
    m.access.element = wide;
    m.access.tile = true;
    m.rows = blocks.count;
    m.columns = size.features;
    return m;
  }

  LogitStatisticsVjpOp op;
  const TensorValue *dx, *dweight;
  Value partials;
  LogicalResult status = success();
};

LogicalResult Backward::emit() {
  int64_t elements = size.parts() * kGroup * size.tokenBlock * size.features;
  if (dx)
    partials = b.view(f.sharedScratch, b.constant(f.shared.reserve(elements * storageBytes(wide))),
                      elements, wide);
  ScratchPlan before = f.thread;
  emitBlocks({size.fullTokens(), 0, size.tokenBlock, true});
  int64_t used = f.thread.size();
  f.thread = before;
  if (size.restTokens()) emitBlocks({1, size.time - size.restTokens(), size.restTokens(), false});
  f.thread.growTo(used);
  return status;
}

void Backward::emitBlocks(const Blocks& blocks) {
  int64_t count = size.batch * blocks.perRow;
  b.loop(0, count, kGroup, [&](Value from) {
    Value number = b.minimum(b.constant(kGroup), b.sub(b.constant(count), from));
    b.parallelLoop(size.parts(), true, [&](Value part) { emitPart(blocks, part, from, number); });
    if (dx) addParts(blocks, from, number);
  });
}

void Backward::emitPart(const Blocks& blocks, Value part, Value from, Value number) {
  ThreadMatrices t(f, narrow, wide, f.threadOffset(), size.least);
  int64_t tokens = blocks.count, features = size.features;
  Matrix scores = t.scratch(wide, kLogitRows, tokens),
         cotangents = t.scratch(narrow, size.classBlock, tokens),
         ofTargets = t.scratch(narrow, kGroup, tokens);
  int64_t columnBytes = t.packedBytes({{features, tokens}}),
          rowBytes = t.packedBytes({{tokens, features}});
  Value columns = t.packBuffers({{features, tokens}}, kGroup),
        rows = t.packBuffers({{tokens, features}}, kGroup),
        classes = t.packBuffer({{size.classBlock, features}});
  b.loop(b.constant(0), number, 1, [&](Value i) {
    TokenBlock block = blockOf(blocks, b.add(from, i));
    Matrix own = tokensOf(x, block);
    auto row = [&](Value value) { return rowOf(f.tensors[value], block, 1); };
    t.map({row(op.getPicked()), row(op.getLogSum()), row(op.getDLogSum()), row(op.getDPicked())},
          {t.part(ofTargets, i, 1, b.constant(0), tokens)},
          [&](ElementwiseBuilder e, ValueRange v) {
            Value ofSum = e.mul(exponential(e, e.sub(v[0], v[1])), v[2]);
            return SmallVector<Value>{e.cast(e.add(ofSum, v[3]), narrow)};
          });
    t.pack(b.offset(columns, i, columnBytes), own.transposed());
    if (dweight) t.pack(b.offset(rows, i, rowBytes), own);
    if (dx) t.fill(partial(blocks, part, i), 0);
  });
  Work w{t, scores, cotangents, columns, rows, classes, ofTargets, part, from, number, blocks};
  int64_t full = size.fullClasses(), parts = size.parts();
  auto border = [&](Value p) { return b.div(b.mul(p, full), parts); };
  b.loop(border(part), border(b.add(part, 1)), 1,
         [&](Value block) { emitClasses(w, b.mul(block, size.classBlock), size.classBlock); });
  if (int64_t rest = size.restClasses())
    b.ifThen(b.lessThan(b.constant(parts - 2), part),
             [&] { emitClasses(w, b.constant(full * size.classBlock), rest); });
  if (failed(w.t.status)) status = failure();
}

void Backward::emitClasses(Work& w, Value first, int64_t rows) {
  Matrix own = classesOf(weight, first, rows);
  PackedMatrix classes;
  if (dx) classes = w.t.pack(w.classes, own);
  if (dweight && w.blocks.isFirst) {
    b.ifThen(b.lessThan(w.from, b.constant(1)),
             [&] { w.t.fill(classesOf(*dweight, first, rows), 0); });
  }
  b.loop(b.constant(0), w.number, 1, [&](Value i) { emitPair(w, i, first, rows, classes); });
}

void Backward::emitPair(Work& w, Value i, Value first, int64_t rows, const PackedMatrix& classes) {
  ThreadMatrices& t = w.t;
  int64_t tokens = w.blocks.count;
  TokenBlock block = blockOf(w.blocks, b.add(w.from, i));
  Matrix own = tokensOf(x, block);
  PackedMatrix columns =
      t.packed(b.offset(w.columns, i, t.packedBytes({{size.features, tokens}})), own.transposed());
  Matrix cotangents = t.part(w.cotangents, 0, rows, 0, tokens);
  forBlocks(rows, kLogitRows, [&](Value at, int64_t count) {
    Matrix logits = t.part(w.scores, 0, count, 0, tokens);
    Value from = b.add(first, at);
    t.multiply(classesOf(weight, from, count), columns, logits, /*accumulate=*/false);
    auto row = [&](Value value) { return rowOf(f.tensors[value], block, count); };
    t.map(
        {logits, row(op.getLogSum()), row(op.getDLogSum())},
        {t.part(cotangents, at, count, b.constant(0), tokens)},
        [&](ElementwiseBuilder e, ValueRange v) {
          return SmallVector<Value>{e.cast(e.mul(exponential(e, e.sub(v[0], v[1])), v[2]), narrow)};
        });
  });
  forTargets(block, first, rows, [&](Value token, Value row) {
    t.copy(t.part(w.ofTargets, i, 1, token, 1), t.part(cotangents, row, 1, token, 1));
  });
  if (dweight) {
    PackedMatrix right =
        t.packed(b.offset(w.rows, i, t.packedBytes({{tokens, size.features}})), own);
    Matrix sums = classesOf(*dweight, first, rows);
    sums.access.streamed = false;
    sums.access.tile = true;
    t.multiply(cotangents, right, sums, /*accumulate=*/true);
  }
  if (dx)
    t.multiply(cotangents.transposed(), classes, partial(w.blocks, w.part, i),
               /*accumulate=*/true);
}

/// The tokens' cotangents: the parts of all classes, in their order.
void Backward::addParts(const Blocks& blocks, Value from, Value number) {
  int64_t full = blocks.count / kLogitRows;
  auto add = [&](Value i, Value first, int64_t rows) {
    ThreadMatrices t(f, narrow, wide, b.constant(0));
    SmallVector<Matrix> parts;
    for (int64_t p = 0; p < size.parts(); ++p)
      parts.push_back(
          t.part(partial(blocks, b.constant(p), i), first, rows, b.constant(0), size.features));
    Matrix target = t.part(tokensOf(*dx, blockOf(blocks, b.add(from, i))), first, rows,
                           b.constant(0), size.features);
    t.map(parts, {target}, [&](ElementwiseBuilder e, ValueRange v) {
      Value sum = v[0];
      for (Value part : v.drop_front()) sum = e.add(sum, part);
      return SmallVector<Value>{e.cast(sum, target.element())};
    });
    if (failed(t.status)) status = failure();
  };
  if (full)
    b.parallelLoop(kGroup * full, true, [&](Value task) {
      Value i = b.div(task, full);
      b.ifThen(b.lessThan(i, number),
               [&] { add(i, b.mul(b.rem(task, full), kLogitRows), kLogitRows); });
    });
  if (int64_t rest = blocks.count % kLogitRows)
    b.loop(b.constant(0), number, 1, [&](Value i) { add(i, b.constant(full * kLogitRows), rest); });
}

}  // namespace

LogicalResult emitLogitStatisticsVjp(KernelFunction& f, Operation* operation) {
  auto op = cast<LogitStatisticsVjpOp>(operation);
  if (failed(checkLogitOperands(f, op))) return failure();
  SmallVector<const TensorValue*> ofTokens{resultOf(f, op.getDx())};
  for (Value operand :
       {op.getX(), op.getLogSum(), op.getPicked(), op.getDLogSum(), op.getDPicked()})
    ofTokens.push_back(&f.tensors[operand]);
  ofTokens.push_back(&f.tensors[op.getTargets()]);
  LogitSizes size(op.getX(), op.getWeight(), ofTokens);
  return Backward(f, size, op).emit();
}

}  // namespace weir
