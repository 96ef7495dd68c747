// weir.logit_statistics and its gradient, on blocks of tokens and classes.
//
// Logits are computed with classes as rows, so that the lanes of a vector are tokens: a maximum or
// a sum over classes is a vector. A few rows at a time stay in the second cache.
//
// Forward, a thread takes a block of tokens through all classes. Backward, each thread takes a part
// of the classes and, for a group of blocks of tokens, all pairs of blocks: the weight's cotangent
// is added up in place, the tokens' in a buffer for each part of the classes. Those are added in
// their order before the next group, so that buffers are no larger than a group.

#include <algorithm>
#include <limits>

#include "compiler/conversion/cpu/math_expansion.h"
#include "compiler/conversion/cpu/thread_matrices.h"
#include "compiler/dialect/linalg_builder.h"
#include "compiler/dialect/loss_ops.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/TypeUtilities.h"

namespace weir {

using namespace mlir;

namespace {

/// Classes whose logits are computed at a time.
constexpr int64_t kRows = 64;
/// Most and fewest tokens, or classes, of a block, and how many elements of features it has if it
/// may choose.
constexpr int64_t kLargestBlock = 512, kSmallestBlock = 128, kBlockElements = 1 << 18;
/// Blocks of tokens of a group.
constexpr int64_t kGroup = 4;
/// How far logits may be above all before them: exponentials are taken relative to the largest of
/// those, so that logits are visited once.
constexpr double kMostGrowth = 60;

bool isRow(const TensorValue& tensor) {
  return tensor.scalar || tensor.shape[0] == 1 ||
         tensor.strides[0] == tensor.shape[1] * tensor.strides[1];
}

/// Sizes of the work; they depend on shapes only, and on how tensors lie in memory.
struct LogitSizes {
  LogitSizes(Value x, Value weight, ArrayRef<const TensorValue*> ofTokens)
      : batch(shapeOf(x)[0]),
        time(shapeOf(x)[1]),
        features(shapeOf(x)[2]),
        classes(shapeOf(weight)[0]) {
    // Rows that follow each other are one.
    isFlat = llvm::all_of(ofTokens, [](const TensorValue* t) { return !t || isRow(*t); });
    if (isFlat) time *= batch, batch = 1;
    int64_t block =
        std::clamp(kBlockElements / features / kRows * kRows, kSmallestBlock, kLargestBlock);
    tokenBlock = std::min(time, block);
    classBlock = std::min(roundUp(divideUp(classes, CpuTarget::kWorkers), kRows), block);
    least = std::min({features, tokenBlock, classes, kRows});
  }

  int64_t fullTokens() const { return time / tokenBlock; }
  int64_t restTokens() const { return time % tokenBlock; }
  int64_t fullClasses() const { return classes / classBlock; }
  int64_t restClasses() const { return classes % classBlock; }
  /// Parts into which classes are divided for threads.
  int64_t parts() const { return std::clamp<int64_t>(fullClasses(), 1, CpuTarget::kWorkers); }

  int64_t batch, time, features, classes;
  bool isFlat;
  int64_t tokenBlock, classBlock, least;
};

/// A block of tokens: `count` of them from `first` on, in row `row`.
struct TokenBlock {
  Value row, first;
  int64_t count;
};

class Logits {
 public:
  Logits(KernelFunction& f, const LogitSizes& size, Value x, Value weight, Value targets)
      : f(f),
        b(f.b),
        size(size),
        narrow(getElementTypeOrSelf(x.getType())),
        wide(accumulatorType(narrow)),
        x(f.tensors[x]),
        weight(f.tensors[weight]),
        targets(f.tensors[targets]) {}

 protected:
  /// Features of tokens, tokens x features, or results for them.
  Matrix tokensOf(const TensorValue& tensor, const TokenBlock& block) {
    Matrix m;
    m.access = f.origin(tensor);
    m.rows = block.count;
    m.columns = size.features;
    if (!size.isFlat) m.access.base = b.offset(m.access.base, block.row, tensor.strides[0]);
    m.access.base = b.offset(m.access.base, block.first, tensor.strides[1]);
    m.access.strides = {tensor.strides[1], tensor.strides[2]};
    return m;
  }
  /// A number for each token of a block, as `rows` equal rows.
  Matrix rowOf(const TensorValue& tensor, const TokenBlock& block, int64_t rows) {
    Matrix m;
    m.access = f.origin(tensor);
    m.rows = rows;
    m.columns = block.count;
    if (tensor.scalar) return m;
    if (!size.isFlat) m.access.base = b.offset(m.access.base, block.row, tensor.strides[0]);
    m.access.base = b.offset(m.access.base, block.first, tensor.strides[1]);
    m.access.strides = {0, tensor.strides[1]};
    return m;
  }
  static Matrix repeated(Matrix row, int64_t rows) {
    row.access.strides[0] = 0;
    row.rows = rows;
    return row;
  }
  Matrix classesOf(const TensorValue& tensor, Value first, int64_t rows) {
    Matrix m;
    m.access = f.origin(tensor);
    m.access.base = b.offset(m.access.base, first, tensor.strides[0]);
    m.access.strides = {tensor.strides[0], tensor.strides[1]};
    m.rows = rows;
    m.columns = size.features;
    return m;
  }
  /// Calls `body` for blocks of `step` of `count` rows: the first, and how many.
  void forBlocks(int64_t count, int64_t step, function_ref<void(Value, int64_t)> body) {
    int64_t full = count / step * step;
    b.loop(0, full, step, [&](Value first) { body(first, step); });
    if (full < count) body(b.constant(full), count - full);
  }
  /// Calls `body` for tokens of a block whose target is one of `rows` classes from `first` on, with
  /// its number in the block and the class's.
  void forTargets(const TokenBlock& block, Value first, int64_t rows,
                  function_ref<void(Value, Value)> body);
  /// The larger of two numbers; if one is nan, any: sums are, too, then.
  static Value larger(ElementwiseBuilder e, Value x, Value y) {
    Value value = e.maximum(x, y);
    cast<arith::MaximumFOp>(value.getDefiningOp())
        .setFastmath(arith::FastMathFlags::nnan | arith::FastMathFlags::nsz);
    return value;
  }
  /// exp(x) of an x <= 60 or nan; what is less than 1e-37 is that.
  Value exponential(ElementwiseBuilder e, Value x) {
    if (!wide.isF32()) return e.exp(x);
    Value low = e.constant(-85, wide);
    Value isLow = arith::CmpFOp::create(e.builder(), b.getLoc(), arith::CmpFPredicate::OLT, x, low);
    Value value = e.exp(e.select(isLow, low, x));
    value.getDefiningOp()->setAttr(kBounded, b.getUnitAttr());
    return value;
  }

  KernelFunction& f;
  KernelBuilder& b;
  const LogitSizes& size;
  const Type narrow, wide;
  const TensorValue &x, &weight, &targets;
};

void Logits::forTargets(const TokenBlock& block, Value first, int64_t rows,
                        function_ref<void(Value, Value)> body) {
  Matrix own = rowOf(targets, block, 1);
  auto type = VectorType::get({b.target.lanes()}, b.getI32Type());
  int64_t lanes = type.getNumElements();
  Value shift = arith::IndexCastOp::create(b, b.getI32Type(), first);
  auto inBlock = [&](Value target, Value shift, Value count) -> Value {
    return arith::CmpIOp::create(b, arith::CmpIPredicate::ult,
                                 arith::SubIOp::create(b, target, shift), count);
  };
  auto offsetOf = [&](Value token) {
    return own.access.isScalar() ? Value()
                                 : b.offset(own.access.base, token, own.access.strides[1]);
  };
  b.loop(0, block.count, lanes, [&](Value from) {
    Value rest = b.sub(b.constant(block.count), from);
    Value mask =
        vector::CreateMaskOp::create(b, VectorType::get({lanes}, b.getI1Type()), ValueRange{rest});
    int64_t stride = own.access.isScalar() ? 0 : own.access.strides[1];
    Value several = loadVector(b, own.access, offsetOf(from), stride, lanes, mask);
    Value any = vector::ReductionOp::create(
        b, vector::CombiningKind::OR,
        inBlock(several, b.splat(shift, lanes), b.intConstant(type, rows)));
    b.ifThen(any, [&] {
      Value to = b.add(from, b.minimum(rest, b.constant(lanes)));
      b.loop(from, to, 1, [&](Value token) {
        Value target = loadScalar(b, own.access, offsetOf(token));
        b.ifThen(inBlock(target, shift, b.intConstant(b.getI32Type(), rows)), [&] {
          Value row = arith::SubIOp::create(b, target, shift);
          body(token, arith::IndexCastOp::create(b, b.getIndexType(), row));
        });
      });
    });
  });
}

class Forward : public Logits {
 public:
  Forward(KernelFunction& f, const LogitSizes& size, LogitStatisticsOp op)
      : Logits(f, size, op.getX(), op.getWeight(), op.getTargets()), op(op) {}

  LogicalResult emit();

 private:
  LogicalResult emitTokens(const TokenBlock& block);

  LogitStatisticsOp op;
};

LogicalResult Forward::emit() {
  LogicalResult result = success();
  ScratchPlan before = f.thread;
  int64_t used = 0;
  auto blocks = [&](int64_t perRow, Value first, int64_t count) {
    if (perRow == 0 || count == 0) return;
    f.thread = before;
    b.parallelLoop(size.batch * perRow, true, [&](Value i) {
      Value at = b.add(first, b.mul(b.rem(i, perRow), count));
      if (failed(emitTokens({b.div(i, perRow), at, count}))) result = failure();
    });
    used = std::max(used, f.thread.size());
  };
  blocks(size.fullTokens(), b.constant(0), size.tokenBlock);
  blocks(1, b.constant(size.time - size.restTokens()), size.restTokens());
  f.thread.growTo(used);
  return result;
}

LogicalResult Forward::emitTokens(const TokenBlock& block) {
  ThreadMatrices t(f, narrow, wide, f.threadOffset(), size.least);
  int64_t tokens = block.count;
  Matrix scores = t.scratch(wide, kRows, tokens), peak = t.scratch(wide, 1, tokens),
         next = t.scratch(wide, 1, tokens), sum = t.scratch(wide, 1, tokens),
         nextSum = t.scratch(wide, 1, tokens), picked = t.scratch(wide, 1, tokens),
         growth = t.scratch(wide, 1, 1);
  Matrix features = tokensOf(x, block).transposed();
  PackedMatrix right = t.pack(t.packBuffer({{size.features, tokens}}), features);
  t.fill(peak, -std::numeric_limits<double>::infinity());
  t.fill(sum, 0);
  t.fill(picked, 0);
  forBlocks(size.classes, kRows, [&](Value first, int64_t rows) {
    Matrix logits = t.part(scores, 0, rows, 0, tokens);
    t.multiply(classesOf(weight, first, rows), right, logits, /*accumulate=*/false);
    t.copy(peak, next);
    t.copy(sum, nextSum);
    t.reduce({logits, repeated(peak, rows)}, {next, nextSum},
             [&](ElementwiseBuilder e, ValueRange v) {
               return SmallVector<Value>{larger(e, v[2], v[0]),
                                         e.add(v[3], exponential(e, e.sub(v[0], v[1])))};
             });
    t.fill(growth, -std::numeric_limits<double>::infinity());
    t.reduce({next.transposed(), peak.transposed()}, {growth},
             [](ElementwiseBuilder e, ValueRange v) {
               return SmallVector<Value>{e.maximum(v[2], e.sub(v[0], v[1]))};
             });
    // Not that of nan, or of the first block.
    Value isSmall = arith::CmpFOp::create(b, arith::CmpFPredicate::OLE,
                                          loadScalar(b, growth.access, growth.access.base),
                                          b.floatConstant(wide, kMostGrowth));
    auto rescale = [&](const Matrix& from) {
      t.map({from, peak, next}, {sum}, [&](ElementwiseBuilder e, ValueRange v) {
        return SmallVector<Value>{e.mul(v[0], exponential(e, e.sub(v[1], v[2])))};
      });
    };
    b.ifThen(isSmall, [&] { rescale(nextSum); });
    b.ifThen(arith::XOrIOp::create(b, isSmall, b.intConstant(b.getI1Type(), 1)), [&] {
      rescale(sum);
      t.reduce({logits, repeated(next, rows)}, {sum}, [&](ElementwiseBuilder e, ValueRange v) {
        return SmallVector<Value>{e.add(v[2], exponential(e, e.sub(v[0], v[1])))};
      });
    });
    t.copy(next, peak);
    forTargets(block, first, rows, [&](Value token, Value row) {
      auto one = [&](const Matrix& m, Value row) { return t.part(m, row, 1, token, 1); };
      t.copy(one(logits, row), one(picked, b.constant(0)));
    });
  });
  auto store = [&](Value result, ArrayRef<Matrix> from, ThreadMatrices::Body body) {
    const TensorValue* tensor = resultOf(f, result);
    if (tensor) t.map(from, {rowOf(*tensor, block, 1)}, body);
  };
  auto same = [](ElementwiseBuilder, ValueRange v) { return SmallVector<Value>{v[0]}; };
  store(op.getLogSum(), {sum, peak}, [](ElementwiseBuilder e, ValueRange v) {
    return SmallVector<Value>{e.add(e.log(v[0]), v[1])};
  });
  store(op.getPeak(), {peak}, same);
  store(op.getPicked(), {picked}, same);
  return t.status;
}

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
  Matrix scores = t.scratch(wide, kRows, tokens),
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
  forBlocks(rows, kRows, [&](Value at, int64_t count) {
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
  int64_t full = blocks.count / kRows;
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
      b.ifThen(b.lessThan(i, number), [&] { add(i, b.mul(b.rem(task, full), kRows), kRows); });
    });
  if (int64_t rest = blocks.count % kRows)
    b.loop(b.constant(0), number, 1, [&](Value i) { add(i, b.constant(full * kRows), rest); });
}

LogicalResult checkOperands(KernelFunction& f, Operation* op) {
  for (Value operand : op->getOperands().take_front(2))
    if (f.tensors[operand].scalar || f.tensors[operand].isEmpty())
      return op->emitOpError("takes features and a weight that lie in memory");
  return success();
}

}  // namespace

LogicalResult emitLogitStatistics(KernelFunction& f, Operation* operation) {
  auto op = cast<LogitStatisticsOp>(operation);
  if (failed(checkOperands(f, op))) return failure();
  SmallVector<const TensorValue*> ofTokens{&f.tensors[op.getX()], &f.tensors[op.getTargets()]};
  for (Value result : op.getResults()) ofTokens.push_back(resultOf(f, result));
  LogitSizes size(op.getX(), op.getWeight(), ofTokens);
  return Forward(f, size, op).emit();
}

LogicalResult emitLogitStatisticsVjp(KernelFunction& f, Operation* operation) {
  auto op = cast<LogitStatisticsVjpOp>(operation);
  if (failed(checkOperands(f, op))) return failure();
  SmallVector<const TensorValue*> ofTokens{resultOf(f, op.getDx())};
  for (Value operand :
       {op.getX(), op.getLogSum(), op.getPicked(), op.getDLogSum(), op.getDPicked()})
    ofTokens.push_back(&f.tensors[operand]);
  ofTokens.push_back(&f.tensors[op.getTargets()]);
  LogitSizes size(op.getX(), op.getWeight(), ofTokens);
  return Backward(f, size, op).emit();
}

}  // namespace weir
