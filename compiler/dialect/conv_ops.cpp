// Causal convolution. x with its state in front, of batch x (k - 1 + time) x d, is what every tap
// reads.

#include "compiler/dialect/conv_ops.h"

#include "compiler/dialect/linalg_builder.h"
#include "compiler/dialect/op_support.h"
#include "compiler/dialect/streaming.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "mlir/IR/TypeUtilities.h"

namespace weir {
using namespace mlir;

/// `(4)`, or a size: `[%k]`.
static ParseResult parseKernel(OpAsmParser& parser, IntegerAttr& kernel,
                               SmallVectorImpl<OpAsmParser::UnresolvedOperand>& operands,
                               AffineMapAttr& sizes) {
  int64_t taps;
  if (failed(parser.parseOptionalLParen())) return parseSizes(parser, operands, sizes);
  if (parser.parseInteger(taps) || parser.parseRParen()) return failure();
  kernel = parser.getBuilder().getI64IntegerAttr(taps);
  sizes = AffineMapAttr::get(AffineMap::get(parser.getContext()));
  return success();
}

static void printKernel(OpAsmPrinter& printer, Operation* op, IntegerAttr kernel,
                        ValueRange operands, AffineMapAttr sizes) {
  if (kernel)
    printer << "(" << kernel.getInt() << ")";
  else
    printSizes(printer, op, operands, sizes);
}

}  // namespace weir

#define GET_OP_CLASSES
#include "compiler/dialect/conv_ops.cpp.inc"

namespace weir {

void registerConvOps(WeirDialect& dialect) {
  dialect.registerOps<
#define GET_OP_LIST
#include "compiler/dialect/conv_ops.cpp.inc"
      >();
}

LogicalResult CausalConvOp::verify() {
  auto type = cast<RankedTensorType>(getX().getType());
  if (type.getRank() != 3)
    return emitOpError() << "takes a tensor of batch, time and features, not " << type;
  if (getKernel() && getTaps() < 1)
    return emitOpError() << "has a kernel of " << getTaps() << " taps";
  if (!getKernel() && !getParameters().empty())
    return emitOpError() << "has parameters, and so needs the number of its taps";
  if (getParameters().empty() && !getName())
    return emitOpError() << "needs a name, or its parameters";
  if (!getParameters().empty() && getParameters().size() != 2)
    return emitOpError() << "takes two parameters, weight and bias";
  return verifySizes(*this, getSizeOperands(), getSizes(), getKernel() ? 0 : 1);
}

LogicalResult CausalConvOp::inferReturnTypes(MLIRContext*, std::optional<Location>, Adaptor adaptor,
                                             SmallVectorImpl<Type>& inferred) {
  auto type = cast<RankedTensorType>(adaptor.getX().getType());
  inferred.push_back(type);
  SmallVector<int64_t> state(type.getShape());
  std::optional<uint64_t> taps = adaptor.getKernel();
  if (state.size() > 1) state[1] = taps ? static_cast<int64_t>(*taps) - 1 : ShapedType::kDynamic;
  inferred.push_back(RankedTensorType::get(state, type.getElementType()));
  return success();
}
bool CausalConvOp::isCompatibleReturnTypes(TypeRange l, TypeRange r) { return compatible(l, r); }

void CausalConvOp::bindParameters(ValueRange parameters, ArrayRef<int64_t> sizes) {
  getParametersMutable().assign(parameters);
  if (sizes.empty()) return;
  getSizeOperandsMutable().clear();
  setSizes(AffineMap::get(getContext()));
  setKernel(sizes[0]);
}

LogicalResult CausalConvOp::parameterSpecs(TypeRange types, ArrayRef<int64_t> sizes,
                                           SmallVectorImpl<ParameterSpec>& specs) {
  int64_t features = featuresOf(types[0]), taps = sizes.empty() ? getTaps() : sizes[0];
  if (failed(requireStatic(*this, features, "number of features"))) return failure();
  specs.push_back({"weight", {features, taps}, linearInit(taps), ""});
  specs.push_back({"bias", {features}, linearInit(taps), ""});
  return success();
}

void CausalConvOp::bindSegments(Value segments) { getSegmentsMutable().assign(segments); }
void CausalConvOp::bindStart(Value) {}

LogicalResult CausalConvOp::stateSpecs(const StreamContext&,
                                       SmallVectorImpl<StreamStateSpec>& specs) {
  FailureOr<bool> carried = isCarriedByLayer(*this, getInitial() ? getInitial() : ValueRange());
  if (failed(carried)) return failure();
  // One tap looks back on nothing.
  if (!*carried && getTaps() > 1)
    specs.push_back({"inputs", cast<RankedTensorType>(getLast().getType())});
  return success();
}

Cost CausalConvOp::cost() {
  Cost cost = streamingCost(*this, 2.0 * getTaps());
  cost.stateBytes = byteCount(getLast().getType());
  return cost;
}

namespace {

/// What value and gradient share.
struct Conv {
  Conv(OpBuilder& b, CausalConvOp op)
      : b(b),
        l(b, op.getLoc()),
        op(op),
        shape(shapeOf(op.getX())),
        past(op.getTaps() - 1),
        taps(op.getTaps()),
        element(getElementTypeOrSelf(op.getX().getType())),
        wide(accumulatorType(element)) {}

  /// x with its past in front.
  Value extended() {
    if (past == 0) return op.getX();
    Value before = op.getInitial() ? Value(op.getInitial()) : zeros(past);
    return l.concat(1, {before, op.getX()});
  }

  Value zeros(int64_t steps) { return l.filled(0, {shape[0], steps, shape[2]}, element); }

  /// Segment ids over the extended time; the past is of the first token's segment. Null without
  /// segments.
  Value extendedSegments() {
    Value segments = op.getSegments();
    if (!segments || past == 0) return segments;
    Value first = l.sliceDim(segments, 1, 0, 1);
    Value copies = l.elementwise(
        {shape[0], past}, b.getI32Type(), first,
        AffineMap::get(2, 0, {b.getAffineDimExpr(0), b.getAffineConstantExpr(0)}, b.getContext()),
        [](ElementwiseBuilder, ValueRange v) { return v[0]; });
    return l.concat(1, {copies, segments});
  }

  /// The map (batch, time, feature) -> (batch, time + shift, feature), or without feature.
  AffineMap shifted(int64_t shift, bool feature) {
    SmallVector<AffineExpr> results{b.getAffineDimExpr(0), b.getAffineDimExpr(1) + shift};
    if (feature) results.push_back(b.getAffineDimExpr(2));
    return AffineMap::get(3, 0, results, b.getContext());
  }
  /// The map to the weight of one tap.
  AffineMap tap(int64_t j) {
    return AffineMap::get(3, 0, {b.getAffineDimExpr(2), b.getAffineConstantExpr(j)},
                          b.getContext());
  }

  /// sum over taps j of weight[:, j] * source[t + shift(j)], where both ends are of one segment:
  /// `segments` is read at t + shift(j) and at t + center. `extra` (may be null) is added: a bias
  /// per feature, or a tensor.
  Value weighted(int64_t time, Value source, llvm::function_ref<int64_t(int64_t)> shift,
                 Value segments, int64_t center, Value bias) {
    SmallVector<Value> inputs;
    SmallVector<AffineMap> maps;
    Value weight = op.getParameters()[0];
    // A map without a shift would give linalg the longer time of its operand as the loop's extent.
    auto from = [&](Value tensor, int64_t shift) {
      return shift == 0 ? l.sliceDim(tensor, 1, 0, time) : tensor;
    };
    for (int64_t j = 0; j < taps; ++j) {
      inputs.append({from(source, shift(j)), weight});
      maps.append({shifted(shift(j), true), tap(j)});
      if (segments) {
        inputs.push_back(from(segments, shift(j)));
        maps.push_back(shifted(shift(j), false));
      }
    }
    if (segments) {
      inputs.push_back(from(segments, center));
      maps.push_back(shifted(center, false));
    }
    if (bias) {
      inputs.push_back(bias);
      maps.push_back(l.map(3, {2}));
    }
    unsigned stride = segments ? 3 : 2;
    return l.elementwise(
        {shape[0], time, shape[2]}, element, inputs, maps, [&](ElementwiseBuilder e, ValueRange v) {
          Value sum = bias ? e.cast(v.back(), wide) : e.constant(0, wide);
          for (int64_t j = 0; j < taps; ++j) {
            Value term = e.mul(e.cast(v[stride * j], wide), e.cast(v[stride * j + 1], wide));
            if (segments) {
              Value same = e.equal(v[stride * j + 2], v[stride * taps]);
              term = e.select(same, term, e.constant(0, wide));
            }
            sum = e.add(sum, term);
          }
          return e.cast(sum, element);
        });
  }

  OpBuilder& b;
  LinalgBuilder l;
  CausalConvOp op;
  ArrayRef<int64_t> shape;
  int64_t past, taps;
  Type element, wide;
};

}  // namespace

FailureOr<SmallVector<Value>> CausalConvOp::decomposeOperation(OpBuilder& b) {
  if (failed(requireDecomposable(*this, !getParameters().empty()))) return failure();
  Conv c(b, *this);
  Value source = c.extended();
  Value y = c.weighted(
      c.shape[1], source, [](int64_t j) { return j; }, c.extendedSegments(), c.past,
      getParameters()[1]);
  Value last = c.past == 0 ? c.zeros(0) : c.l.sliceDim(source, 1, c.shape[1], c.past);
  return SmallVector<Value>{y, last};
}

/// The window that goes on to the next call holds zeros for the inputs of other documents than the
/// last one. So its inputs count for a first token of that document as they are, and no ids are
/// kept.
FailureOr<SmallVector<Value>> CausalConvOp::buildStep(OpBuilder& b,
                                                      const StreamArguments& arguments,
                                                      SmallVectorImpl<Value>& newStates) {
  LinalgBuilder l(b, getLoc());
  Value initial = getInitial();
  if (!arguments.states.empty()) {
    Value state = arguments.states[0];
    initial = initial ? startFrom(l, arguments, initial, state) : state;
  }
  if (initial && getTaps() > 1) initial = keepWithinSegment(l, arguments, initial);
  auto step = cast<CausalConvOp>(b.clone(*getOperation()));
  step.getInitialMutable().assign(initial ? ValueRange(initial) : ValueRange());
  Value last = step.getLast();
  if (arguments.segments && getTaps() > 1) {
    Conv c(b, step);
    int64_t time = c.shape[1];
    Value ids = l.sliceDim(c.extendedSegments(), 1, time, c.past);
    AffineMap end = AffineMap::get(3, 0, {b.getAffineDimExpr(0), b.getAffineConstantExpr(time - 1)},
                                   b.getContext());
    last = l.elementwise(shapeOf(last), c.element, {last, ids, arguments.segments},
                         {l.identity(3), l.map(3, {0, 1}), end},
                         [&](ElementwiseBuilder e, ValueRange v) {
                           return e.select(e.equal(v[1], v[2]), v[0], e.constant(0, c.element));
                         });
  }
  if (!arguments.states.empty()) newStates.push_back(last);
  return SmallVector<Value>{step.getResult(), last};
}

LogicalResult CausalConvOp::buildVjp(OpBuilder& b, ValueRange cotangents,
                                     SmallVectorImpl<Value>& operandCotangents) {
  if (failed(requireDecomposable(*this, !getParameters().empty()))) return failure();
  Conv c(b, *this);
  Value dy = cotangents[0], dlast = cotangents[1];
  int64_t time = c.shape[1];
  SmallVector<Value> gradients(getNumOperands());
  auto set = [&](Value operand, Value gradient) {
    for (OpOperand& use : getOperation()->getOpOperands())
      if (use.get() == operand && !gradients[use.getOperandNumber()]) {
        gradients[use.getOperandNumber()] = gradient;
        return;
      }
  };
  // The cotangent of x with its past in front: position s reads dy at the times t = s - j it was a
  // tap of.
  Value source;
  if (dy) {
    Value padded = c.past == 0 ? dy : c.l.concat(1, {c.zeros(c.past), dy, c.zeros(c.past)});
    Value segments = c.extendedSegments();
    if (segments && c.past > 0) {
      // Index s + past - j of the padded time is t + past, where the extended ids have the id of t.
      Value tail = c.l.sliceDim(segments, 1, time, c.past);
      segments = c.l.concat(1, {segments, tail});
    }
    source = c.weighted(
        time + c.past, padded, [&](int64_t j) { return c.past - j; }, segments, 0, Value());
  }
  if (dlast && c.past > 0) {
    Value late = c.l.concat(1, {c.zeros(time), dlast});
    source =
        !source ? late : c.l.elementwise({source, late}, [](ElementwiseBuilder e, ValueRange v) {
          return e.add(v[0], v[1]);
        });
  }
  if (source) {
    gradients[0] = c.l.sliceDim(source, 1, c.past, time);
    if (getInitial() && c.past > 0) set(getInitial(), c.l.sliceDim(source, 1, 0, c.past));
  }
  if (dy) {
    // Over (feature, tap, batch, time).
    AffineExpr d, j, n, t;
    bindDims(b.getContext(), d, j, n, t);
    auto map = [&](ArrayRef<AffineExpr> results) {
      return AffineMap::get(4, 0, results, b.getContext());
    };
    SmallVector<Value> inputs{dy, c.extended()};
    SmallVector<AffineMap> maps{map({n, t, d}), map({n, t + j, d})};
    if (Value segments = c.extendedSegments()) {
      inputs.append({segments, segments});
      maps.append({map({n, t + j}), map({n, t + c.past})});
    }
    Value dweight = c.l.sum({c.shape[2], c.taps, c.shape[0], time}, {2, 3}, c.wide, inputs, maps,
                            [&](ElementwiseBuilder e, ValueRange v) {
                              Value term = e.mul(e.cast(v[0], c.wide), e.cast(v[1], c.wide));
                              if (v.size() == 2) return term;
                              return e.select(e.equal(v[2], v[3]), term, e.constant(0, c.wide));
                            });
    Value dbias = c.l.sum(c.shape, {0, 1}, c.wide, dy, c.l.identity(3),
                          [&](ElementwiseBuilder e, ValueRange v) { return e.cast(v[0], c.wide); });
    auto like = [&](Value gradient, Value parameter) {
      Type type = getElementTypeOrSelf(parameter.getType());
      if (type == c.wide) return gradient;
      return c.l.elementwise(
          shapeOf(gradient), type, gradient, c.l.identity(shapeOf(gradient).size()),
          [&](ElementwiseBuilder e, ValueRange v) { return e.cast(v[0], type); });
    };
    set(getParameters()[0], like(dweight, getParameters()[0]));
    set(getParameters()[1], like(dbias, getParameters()[1]));
  }
  llvm::append_range(operandCotangents, gradients);
  return success();
}

}  // namespace weir
