#include "compiler/conversion/cpu/scan_steps.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"

namespace weir {

using namespace mlir;

SmallVector<bool> ScanOperands::dimsOf(AffineMap map) const {
  SmallVector<bool> has(extents.size(), false);
  for (AffineExpr expr : map.getResults()) has[cast<AffineDimExpr>(expr).getPosition()] = true;
  return has;
}

FailureOr<Access> ScanOperands::accessOf(Value value, AffineMap map) {
  const TensorValue& tensor = f.tensors[value];
  if (tensor.isEmpty()) return op->emitOpError("reads a tensor that was never written");
  return f.access(op, tensor, map);
}

LogicalResult ScanOperands::read(ValueRange values, Value initialValue, Value segmentsValue) {
  for (auto [i, value] : llvm::enumerate(values)) {
    FailureOr<Access> access = accessOf(value, maps[i]);
    if (failed(access)) return failure();
    inputs.push_back(*access);
  }
  if (initialValue) {
    FailureOr<Access> access = accessOf(initialValue, stateMap);
    if (failed(access)) return failure();
    initial = *access;
  }
  if (segmentsValue) {
    size_t batch = time == 0 ? 1 : 0;
    MLIRContext* context = op->getContext();
    AffineMap map = AffineMap::get(
        extents.size(), 0, {getAffineDimExpr(batch, context), getAffineDimExpr(time, context)},
        context);
    FailureOr<Access> access = accessOf(segmentsValue, map);
    if (failed(access)) return failure();
    segments = *access;
  }
  return success();
}

FailureOr<Access> ScanOperands::chunkStates(TensorValue tensor) {
  tensor.strides.erase(tensor.strides.begin());
  tensor.shape.erase(tensor.shape.begin());
  return f.access(op, tensor, stateMap);
}

Access atChunk(KernelBuilder& b, const TensorValue& tensor, Access states, Value c) {
  states.base = b.offset(states.base, c, tensor.strides[0]);
  return states;
}

Value valueOf(KernelBuilder& b, TwoFloats x) { return arith::AddFOp::create(b, x.high, x.low); }

TwoFloats normalized(KernelBuilder& b, TwoFloats x) {
  Value high = valueOf(b, x);
  Value rest = arith::SubFOp::create(b, high, x.high);
  return {high, arith::SubFOp::create(b, x.low, rest)};
}

TwoFloats advanced(KernelBuilder& b, Value a, TwoFloats x, Value y) {
  auto sub = [&](Value p, Value q) -> Value { return arith::SubFOp::create(b, p, q); };
  Value sum = math::FmaOp::create(b, a, x.high, y);
  Value product = sub(sum, y);
  Value error = math::FmaOp::create(b, a, x.high, arith::NegFOp::create(b, product));
  error = arith::AddFOp::create(b, error, sub(y, sub(sum, product)));
  return {sum, math::FmaOp::create(b, a, x.low, error)};
}

Value ScanSteps::timeOf(Value c, Value i) {
  Value start = b.mul(c, s.chunk);
  return s.reverse ? b.sub(b.sub(b.add(start, sizeOf(c)), b.constant(1)), i) : b.add(start, i);
}

Value ScanSteps::sizeOf(Value c) {
  int64_t size = std::min(s.chunk, s.length());
  if (s.length() % size == 0) return b.constant(size);
  return b.minimum(b.constant(size), b.sub(b.constant(s.length()), b.mul(c, size)));
}

Value ScanSteps::later(Value t, int64_t steps) {
  t = b.add(t, s.reverse ? -steps : steps);
  return b.minimum(b.maximum(t, b.constant(0)), b.constant(s.length() - 1));
}

Value ScanSteps::startsSegment(const ScanPoint& at, Value t) {
  if (!s.segments || !llvm::is_contained(nest.outer, batch())) return Value();
  auto id = [&](Value time) {
    return loadScalar(b, *s.segments, nest.offsetOf(*s.segments, nest.atTime(at, time)));
  };
  Value start = arith::CmpIOp::create(b, arith::CmpIPredicate::ne, id(t), id(later(t, -1)));
  return b.splat(start, nest.lanes);
}

Value ScanSteps::startsAt(const ScanPoint& at, Value t, Value start) {
  if (!s.segments || start) return start;
  auto ids = [&](Value time) { return nest.load(*s.segments, nest.atTime(at, time)); };
  return arith::CmpIOp::create(b, arith::CmpIPredicate::ne, ids(t), ids(later(t, -1)));
}

Value ScanSteps::resetAt(Value start, Value x) {
  if (!start) return x;
  return arith::SelectOp::create(b, start, b.floatConstant(x.getType(), 0.0), x);
}

ValueList ScanSteps::loadInputs(const ScanPoint& at, ArrayRef<std::pair<Block*, unsigned>> blocks) {
  ValueList values;
  for (auto [i, input] : llvm::enumerate(s.inputs)) {
    bool used = llvm::any_of(blocks, [&, i = i](std::pair<Block*, unsigned> block) {
      return !block.first->getArgument(block.second + i).use_empty();
    });
    values.push_back(used ? nest.load(input, at) : Value());
  }
  return values;
}

}  // namespace weir
