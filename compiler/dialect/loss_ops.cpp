#include "compiler/dialect/loss_ops.h"

#include "compiler/dialect/linalg_builder.h"
#include "compiler/dialect/op_support.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "mlir/IR/TypeUtilities.h"

namespace weir {
using namespace mlir;

/// custom<FiveOfOne>: five results of one type.
static ParseResult parseFiveOfOne(OpAsmParser& parser, Type& a, Type& b, Type& c, Type& d,
                                  Type& e) {
  if (parser.parseType(a)) return failure();
  b = c = d = e = a;
  return success();
}

static void printFiveOfOne(OpAsmPrinter& printer, Operation*, Type a, Type, Type, Type, Type) {
  printer << a;
}

/// custom<ThreeOfOne>: three results of one type.
static ParseResult parseThreeOfOne(OpAsmParser& parser, Type& a, Type& b, Type& c) {
  if (parser.parseType(a)) return failure();
  b = c = a;
  return success();
}

static void printThreeOfOne(OpAsmPrinter& printer, Operation*, Type a, Type, Type) { printer << a; }

}  // namespace weir

#define GET_OP_CLASSES
#include "compiler/dialect/loss_ops.cpp.inc"

namespace weir {

void registerLossOps(WeirDialect& dialect) {
  dialect.registerOps<
#define GET_OP_LIST
#include "compiler/dialect/loss_ops.cpp.inc"
      >();
}

LogicalResult CrossEntropyOp::verify() {
  ArrayRef<int64_t> logits = shapeOf(getLogits()), targets = shapeOf(getTargets());
  if (logits.size() != 3 || targets.size() != 2)
    return emitOpError()
           << "takes logits of batch, time and vocabulary and targets of batch and time, not "
           << getLogits().getType() << " and " << getTargets().getType();
  if (failed(verifyCompatibleShape(logits.drop_back(), targets)))
    return emitOpError() << "has targets of type " << getTargets().getType()
                         << " for logits of type " << getLogits().getType();
  return success();
}

LogicalResult CrossEntropyOp::inferReturnTypes(MLIRContext*, std::optional<Location>,
                                               Adaptor adaptor, SmallVectorImpl<Type>& inferred) {
  Type element = accumulatorType(getElementTypeOrSelf(adaptor.getLogits().getType()));
  inferred.append(5, RankedTensorType::get({}, element));
  return success();
}
bool CrossEntropyOp::isCompatibleReturnTypes(TypeRange l, TypeRange r) { return compatible(l, r); }

Cost CrossEntropyOp::cost() {
  Cost cost = streamingCost(*this, 0);
  cost.flops = elementCount(getLogits().getType()) * Polynomial(4);
  return cost;
}

namespace {

/// Sums over the targets that count.
struct TargetSums {
  TargetSums(OpBuilder& b, Location loc, Value targets, Type element)
      : l(b, loc), targets(targets), rows(shapeOf(targets)), element(element) {}

  /// body(one, inputs) for a target that counts, else 0, over (batch, time).
  Value masked(llvm::function_ref<Value(ElementwiseBuilder, Value, ValueRange)> body,
               ValueRange inputs) {
    SmallVector<Value> all{targets};
    all.append(inputs.begin(), inputs.end());
    SmallVector<AffineMap> maps(all.size(), l.identity(2));
    return l.elementwise(rows, element, all, maps, [&](ElementwiseBuilder e, ValueRange v) {
      Value counts = e.atLeast(v[0], e.integer(0, v[0].getType()));
      return e.select(counts, body(e, e.constant(1, element), v.drop_front()),
                      e.constant(0, element));
    });
  }
  /// 1 for a target that counts.
  Value mask() {
    return masked([](ElementwiseBuilder, Value one, ValueRange) { return one; }, {});
  }

  Value total(Value values) {
    return l.sum(rows, {0, 1}, element, values, l.identity(2),
                 [](ElementwiseBuilder, ValueRange v) { return v[0]; });
  }
  Value totalOfRows(Value values) {
    return l.sum(rows, {1}, element, values, l.identity(2),
                 [](ElementwiseBuilder, ValueRange v) { return v[0]; });
  }

  /// x / max(count, 1), of scalars.
  Value perTarget(Value x) {
    return l.elementwise({x, count}, [](ElementwiseBuilder e, ValueRange v) {
      return e.div(v[0], e.maximum(v[1], e.constantLike(1, v[1])));
    });
  }

  /// The op's results from the loss of each target, and the largest logit and its own.
  SmallVector<Value> results(Value losses, Value peak, Value picked);

  LinalgBuilder l;
  Value targets;
  ArrayRef<int64_t> rows;
  Type element;
  Value count;
};

SmallVector<Value> TargetSums::results(Value losses, Value peak, Value picked) {
  Value right = masked(
      [](ElementwiseBuilder e, Value one, ValueRange v) {
        return e.select(e.atLeast(v[1], v[0]), one, e.constantLike(0, one));
      },
      {peak, picked});
  Value sum = total(losses), correct = total(right);
  // A row is right if as many of its targets are right as it has.
  Value rowRight = totalOfRows(right), rowCount = totalOfRows(mask());
  Value sequences = l.sum(rows.take_front(), {0}, element, {rowRight, rowCount},
                          {l.identity(1), l.identity(1)}, [](ElementwiseBuilder e, ValueRange v) {
                            Value one = e.constantLike(1, v[0]), zero = e.constantLike(0, v[0]);
                            Value counted =
                                e.logicalAnd(e.atLeast(v[1], one), e.atLeast(v[0], v[1]));
                            return e.select(counted, one, zero);
                          });
  return {perTarget(sum), sum, correct, count, sequences};
}

/// What loss and gradient share, over (batch, time, vocabulary).
struct Terms : TargetSums {
  Terms(OpBuilder& b, CrossEntropyOp op)
      : TargetSums(b, op.getLoc(), op.getTargets(),
                   accumulatorType(getElementTypeOrSelf(op.getLogits().getType()))),
        logits(op.getLogits()),
        shape(shapeOf(op.getLogits())),
        all(l.identity(3)),
        row(l.map(3, {0, 1})) {
    peak = l.maximum(shape, {2}, element, logits, all,
                     [&](ElementwiseBuilder e, ValueRange v) { return e.cast(v[0], element); });
    sums = l.sum(shape, {2}, element, {logits, peak}, {all, row},
                 [&](ElementwiseBuilder e, ValueRange v) {
                   return e.exp(e.sub(e.cast(v[0], element), v[1]));
                 });
    count = total(mask());
  }

  Value logits;
  ArrayRef<int64_t> shape;
  AffineMap all, row;
  Value peak, sums;
};

}  // namespace

SmallVector<Value> crossEntropyOf(OpBuilder& b, Location loc, Value targets, Value logSum,
                                  Value peak, Value picked) {
  TargetSums t(b, loc, targets, getElementTypeOrSelf(logSum.getType()));
  t.count = t.total(t.mask());
  Value losses =
      t.masked([](ElementwiseBuilder e, Value, ValueRange v) { return e.sub(v[0], v[1]); },
               {logSum, picked});
  return t.results(losses, peak, picked);
}

FailureOr<SmallVector<Value>> CrossEntropyOp::decomposeOperation(OpBuilder& b) {
  if (failed(requireDecomposable(*this))) return failure();
  Terms t(b, *this);
  Value picked = t.l.sum(t.shape, {2}, t.element, {t.logits, t.targets}, {t.all, t.row},
                         [&](ElementwiseBuilder e, ValueRange v) {
                           Value hit = e.equal(e.index(2, v[1].getType()), v[1]);
                           return e.select(hit, e.cast(v[0], t.element), e.constant(0, t.element));
                         });
  Value losses = t.masked([](ElementwiseBuilder e, Value,
                             ValueRange v) { return e.add(e.log(v[0]), e.sub(v[1], v[2])); },
                          {t.sums, t.peak, picked});
  return t.results(losses, t.peak, picked);
}

LogicalResult CrossEntropyOp::buildVjp(OpBuilder& b, ValueRange cotangents,
                                       SmallVectorImpl<Value>& operandCotangents) {
  // dlogits = (softmax - one hot) where the target counts, times d(sum) + d(mean) / count.
  if (failed(requireDecomposable(*this))) return failure();
  Value scale;
  Terms t(b, *this);
  if (cotangents[0]) scale = t.perTarget(cotangents[0]);
  if (cotangents[1]) {
    scale = !scale
                ? cotangents[1]
                : t.l.elementwise({scale, cotangents[1]}, [](ElementwiseBuilder e, ValueRange v) {
                    return e.add(v[0], v[1]);
                  });
  }
  if (!scale) {
    operandCotangents.append({Value(), Value()});
    return success();
  }
  Type logitType = getElementTypeOrSelf(getLogits().getType());
  Value gradient = t.l.elementwise(
      t.shape, logitType, {t.logits, t.targets, t.peak, t.sums, scale},
      {t.all, t.row, t.row, t.row, t.l.map(3, {})}, [&](ElementwiseBuilder e, ValueRange v) {
        Value zero = e.constant(0, t.element), one = e.constant(1, t.element);
        Value probability = e.div(e.exp(e.sub(e.cast(v[0], t.element), v[2])), v[3]);
        Value hit = e.equal(e.index(2, v[1].getType()), v[1]);
        Value difference = e.sub(probability, e.select(hit, one, zero));
        Value counts = e.atLeast(v[1], e.integer(0, v[1].getType()));
        return e.cast(e.select(counts, e.mul(difference, v[4]), zero), logitType);
      });
  operandCotangents.append({gradient, Value()});
  return success();
}

}  // namespace weir
