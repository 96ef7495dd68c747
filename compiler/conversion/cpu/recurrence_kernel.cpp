// weir.recurrence: a step on all rows of a batch, from token to token.
//
// Rows of the batch are independent, so that each thread takes a block of them through all of time:
// one fork for the whole sequence, no barrier between steps. States are in the thread's scratch
// memory, twice: a step reads one copy and writes the other. Matrices that all rows share are
// packed once before.

#include "compiler/conversion/cpu/rows_emitter.h"
#include "compiler/dialect/recurrence_ops.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

namespace weir {

using namespace mlir;

namespace {

/// The tensor without its dimension of time, which is the second.
TensorValue withoutTime(TensorValue tensor) {
  tensor.shape.erase(tensor.shape.begin() + 1);
  if (!tensor.scalar) tensor.strides.erase(tensor.strides.begin() + 1);
  return tensor;
}

TensorValue stateTensor(Type type) {
  auto tensor = cast<RankedTensorType>(type);
  TensorValue state;
  state.element = tensor.getElementType();
  state.shape.assign(tensor.getShape().begin(), tensor.getShape().end());
  state.strides = denseStrides(state.shape);
  state.tile = true;
  return state;
}

int64_t rowSize(const TensorValue& tensor) {
  return ShapedType::getNumElements(ArrayRef<int64_t>(tensor.shape).drop_front());
}

class RecurrenceEmitter {
 public:
  RecurrenceEmitter(KernelFunction& f, RecurrenceOp op)
      : f(f), b(f.b), op(op), step(op.getStep().front()) {}
  LogicalResult emit();

 private:
  Access rowAccess(const TensorValue& tensor, Value row);
  /// to[row, :] = from[row, :], or 0 without `from`, for the rows of the block; `only` may restrict
  /// it to one row.
  LogicalResult copyRow(const TensorValue* from, Value fromRow, const TensorValue& to, Value toRow);
  LogicalResult copyRows(const TensorValue* from, bool fromBlock, const TensorValue& to,
                         bool toBlock);
  LogicalResult resetStates(Value t, Value before);
  void dropUnusedOutputs();

  KernelFunction& f;
  KernelBuilder& b;
  RecurrenceOp op;
  Block& step;
  Value firstRow, rowCount;
  SmallVector<TensorValue> states;  // the copy that is read
};

Access RecurrenceEmitter::rowAccess(const TensorValue& tensor, Value row) {
  Access access = f.origin(tensor);
  if (tensor.scalar) return access;
  access.base = b.offset(access.base, row, tensor.strides[0]);
  access.strides.assign(tensor.strides.begin() + 1, tensor.strides.end());
  return access;
}

LogicalResult RecurrenceEmitter::copyRow(const TensorValue* from, Value fromRow,
                                         const TensorValue& to, Value toRow) {
  Access source;
  if (from) {
    source = rowAccess(*from, fromRow);
  } else {
    source.element = to.element;
    source.scalar = b.floatConstant(to.element, 0.0);
  }
  SmallVector<LoopDim> dims;
  for (int64_t extent : ArrayRef<int64_t>(to.shape).drop_front()) dims.push_back(dimOf(extent));
  return copyStrided(f, source, rowAccess(to, toRow), dims);
}

LogicalResult RecurrenceEmitter::copyRows(const TensorValue* from, bool fromBlock,
                                          const TensorValue& to, bool toBlock) {
  LogicalResult result = success();
  b.loop(b.constant(0), rowCount, 1, [&](Value i) {
    Value row = b.add(firstRow, i);
    result = copyRow(from, fromBlock ? i : row, to, toBlock ? i : row);
  });
  return result;
}

/// Zeroes the states of rows in which another document begins at time t.
LogicalResult RecurrenceEmitter::resetStates(Value t, Value before) {
  const TensorValue& segments = f.tensors[op.getSegments()];
  if (segments.scalar) return success();
  Access access;
  access.memref = segments.memref;
  access.element = segments.element;
  LogicalResult result = success();
  b.loop(b.constant(0), rowCount, 1, [&](Value i) {
    Value row = b.offset(b.constant(segments.offset), b.add(firstRow, i), segments.strides[0]);
    Value now = loadScalar(b, access, b.offset(row, t, segments.strides[1]));
    Value then = loadScalar(b, access, b.offset(row, before, segments.strides[1]));
    b.ifThen(arith::CmpIOp::create(b, arith::CmpIPredicate::ne, now, then), [&] {
      for (const TensorValue& state : states)
        if (failed(copyRow(nullptr, Value(), state, i))) result = failure();
    });
  });
  return result;
}

/// The step yields no outputs that the kernel does not return, and computes nothing for them.
void RecurrenceEmitter::dropUnusedOutputs() {
  Operation* yield = step.getTerminator();
  for (unsigned i = op.getNumOutputs(); i-- > 0;)
    if (!resultOf(f, op.getOutputs()[i])) yield->eraseOperand(i);
  for (Operation& inner : llvm::make_early_inc_range(llvm::reverse(step)))
    if (isOpTriviallyDead(&inner)) inner.erase();
}

LogicalResult RecurrenceEmitter::emit() {
  auto batchType = cast<RankedTensorType>(op.getInputs()[0].getType());
  int64_t length = batchType.getDimSize(1);
  for (Value operand : op->getOperands())
    if (f.tensors[operand].isEmpty())
      return op.emitOpError("reads a tensor that was never written");
  // What the step sees: inputs at a time, states, captured tensors; where its results go.
  SmallVector<TensorValue> targets, inputs;
  for (auto [argument, value] : llvm::zip_equal(op.getInputArguments(), op.getInputs())) {
    inputs.push_back(withoutTime(f.tensors[value]));
    f.tensors[argument] = inputs.back();
  }
  for (Value argument : op.getStateArguments()) {
    states.push_back(stateTensor(argument.getType()));
    f.tensors[argument] = states.back();
  }
  for (auto [argument, value] : llvm::zip_equal(op.getCapturedArguments(), op.getCaptured())) {
    TensorValue captured = f.tensors[value];
    f.tensors[argument] = captured;
  }
  dropUnusedOutputs();
  SmallVector<int64_t> outputStrides;
  for (Value output : op.getOutputs()) {
    const TensorValue* result = resultOf(f, output);
    if (!result) continue;
    outputStrides.push_back(result->strides[1]);
    targets.push_back(withoutTime(*result));
  }
  targets.append(states.begin(), states.end());

  RowsEmitter rows(f, step, targets, /*rowRank=*/1);
  if (failed(rows.collect())) return failure();
  rows.assignResults();
  if (failed(rows.prepare())) return failure();
  SmallVector<int64_t> sizes, offsets;
  for (const TensorValue& state : states) {
    sizes.push_back(roundUp(rows.chunk * rowSize(state), 16));
    offsets.push_back(f.thread.reserve(2 * sizes.back() * storageBytes(state.element)));
  }
  LogicalResult result = success();
  b.parallelLoop(rows.blocks(), rows.work * length >= kParallelWork, [&](Value number) {
    RowsEmitter::RowBlock block = rows.enterBlock(number);
    firstRow = block.from;
    rowCount = block.size ? block.size : b.constant(rows.chunk);
    auto place = [&](TensorValue& state, size_t i, Value copy) {
      state.memref = b.view(f.threadScratch, b.add(block.threadOffset, offsets[i]), 2 * sizes[i],
                            state.element);
      state.start = b.mul(copy, sizes[i]);
    };
    for (auto [i, state] : llvm::enumerate(states)) {
      place(state, i, b.constant(0));
      TensorValue initial = f.tensors[op.getInitial()[i]];
      if (failed(copyRows(&initial, false, state, true))) result = failure();
    }
    b.loop(0, length, 1, [&](Value s) {
      Value t = op.getReverse() ? b.sub(b.constant(length - 1), s) : s;
      Value copy = b.rem(s, 2);
      for (auto [i, state] : llvm::enumerate(states)) {
        place(state, i, copy);
        f.tensors[op.getStateArguments()[i]] = state;
      }
      if (op.getSegments()) {
        Value before = op.getReverse() ? b.minimum(b.add(t, 1), b.constant(length - 1))
                                       : b.maximum(b.sub(t, b.constant(1)), b.constant(0));
        if (failed(resetStates(t, before))) result = failure();
      }
      for (auto [i, argument] : llvm::enumerate(op.getInputArguments())) {
        TensorValue input = inputs[i];
        const TensorValue& whole = f.tensors[op.getInputs()[i]];
        if (!input.scalar) input.start = b.mul(t, whole.strides[1]);
        f.tensors[argument] = input;
      }
      SmallVector<TensorValue> now = targets;
      for (size_t i = 0; i < outputStrides.size(); ++i) now[i].start = b.mul(t, outputStrides[i]);
      Value other = b.sub(b.constant(1), copy);
      for (size_t i = 0; i < states.size(); ++i) place(now[outputStrides.size() + i], i, other);
      rows.moveTargets(now);
      if (failed(rows.emitSteps(block))) result = failure();
    });
    for (auto [i, state] : llvm::enumerate(states)) {
      const TensorValue* last = resultOf(f, op.getFinals()[i]);
      if (!last) continue;
      place(state, i, b.constant(length % 2));
      if (failed(copyRows(&state, true, *last, false))) result = failure();
    }
  });
  return result;
}

}  // namespace

LogicalResult emitRecurrence(KernelFunction& f, Operation* op) {
  return RecurrenceEmitter(f, cast<RecurrenceOp>(op)).emit();
}

}  // namespace weir
