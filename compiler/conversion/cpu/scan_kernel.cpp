// weir.scan.

#include "compiler/conversion/cpu/scan_steps.h"
#include "compiler/dialect/scan_ops.h"

namespace weir {

using namespace mlir;

LogicalResult emitScan(KernelFunction& f, Operation* operation) {
  auto op = cast<ScanOp>(operation);
  op.materializeRegions();
  ScanOperands s(f, op, static_cast<int64_t>(op.getChunk().value_or(kScanChunk)));
  if (failed(s.read(op.getInputs(), op.getInitial(), op.getSegments()))) return failure();
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
  if (chunkTarget) chunkStates = *s.chunkStates(*chunkTarget);

  SmallVector<const Access*> accesses;
  for (const Access& input : s.inputs) accesses.push_back(&input);
  for (const Access& output : outputs) accesses.push_back(&output);
  ScanNest nest(f, s.extents, s.time, accesses, op.getStateElementType(), outputDims);
  for (auto [output, dims] : llvm::zip(outputs, outputDims)) {
    output.streamed &=
        repaysStreaming(output, nest.lanes, {&op.getPrologue().front(), &op.getEpilogue().front()});
    if (failed(nest.addSink(output, dims))) return failure();
  }
  StateBuffer state(nest);
  KernelBuilder& b = f.b;
  ScanSteps steps(s, nest);
  Value zero = b.floatConstant(VectorType::get({nest.lanes}, nest.state), 0.0);

  return nest.forBlocks([&](const ScanPoint& block) -> LogicalResult {
    state.open(f.threadOffset());
    LogicalResult result =
        nest.forPoints(block, false, [&](const ScanPoint& at) -> FailureOr<ValueList> {
          state.store({s.initial ? nest.load(*s.initial, at) : zero, zero}, at);
          return ValueList();
        });
    auto step = [&](Value t) {
      ScanPoint row = nest.atTime(block, t);
      Value start = steps.startsSegment(block, t), ahead = steps.later(t, kPrefetchSteps);
      if (failed(nest.beginTime(row))) result = failure();
      LogicalResult done =
          nest.forPoints(row, s.reverse, [&](const ScanPoint& at) -> FailureOr<ValueList> {
            for (const Access& input : s.inputs) nest.prefetch(input, at, ahead);
            Block &prologue = op.getPrologue().front(), &epilogue = op.getEpilogue().front();
            ValueList inputs = steps.loadInputs(at, {{&prologue, 0}, {&epilogue, 1}});
            FailureOr<ValueList> ab = steps.run(prologue, inputs);
            if (failed(ab)) return failure();
            Value begins = steps.startsAt(at, t, start);
            TwoFloats after = advanced(b, steps.resetAt(begins, (*ab)[0]),
                                       steps.resetAt(begins, state.load(at)), (*ab)[1]);
            state.store(after, at);
            ValueList args{valueOf(b, after)};
            args.append(inputs);
            FailureOr<ValueList> all = steps.run(epilogue, args);
            if (failed(all)) return failure();
            ValueList values;
            for (unsigned i : outputNumbers) values.push_back((*all)[i]);
            return values;
          });
      if (failed(done) || failed(nest.endTime(row))) result = failure();
    };
    b.loop(0, s.chunks(), 1, [&](Value n) {
      Value c = s.reverse ? b.sub(b.constant(s.chunks() - 1), n) : n;
      std::optional<Access> states;
      if (chunkStates) states = atChunk(b, *chunkTarget, *chunkStates, c);
      LogicalResult done =
          nest.forPoints(block, s.reverse, [&](const ScanPoint& at) -> FailureOr<ValueList> {
            TwoFloats entering = normalized(b, state.load(at));
            state.store(entering, at);
            if (states) nest.store(entering.high, *states, at);
            return ValueList();
          });
      if (failed(done)) result = failure();
      b.loop(b.constant(0), steps.sizeOf(c), 1, [&](Value i) { step(steps.timeOf(c, i)); });
    });
    if (last) {
      LogicalResult done =
          nest.forPoints(block, false, [&](const ScanPoint& at) -> FailureOr<ValueList> {
            nest.store(valueOf(b, state.load(at)), *last, at);
            return ValueList();
          });
      if (failed(done)) result = failure();
    }
    return result;
  });
}

}  // namespace weir
