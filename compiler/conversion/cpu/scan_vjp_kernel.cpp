// weir.scan_vjp.

#include "compiler/conversion/cpu/scan_steps.h"
#include "compiler/conversion/cpu/scan_sweeps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/Matchers.h"

namespace weir {

using namespace mlir;

namespace {

/// A value at all points of a chunk of a block may take this many bytes: with the states and a
/// handful of others it stays in the second cache.
constexpr int64_t kKeptBytes = 256 << 10;

/// An input is loaded again only where keeping it would go through memory.
KeepCosts keepCosts(const ScanNest& nest, int64_t chunk) {
  int64_t bytes = chunk * nest.stateSize() * storageBytes(nest.state);
  return bytes <= kKeptBytes ? KeepCosts{6, 6} : KeepCosts{40, 10};
}

/// x + y in the type of states. Where `isZero`, x is a constant zero.
Value sumOf(ScanNest& nest, bool isZero, Value x, Value y) {
  if (isZero) return y;
  return arith::AddFOp::create(nest.b, nest.fitted(x, nest.state), nest.fitted(y, nest.state));
}

}  // namespace

LogicalResult emitScanVjp(KernelFunction& f, Operation* operation) {
  auto op = cast<ScanVjpOp>(operation);
  ScanOperands s(f, op, static_cast<int64_t>(op.getChunk()));
  if (failed(s.read(op.getInputs(), Value(), op.getSegments()))) return failure();
  SmallVector<Access> cotangents;
  for (auto [i, value] : llvm::enumerate(op.getCotangents())) {
    FailureOr<Access> access = s.accessOf(value, s.maps[s.inputs.size() + i]);
    if (failed(access)) return failure();
    cotangents.push_back(*access);
  }
  std::optional<Access> finalCotangent, initialCotangent;
  if (op.getFinalCotangent()) {
    FailureOr<Access> access = s.accessOf(op.getFinalCotangent(), s.stateMap);
    if (failed(access)) return failure();
    finalCotangent = *access;
  }
  const TensorValue& chunkTensor = f.tensors[op.getChunkStates()];
  FailureOr<Access> chunkStates = s.chunkStates(chunkTensor);
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
  ScanSweeps sweeps;
  splitSweeps(
      op, gradientNumbers, keepCosts(nest, chunk),
      [&](unsigned input) {
        const Access& access = s.inputs[input];
        return access.isScalar() || !access.strides[nest.time] || !access.strides[nest.vector];
      },
      sweeps);
  // The cotangent of the state after a step, and the decay on its way to the step before.
  StateBuffer carried(nest);
  int64_t decayOffset = nest.reserve(1, nest.state),
          statesOffset = nest.reserve(chunk + 1, nest.state);
  SmallVector<int64_t> keptOffsets;
  for (Type type : sweeps.kept) keptOffsets.push_back(nest.reserve(chunk, type));
  KernelBuilder& b = f.b;
  ScanSteps walk(s, nest);
  VectorType vectorType = VectorType::get({nest.lanes}, nest.state);
  Value zero = b.floatConstant(vectorType, 0.0), one = b.floatConstant(vectorType, 1.0);

  return nest.forBlocks([&](const ScanPoint& block) -> LogicalResult {
    Value thread = f.threadOffset();
    carried.open(thread);
    Access decay = nest.buffer(thread, decayOffset, 1, nest.state),
           states = nest.buffer(thread, statesOffset, chunk + 1, nest.state);
    SmallVector<Access> kept;
    for (auto [type, offset] : llvm::zip(sweeps.kept, keptOffsets))
      kept.push_back(nest.buffer(thread, offset, chunk, type));
    LogicalResult result = success();
    auto points = [&](const ScanPoint& at, bool down,
                      function_ref<FailureOr<ValueList>(const ScanPoint&)> body) {
      if (failed(nest.forPoints(at, down, body))) result = failure();
    };
    points(block, false, [&](const ScanPoint& at) -> FailureOr<ValueList> {
      carried.store({finalCotangent ? nest.load(*finalCotangent, at) : zero, zero}, at);
      nest.storeAt(one, decay, at);
      return ValueList();
    });
    auto forward = [&](Value t, Value i) {
      ScanPoint row = nest.atTime(block, t);
      Value start = walk.startsSegment(block, t), ahead = walk.later(t, kPrefetchSteps);
      points(row, s.reverse, [&](const ScanPoint& at) -> FailureOr<ValueList> {
        for (const Access& input : s.inputs) nest.prefetch(input, at, ahead);
        FailureOr<ValueList> values =
            walk.run(sweeps.forward, walk.loadInputs(at, {{&sweeps.forward, 0}}));
        if (failed(values)) return failure();
        Value begins = walk.startsAt(at, t, start);
        Value before = walk.resetAt(begins, nest.loadAt(states, at, i));
        Value h = math::FmaOp::create(b, walk.resetAt(begins, (*values)[0]), before, (*values)[1]);
        nest.storeAt(h, states, at, b.add(i, 1));
        for (auto [buffer, value] : llvm::zip(kept, ValueRange(*values).drop_front(2)))
          nest.storeAt(value, buffer, at, i);
        return ValueList();
      });
    };
    auto backward = [&](Value t, Value i) {
      ScanPoint row = nest.atTime(block, t);
      Value start = walk.startsSegment(block, t), ahead = walk.later(t, -kPrefetchSteps);
      if (failed(nest.beginTime(row))) result = failure();
      points(row, !s.reverse, [&](const ScanPoint& at) -> FailureOr<ValueList> {
        for (const Access& access : cotangents) nest.prefetch(access, at, ahead);
        ValueList args = walk.loadInputs(at, {{&sweeps.direct, 0}, {&sweeps.through, 0}});
        for (const Access& buffer : kept) args.push_back(nest.loadAt(buffer, at, i));
        ValueList directArgs(args);
        bool readsState = !sweeps.direct.getArgument(directArgs.size()).use_empty();
        directArgs.push_back(readsState ? nest.loadAt(states, at, b.add(i, 1)) : Value());
        for (const Access& access : cotangents) directArgs.push_back(nest.load(access, at));
        FailureOr<ValueList> direct = walk.run(sweeps.direct, directArgs);
        if (failed(direct)) return failure();
        Value begins = walk.startsAt(at, t, start);
        TwoFloats sum = advanced(b, nest.loadAt(decay, at), carried.load(at), (*direct)[1]);
        Value lambda = valueOf(b, sum);
        carried.store(walk.resetAt(begins, sum), at);
        nest.storeAt(walk.resetAt(begins, (*direct)[0]), decay, at);
        Value before = nest.loadAt(states, at, i);
        args.push_back(walk.resetAt(begins, arith::MulFOp::create(b, lambda, before)));
        args.push_back(lambda);
        FailureOr<ValueList> through = walk.run(sweeps.through, args);
        if (failed(through)) return failure();
        ValueList values;
        OperandRange yielded = sweeps.direct.getTerminator()->getOperands();
        for (auto [scalar, x, y] :
             llvm::zip(yielded.drop_front(2), ValueRange(*direct).drop_front(2), *through))
          values.push_back(sumOf(nest, matchPattern(scalar, m_AnyZeroFloat()), x, y));
        return values;
      });
      if (failed(nest.endTime(row))) result = failure();
    };
    b.loop(0, s.chunks(), 1, [&](Value n) {
      // Chunks from the scan's last to its first.
      Value c = s.reverse ? n : b.sub(b.constant(s.chunks() - 1), n);
      Value size = walk.sizeOf(c);
      Access entering = atChunk(b, chunkTensor, *chunkStates, c);
      points(block, false, [&](const ScanPoint& at) -> FailureOr<ValueList> {
        nest.storeAt(nest.load(entering, at), states, at, b.constant(0));
        carried.store(normalized(b, carried.load(at)), at);
        return ValueList();
      });
      b.loop(b.constant(0), size, 1, [&](Value i) { forward(walk.timeOf(c, i), i); });
      b.loop(b.constant(0), size, 1, [&](Value back) {
        Value i = b.sub(b.sub(size, b.constant(1)), back);
        backward(walk.timeOf(c, i), i);
      });
    });
    if (initialCotangent)
      points(block, false, [&](const ScanPoint& at) -> FailureOr<ValueList> {
        TwoFloats last = advanced(b, nest.loadAt(decay, at), carried.load(at), zero);
        nest.store(valueOf(b, last), *initialCotangent, at);
        return ValueList();
      });
    return result;
  });
}

}  // namespace weir
