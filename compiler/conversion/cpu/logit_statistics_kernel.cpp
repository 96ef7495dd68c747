// weir.logit_statistics: a thread takes a block of tokens through all classes.

#include <limits>

#include "compiler/conversion/cpu/logit_blocks.h"
#include "compiler/dialect/loss_ops.h"
#include "mlir/Dialect/Arith/IR/Arith.h"

namespace weir {

using namespace mlir;

namespace {

/// How far logits may be above all before them: exponentials are taken relative to the largest of
/// those, so that logits are visited once.
constexpr double kMostGrowth = 60;

Matrix repeated(Matrix row, int64_t rows) {
  row.access.strides[0] = 0;
  row.rows = rows;
  return row;
}

/// The larger of two numbers; if one is nan, any: sums are, too, then.
Value larger(ElementwiseBuilder e, Value x, Value y) {
  Value value = e.maximum(x, y);
  cast<arith::MaximumFOp>(value.getDefiningOp())
      .setFastmath(arith::FastMathFlags::nnan | arith::FastMathFlags::nsz);
  return value;
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
  Matrix scores = t.scratch(wide, kLogitRows, tokens), peak = t.scratch(wide, 1, tokens),
         next = t.scratch(wide, 1, tokens), sum = t.scratch(wide, 1, tokens),
         nextSum = t.scratch(wide, 1, tokens), picked = t.scratch(wide, 1, tokens),
         growth = t.scratch(wide, 1, 1);
  Matrix features = tokensOf(x, block).transposed();
  PackedMatrix right = t.pack(t.packBuffer({{size.features, tokens}}), features);
  t.fill(peak, -std::numeric_limits<double>::infinity());
  t.fill(sum, 0);
  t.fill(picked, 0);
  forBlocks(size.classes, kLogitRows, [&](Value first, int64_t rows) {
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

}  // namespace

LogicalResult emitLogitStatistics(KernelFunction& f, Operation* operation) {
  auto op = cast<LogitStatisticsOp>(operation);
  if (failed(checkLogitOperands(f, op))) return failure();
  SmallVector<const TensorValue*> ofTokens{&f.tensors[op.getX()], &f.tensors[op.getTargets()]};
  for (Value result : op.getResults()) ofTokens.push_back(resultOf(f, result));
  LogitSizes size(op.getX(), op.getWeight(), ofTokens);
  return Forward(f, size, op).emit();
}

}  // namespace weir
