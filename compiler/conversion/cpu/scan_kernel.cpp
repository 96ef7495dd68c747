// weir.scan and weir.scan_vjp.

#include "compiler/conversion/cpu/scan_nest.h"
#include "compiler/dialect/scan_ops.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"

namespace weir {

using namespace mlir;

namespace {

constexpr int64_t kPrefetchSteps = 4;

/// What a scan and its gradient have in common.
struct ScanOperands {
  KernelFunction& f;
  Operation* op;
  SmallVector<int64_t> extents;
  SmallVector<AffineMap> maps;
  AffineMap stateMap;
  size_t time;
  bool reverse;
  int64_t chunk;  // 0 without chunks
  SmallVector<Access> inputs;
  std::optional<Access> initial, segments;

  int64_t length() const { return extents[time]; }
  int64_t chunks() const { return chunk ? divideUp(length(), chunk) : 1; }
  SmallVector<bool> dimsOf(AffineMap map) const {
    SmallVector<bool> has(extents.size(), false);
    for (AffineExpr expr : map.getResults()) has[cast<AffineDimExpr>(expr).getPosition()] = true;
    return has;
  }
};

FailureOr<Access> accessOf(ScanOperands& s, Value value, AffineMap map) {
  const TensorValue& tensor = s.f.tensors[value];
  if (tensor.isEmpty()) return s.op->emitOpError("reads a tensor that was never written");
  return s.f.access(s.op, tensor, map);
}

LogicalResult readOperands(ScanOperands& s, ValueRange inputs, Value initial, Value segments) {
  for (auto [i, input] : llvm::enumerate(inputs)) {
    FailureOr<Access> access = accessOf(s, input, s.maps[i]);
    if (failed(access)) return failure();
    s.inputs.push_back(*access);
  }
  if (initial) {
    FailureOr<Access> access = accessOf(s, initial, s.stateMap);
    if (failed(access)) return failure();
    s.initial = *access;
  }
  if (segments) {
    size_t batch = s.time == 0 ? 1 : 0;
    MLIRContext* context = s.op->getContext();
    AffineMap map = AffineMap::get(
        s.extents.size(), 0, {getAffineDimExpr(batch, context), getAffineDimExpr(s.time, context)},
        context);
    FailureOr<Access> access = accessOf(s, segments, map);
    if (failed(access)) return failure();
    s.segments = *access;
  }
  return success();
}

/// Access to the states entering chunks, for use at a point of chunk `c`.
Access atChunk(KernelBuilder& b, const TensorValue& tensor, Access states, Value c) {
  states.base = b.offset(states.base, c, tensor.strides[0]);
  return states;
}

FailureOr<Access> chunkStatesAccess(ScanOperands& s, TensorValue tensor) {
  tensor.strides.erase(tensor.strides.begin());
  tensor.shape.erase(tensor.shape.begin());
  return s.f.access(s.op, tensor, s.stateMap);
}

/// A number as the sum of two: the rounded one and what rounding lost, so that long sums drift by
/// no more than rounding.
struct TwoFloats {
  Value high, low;
};

/// Emits code shared by both directions. Steps are counted in the direction of the scan.
class ScanSteps {
 public:
  ScanSteps(ScanOperands& s, ScanNest& nest) : s(s), nest(nest), b(nest.b) {}

  /// Time of step `i` of chunk `c`.
  Value timeOf(Value c, Value i) {
    Value start = b.mul(c, s.chunk ? s.chunk : s.length());
    return s.reverse ? b.sub(b.sub(b.add(start, sizeOf(c)), b.constant(1)), i) : b.add(start, i);
  }
  Value sizeOf(Value c) {
    int64_t size = s.chunk ? std::min(s.chunk, s.length()) : s.length();
    if (s.length() % size == 0) return b.constant(size);
    return b.minimum(b.constant(size), b.sub(b.constant(s.length()), b.mul(c, size)));
  }
  Value clamped(Value t) {
    return b.minimum(b.maximum(t, b.constant(0)), b.constant(s.length() - 1));
  }
  Value later(Value t, int64_t steps) { return clamped(b.add(t, s.reverse ? -steps : steps)); }

  /// Whether another document begins at time t of a block (null without segments, and where a block
  /// has several rows).
  Value startsSegment(const ScanPoint& at, Value t) {
    if (!s.segments || !llvm::is_contained(nest.outer, batch())) return Value();
    auto id = [&](Value time) {
      return loadScalar(b, *s.segments, nest.offsetOf(*s.segments, nest.atTime(at, time)));
    };
    Value start = arith::CmpIOp::create(b, arith::CmpIPredicate::ne, id(t), id(later(t, -1)));
    return b.splat(start, nest.lanes);
  }

  FailureOr<ValueList> run(Region& region, ValueRange args) {
    return vectorizeBlock(b, region.front(), args, nest.lanes, s.f.scalars);
  }
  ValueList loadInputs(const ScanPoint& at) {
    ValueList values;
    for (const Access& input : s.inputs) values.push_back(nest.load(input, at));
    return values;
  }
  /// Whether a document begins at each point of a vector (null without segments); `start` is that
  /// of the block.
  Value startsAt(const ScanPoint& at, Value t, Value start) {
    if (!s.segments || start) return start;
    auto ids = [&](Value time) { return nest.load(*s.segments, nest.atTime(at, time)); };
    return arith::CmpIOp::create(b, arith::CmpIPredicate::ne, ids(t), ids(later(t, -1)));
  }
  /// x, or 0 where a document begins. A decay of 0 alone wouldn't keep documents apart: the state
  /// it meets may be NaN.
  Value resetAt(Value start, Value x) {
    if (!start) return x;
    return arith::SelectOp::create(b, start, b.floatConstant(x.getType(), 0.0), x);
  }
  TwoFloats resetAt(Value start, TwoFloats x) {
    return {resetAt(start, x.high), resetAt(start, x.low)};
  }

 private:
  /// The dimension of rows.
  size_t batch() const { return s.time == 0 ? 1 : 0; }

  ScanOperands& s;
  ScanNest& nest;
  KernelBuilder& b;
};

/// a * x. fma with 0 keeps LLVM from contracting the product.
TwoFloats scaled(KernelBuilder& b, Value a, TwoFloats x) {
  Value zero = b.floatConstant(a.getType(), -0.0);
  Value product = math::FmaOp::create(b, a, x.high, zero);
  Value error = math::FmaOp::create(b, a, x.high, arith::NegFOp::create(b, product));
  return {product, math::FmaOp::create(b, a, x.low, error)};
}

/// x + y, with high the rounded sum (Knuth's two-sum).
TwoFloats increased(KernelBuilder& b, TwoFloats x, Value y) {
  auto add = [&](Value p, Value q) -> Value { return arith::AddFOp::create(b, p, q); };
  auto sub = [&](Value p, Value q) -> Value { return arith::SubFOp::create(b, p, q); };
  Value sum = add(x.high, y);
  Value part = sub(sum, x.high);
  Value error = add(x.low, add(sub(x.high, sub(sum, part)), sub(y, part)));
  Value high = add(sum, error);
  return {high, sub(error, sub(high, sum))};
}

}  // namespace

LogicalResult emitScan(KernelFunction& f, Operation* operation) {
  auto op = cast<ScanOp>(operation);
  op.materializeRegions();
  ScanOperands s{f,
                 op,
                 op.getIterationSizes(),
                 op.getMaps(),
                 op.getStateMap(),
                 op.getTimeDim(),
                 op.getReverse(),
                 static_cast<int64_t>(op.getChunk().value_or(0)),
                 {},
                 {},
                 {}};
  if (failed(readOperands(s, op.getInputs(), op.getInitial(), op.getSegments()))) return failure();
  SmallVector<Access> outputs;
  SmallVector<SmallVector<bool>> outputDims;
  SmallVector<unsigned> outputNumbers;
  for (auto [i, value] : llvm::enumerate(op.getOutputs())) {
    const TensorValue* target = resultOf(f, value);
    if (!target) continue;
    AffineMap map = s.maps[s.inputs.size() + i];
    FailureOr<Access> access = f.access(op, *target, map);
    if (failed(access)) return failure();
    outputs.push_back(*access);
    outputs.back().streamed = target->streamed;
    outputDims.push_back(s.dimsOf(map));
    outputNumbers.push_back(i);
  }
  std::optional<Access> last, chunkStates;
  const TensorValue* lastTarget = resultOf(f, op.getFinal());
  if (lastTarget) last = *f.access(op, *lastTarget, s.stateMap);
  const TensorValue* chunkTarget = op.getChunkStates() ? resultOf(f, op.getChunkStates()) : nullptr;
  if (chunkTarget) chunkStates = *chunkStatesAccess(s, *chunkTarget);

  SmallVector<const Access*> accesses;
  for (const Access& input : s.inputs) accesses.push_back(&input);
  for (const Access& output : outputs) accesses.push_back(&output);
  ScanNest nest(f, s.extents, s.time, accesses, op.getStateElementType(), outputDims);
  for (auto [output, dims] : llvm::zip(outputs, outputDims)) {
    output.streamed &=
        repaysStreaming(output, nest.lanes, {&op.getPrologue().front(), &op.getEpilogue().front()});
    if (failed(nest.addSink(output, dims))) return failure();
  }
  int64_t highOffset = nest.reserveStates(1), lowOffset = nest.reserveStates(1);
  KernelBuilder& b = f.b;
  ScanSteps steps(s, nest);
  Value zero = b.floatConstant(VectorType::get({nest.lanes}, nest.state), 0.0);

  return nest.forBlocks([&](const ScanPoint& block) -> LogicalResult {
    Value thread = f.threadOffset();
    Value high = nest.stateBuffer(thread, highOffset), low = nest.stateBuffer(thread, lowOffset);
    LogicalResult result =
        nest.forPoints(block, false, [&](const ScanPoint& at) -> FailureOr<ValueList> {
          nest.storeState(s.initial ? nest.load(*s.initial, at) : zero, high, at);
          nest.storeState(zero, low, at);
          return ValueList();
        });
    auto step = [&](Value t) {
      ScanPoint row = nest.atTime(block, t);
      Value start = steps.startsSegment(block, t), ahead = steps.later(t, kPrefetchSteps);
      if (failed(nest.beginTime(row))) result = failure();
      LogicalResult done =
          nest.forPoints(row, s.reverse, [&](const ScanPoint& at) -> FailureOr<ValueList> {
            for (const Access& input : s.inputs) nest.prefetch(input, at, ahead);
            ValueList inputs = steps.loadInputs(at);
            FailureOr<ValueList> ab = steps.run(op.getPrologue(), inputs);
            if (failed(ab)) return failure();
            Value begins = steps.startsAt(at, t, start);
            TwoFloats before =
                steps.resetAt(begins, TwoFloats{nest.loadState(high, at), nest.loadState(low, at)});
            auto [newHigh, newLow] =
                increased(b, scaled(b, steps.resetAt(begins, (*ab)[0]), before), (*ab)[1]);
            nest.storeState(newHigh, high, at);
            nest.storeState(newLow, low, at);
            ValueList args{newHigh};
            args.append(inputs);
            FailureOr<ValueList> all = steps.run(op.getEpilogue(), args);
            if (failed(all)) return failure();
            ValueList values;
            for (unsigned i : outputNumbers) values.push_back((*all)[i]);
            return values;
          });
      if (failed(done) || failed(nest.endTime(row))) result = failure();
    };
    if (!s.chunk) {
      b.loop(0, s.length(), 1, [&](Value i) { step(steps.timeOf(b.constant(0), i)); });
    } else {
      b.loop(0, s.chunks(), 1, [&](Value n) {
        Value c = s.reverse ? b.sub(b.constant(s.chunks() - 1), n) : n;
        if (chunkStates) {
          Access states = atChunk(b, *chunkTarget, *chunkStates, c);
          LogicalResult done =
              nest.forPoints(block, s.reverse, [&](const ScanPoint& at) -> FailureOr<ValueList> {
                nest.store(nest.loadState(high, at), states, at);
                return ValueList();
              });
          if (failed(done)) result = failure();
        }
        b.loop(b.constant(0), steps.sizeOf(c), 1, [&](Value i) { step(steps.timeOf(c, i)); });
      });
    }
    if (last) {
      LogicalResult done =
          nest.forPoints(block, false, [&](const ScanPoint& at) -> FailureOr<ValueList> {
            nest.store(nest.loadState(high, at), *last, at);
            return ValueList();
          });
      if (failed(done)) result = failure();
    }
    return result;
  });
}

LogicalResult emitScanVjp(KernelFunction& f, Operation* operation) {
  auto op = cast<ScanVjpOp>(operation);
  ScanOperands s{f,
                 op,
                 op.getIterationSizes(),
                 op.getMaps(),
                 op.getStateMap(),
                 op.getTimeDim(),
                 op.getReverse(),
                 static_cast<int64_t>(op.getChunk()),
                 {},
                 {},
                 {}};
  if (failed(readOperands(s, op.getInputs(), Value(), op.getSegments()))) return failure();
  SmallVector<Access> cotangents;
  for (auto [i, value] : llvm::enumerate(op.getCotangents())) {
    FailureOr<Access> access = accessOf(s, value, s.maps[s.inputs.size() + i]);
    if (failed(access)) return failure();
    cotangents.push_back(*access);
  }
  std::optional<Access> finalCotangent, initialCotangent;
  if (op.getFinalCotangent()) {
    FailureOr<Access> access = accessOf(s, op.getFinalCotangent(), s.stateMap);
    if (failed(access)) return failure();
    finalCotangent = *access;
  }
  const TensorValue& chunkTensor = f.tensors[op.getChunkStates()];
  FailureOr<Access> chunkStates = chunkStatesAccess(s, chunkTensor);
  if (failed(chunkStates)) return failure();
  if (Value value = op.getInitialCotangent())
    if (const TensorValue* target = resultOf(f, value))
      initialCotangent = *f.access(op, *target, s.stateMap);

  SmallVector<Access> gradients;
  SmallVector<SmallVector<bool>> gradientDims;
  SmallVector<unsigned> gradientNumbers;
  for (auto [i, input] : llvm::enumerate(op.getDifferentiatedInputs())) {
    const TensorValue* target = resultOf(f, op.getResults()[i]);
    if (!target) continue;
    gradients.push_back(*f.access(op, *target, s.maps[input]));
    gradients.back().streamed = target->streamed;
    gradientDims.push_back(s.dimsOf(s.maps[input]));
    gradientNumbers.push_back(i);
  }
  SmallVector<const Access*> accesses;
  for (const Access& input : s.inputs) accesses.push_back(&input);
  for (const Access& cotangent : cotangents) accesses.push_back(&cotangent);
  ScanNest nest(f, s.extents, s.time, accesses, op.getStateElementType(), gradientDims);
  for (auto [gradient, dims] : llvm::zip(gradients, gradientDims)) {
    gradient.streamed &=
        repaysStreaming(gradient, nest.lanes,
                        {&op.getPrologue().front(), &op.getAdjointEpilogue().front(),
                         &op.getAdjointPrologue().front()});
    if (failed(nest.addSink(gradient, dims))) return failure();
  }
  int64_t chunk = std::min(s.chunk, s.length());
  int64_t lambdaOffset = nest.reserveStates(1), lambdaLowOffset = nest.reserveStates(1),
          statesOffset = nest.reserveStates(chunk + 1);
  KernelBuilder& b = f.b;
  ScanSteps steps(s, nest);
  Value zero = b.floatConstant(VectorType::get({nest.lanes}, nest.state), 0.0);

  return nest.forBlocks([&](const ScanPoint& block) -> LogicalResult {
    Value thread = f.threadOffset();
    Value lambda = nest.stateBuffer(thread, lambdaOffset),
          lambdaLow = nest.stateBuffer(thread, lambdaLowOffset);
    Value states = nest.stateBuffer(thread, statesOffset, chunk + 1);
    LogicalResult result = success();
    auto points = [&](const ScanPoint& at, bool down,
                      function_ref<FailureOr<ValueList>(const ScanPoint&)> body) {
      if (failed(nest.forPoints(at, down, body))) result = failure();
    };
    points(block, false, [&](const ScanPoint& at) -> FailureOr<ValueList> {
      nest.storeState(finalCotangent ? nest.load(*finalCotangent, at) : zero, lambda, at);
      nest.storeState(zero, lambdaLow, at);
      return ValueList();
    });
    b.loop(0, s.chunks(), 1, [&](Value n) {
      // Chunks from the scan's last to its first.
      Value c = s.reverse ? n : b.sub(b.constant(s.chunks() - 1), n);
      Value size = steps.sizeOf(c);
      Access entering = atChunk(b, chunkTensor, *chunkStates, c);
      points(block, false, [&](const ScanPoint& at) -> FailureOr<ValueList> {
        nest.storeState(nest.load(entering, at), states, at, b.constant(0));
        return ValueList();
      });
      b.loop(b.constant(0), size, 1, [&](Value i) {
        Value t = steps.timeOf(c, i), start = steps.startsSegment(block, t);
        points(nest.atTime(block, t), s.reverse, [&](const ScanPoint& at) -> FailureOr<ValueList> {
          FailureOr<ValueList> ab = steps.run(op.getPrologue(), steps.loadInputs(at));
          if (failed(ab)) return failure();
          Value begins = steps.startsAt(at, t, start);
          Value before = steps.resetAt(begins, nest.loadState(states, at, i));
          Value h = math::FmaOp::create(b, steps.resetAt(begins, (*ab)[0]), before, (*ab)[1]);
          nest.storeState(h, states, at, b.add(i, 1));
          return ValueList();
        });
      });
      b.loop(b.constant(0), size, 1, [&](Value back) {
        Value i = b.sub(b.sub(size, b.constant(1)), back);
        Value t = steps.timeOf(c, i), start = steps.startsSegment(block, t);
        Value ahead = steps.later(t, -kPrefetchSteps);
        ScanPoint row = nest.atTime(block, t);
        if (failed(nest.beginTime(row))) result = failure();
        points(row, !s.reverse, [&](const ScanPoint& at) -> FailureOr<ValueList> {
          for (const Access& access : s.inputs) nest.prefetch(access, at, ahead);
          for (const Access& access : cotangents) nest.prefetch(access, at, ahead);
          ValueList inputs = steps.loadInputs(at);
          Value before = nest.loadState(states, at, i),
                after = nest.loadState(states, at, b.add(i, 1));
          ValueList args{after};
          args.append(inputs);
          for (const Access& access : cotangents) args.push_back(nest.load(access, at));
          FailureOr<ValueList> direct = steps.run(op.getAdjointEpilogue(), args);
          FailureOr<ValueList> ab = steps.run(op.getPrologue(), inputs);
          if (failed(direct) || failed(ab)) return failure();
          Value begins = steps.startsAt(at, t, start);
          Value a = steps.resetAt(begins, (*ab)[0]);
          TwoFloats carried{nest.loadState(lambda, at), nest.loadState(lambdaLow, at)};
          TwoFloats sum = increased(b, carried, (*direct)[0]);
          TwoFloats next = scaled(b, a, steps.resetAt(begins, sum));
          Value lam = sum.high;
          Value da = steps.resetAt(begins, arith::MulFOp::create(b, lam, before));
          nest.storeState(next.high, lambda, at);
          nest.storeState(next.low, lambdaLow, at);
          args = inputs;
          args.push_back(da);
          args.push_back(lam);
          FailureOr<ValueList> through = steps.run(op.getAdjointPrologue(), args);
          if (failed(through)) return failure();
          ValueList values;
          for (unsigned g : gradientNumbers) {
            Value x = nest.fitted((*direct)[g + 1], nest.state),
                  y = nest.fitted((*through)[g], nest.state);
            values.push_back(arith::AddFOp::create(b, x, y));
          }
          return values;
        });
        if (failed(nest.endTime(row))) result = failure();
      });
    });
    if (initialCotangent)
      points(block, false, [&](const ScanPoint& at) -> FailureOr<ValueList> {
        nest.store(nest.loadState(lambda, at), *initialCotangent, at);
        return ValueList();
      });
    return result;
  });
}

}  // namespace weir
