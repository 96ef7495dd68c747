#include "compiler/conversion/cpu/kernel_builder.h"

#include <utility>

#include "llvm/ADT/TypeSwitch.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/TypeUtilities.h"

namespace weir {

using namespace mlir;

Value KernelBuilder::constant(int64_t value) {
  return arith::ConstantIndexOp::create(*this, value);
}

Value KernelBuilder::add(Value a, Value b) { return createOrFold<arith::AddIOp>(a, b); }

Value KernelBuilder::sub(Value a, Value b) { return createOrFold<arith::SubIOp>(a, b); }

Value KernelBuilder::mul(Value a, Value b) { return createOrFold<arith::MulIOp>(a, b); }

Value KernelBuilder::div(Value a, int64_t b) {
  return createOrFold<arith::DivUIOp>(a, constant(b));
}

Value KernelBuilder::rem(Value a, int64_t b) {
  return createOrFold<arith::RemUIOp>(a, constant(b));
}

Value KernelBuilder::minimum(Value a, Value b) { return createOrFold<arith::MinSIOp>(a, b); }

Value KernelBuilder::maximum(Value a, Value b) { return createOrFold<arith::MaxSIOp>(a, b); }

Value KernelBuilder::offset(Value base, Value a, int64_t stride) {
  return stride == 0 ? base : add(base, mul(a, stride));
}

Value KernelBuilder::splat(Value scalar, int64_t lanes) {
  return vector::BroadcastOp::create(*this, VectorType::get({lanes}, scalar.getType()), scalar);
}

static Value typedConstant(KernelBuilder& b, Type type, TypedAttr element) {
  if (auto vector = dyn_cast<VectorType>(type))
    return arith::ConstantOp::create(b, vector, DenseElementsAttr::get(vector, Attribute(element)));
  return arith::ConstantOp::create(b, type, element);
}

Value KernelBuilder::floatConstant(Type type, double value) {
  return typedConstant(*this, type, getFloatAttr(getElementTypeOrSelf(type), value));
}

Value KernelBuilder::intConstant(Type type, int64_t value) {
  return typedConstant(*this, type, getIntegerAttr(getElementTypeOrSelf(type), value));
}

Value KernelBuilder::f32Bits(Type type, uint32_t bits) {
  APFloat value(APFloat::IEEEsingle(), APInt(32, bits));
  return typedConstant(*this, type, FloatAttr::get(getF32Type(), value));
}

void KernelBuilder::loop(Value from, Value to, int64_t step, function_ref<void(Value)> body) {
  auto op = scf::ForOp::create(*this, from, to, constant(step));
  OpBuilder::InsertionGuard guard(*this);
  setInsertionPointToStart(op.getBody());
  body(op.getInductionVar());
}

ValueList KernelBuilder::loop(Value from, Value to, int64_t step, ValueRange inits,
                              function_ref<ValueList(Value, ValueRange)> body) {
  if (inits.empty()) {
    loop(from, to, step, [&](Value i) { body(i, {}); });
    return {};
  }
  auto op = scf::ForOp::create(*this, from, to, constant(step), inits);
  {
    OpBuilder::InsertionGuard guard(*this);
    setInsertionPointToStart(op.getBody());
    ValueList results = body(op.getInductionVar(), op.getRegionIterArgs());
    scf::YieldOp::create(*this, results);
  }
  return ValueList(op.getResults());
}

void KernelBuilder::parallelLoop(int64_t count, bool parallel, function_ref<void(Value)> body) {
  if (!parallel || count == 1) return loop(0, count, 1, body);
  auto op = scf::ParallelOp::create(*this, ValueRange{constant(0)}, ValueRange{constant(count)},
                                    ValueRange{constant(1)});
  OpBuilder::InsertionGuard guard(*this);
  setInsertionPointToStart(op.getBody());
  bool before = std::exchange(fenceNeeded, false);
  body(op.getInductionVars()[0]);
  fenceStreamedStores();
  fenceNeeded = before;
}

void KernelBuilder::fenceStreamedStores() {
  if (!std::exchange(fenceNeeded, false)) return;
  LLVM::CallIntrinsicOp::create(*this, getStringAttr("llvm.x86.sse.sfence"), ValueRange{});
}

void KernelBuilder::prefetch(Value memref, Value at, Cache cache, bool isWrite) {
  memref::PrefetchOp::create(*this, memref, ValueRange{at}, isWrite,
                             /*localityHint=*/cache == Cache::First ? 3 : 2, /*isDataCache=*/true);
}

void KernelBuilder::ifThen(Value condition, function_ref<void()> body) {
  auto op = scf::IfOp::create(*this, condition, /*withElseRegion=*/false);
  OpBuilder::InsertionGuard guard(*this);
  setInsertionPointToStart(op.thenBlock());
  body();
}

Value KernelBuilder::lessThan(Value a, Value b) {
  return createOrFold<arith::CmpIOp>(arith::CmpIPredicate::slt, a, b);
}

Value KernelBuilder::view(Value bytes, Value byteOffset, int64_t elements, Type element) {
  auto type = MemRefType::get({elements}, storageType(element));
  return memref::ViewOp::create(*this, type, bytes, byteOffset, ValueRange{});
}

bool isMultipleOf(Value value, int64_t factor) {
  auto both = [&](Value a, Value b) { return isMultipleOf(a, factor) && isMultipleOf(b, factor); };
  if (auto argument = dyn_cast<BlockArgument>(value)) {
    auto loop = dyn_cast<LoopLikeOpInterface>(argument.getOwner()->getParentOp());
    if (!loop || !loop.getLoopInductionVars()) return false;
    for (auto [variable, from, step] :
         llvm::zip(*loop.getLoopInductionVars(), *loop.getLoopLowerBounds(), *loop.getLoopSteps()))
      if (variable == value && isa<Value>(from) && isa<Value>(step))
        return both(cast<Value>(from), cast<Value>(step));
    return false;
  }
  return llvm::TypeSwitch<Operation*, bool>(value.getDefiningOp())
      .Case<arith::ConstantIndexOp>([&](auto op) { return op.value() % factor == 0; })
      .Case<arith::AddIOp, arith::SubIOp, arith::MinSIOp, arith::MaxSIOp>(
          [&](auto op) { return both(op.getLhs(), op.getRhs()); })
      .Case<arith::MulIOp>([&](auto op) {
        return isMultipleOf(op.getLhs(), factor) || isMultipleOf(op.getRhs(), factor);
      })
      .Default(false);
}

Type storageType(Type type) {
  if (type.isInteger(1)) return IntegerType::get(type.getContext(), 8);
  return type.isBF16() ? IntegerType::get(type.getContext(), 16) : type;
}

int64_t storageBytes(Type type) {
  return type.isIndex() ? 8 : divideUp(type.getIntOrFloatBitWidth(), 8);
}

}  // namespace weir
