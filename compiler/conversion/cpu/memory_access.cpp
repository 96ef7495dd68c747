// Vector loads and stores of strided operands.

#include <numeric>

#include "compiler/conversion/cpu/loop_nest.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

namespace weir {

using namespace mlir;

namespace {

Type withElement(Type like, Type element) {
  auto vector = dyn_cast<VectorType>(like);
  return vector ? Type(vector.clone(element)) : element;
}

/// Turns what is in memory (see storageType) into values of type `element`, or vectors of them, and
/// back.
Value fromStorage(KernelBuilder& b, Value value, Type element) {
  if (element.isBF16())
    return arith::BitcastOp::create(b, withElement(value.getType(), element), value);
  if (!element.isInteger(1)) return value;
  return arith::CmpIOp::create(b, arith::CmpIPredicate::ne, value,
                               b.intConstant(value.getType(), 0));
}

Value toStorage(KernelBuilder& b, Value value, Type element) {
  Type type = withElement(value.getType(), storageType(element));
  if (element.isBF16()) return arith::BitcastOp::create(b, type, value);
  if (!element.isInteger(1)) return value;
  return arith::ExtUIOp::create(b, type, value);
}

/// The same bits. LLVM makes a store of bf16 of one of i16 that were converted to bf16, and knows
/// none of bf16 past the caches.
Value hiddenFromStores(KernelBuilder& b, Value bits) {
  auto type = cast<VectorType>(bits.getType());
  auto floats = VectorType::get({type.getNumElements() / 2}, b.getF32Type());
  Value hidden = vector::BitCastOp::create(b, floats, bits);
  hidden = LLVM::CallIntrinsicOp::create(b, floats, b.getStringAttr("llvm.arithmetic.fence"),
                                         ValueRange{hidden})
               .getResult(0);
  return vector::BitCastOp::create(b, type, hidden);
}

Value zero(KernelBuilder& b, Type type) {
  return arith::ConstantOp::create(b, type, cast<TypedAttr>(b.getZeroAttr(type)));
}

Value laneOffsets(KernelBuilder& b, int64_t stride, int64_t lanes) {
  SmallVector<int64_t> offsets;
  for (int64_t i = 0; i < lanes; ++i) offsets.push_back(i * stride);
  auto type = VectorType::get({lanes}, b.getIndexType());
  return arith::ConstantOp::create(b, type, DenseIntElementsAttr::get(type, offsets));
}

Value allLanes(KernelBuilder& b, int64_t lanes) {
  auto type = VectorType::get({lanes}, b.getI1Type());
  return arith::ConstantOp::create(b, type, DenseElementsAttr::get(type, true));
}

}  // namespace

bool repaysStreaming(const Access& access, int64_t lanes, ArrayRef<Block*> blocks) {
  if (lanes * storageBytes(access.element) >= kLineBytes) return true;
  auto isFunction = [](Operation& op) {
    return isa<math::MathDialect>(op.getDialect()) && !isa<math::FmaOp, math::AbsFOp>(op);
  };
  return llvm::none_of(blocks, [&](Block* block) { return llvm::any_of(*block, isFunction); });
}

Value loadScalar(KernelBuilder& b, const Access& access, Value offset) {
  if (access.isScalar()) return access.scalar;
  return fromStorage(b, memref::LoadOp::create(b, access.memref, ValueRange{offset}),
                     access.element);
}

void storeScalar(KernelBuilder& b, Value value, const Access& access, Value offset) {
  memref::StoreOp::create(b, toStorage(b, value, access.element), access.memref,
                          ValueRange{offset});
}

Value loadVector(KernelBuilder& b, const Access& access, Value offset, int64_t stride,
                 int64_t lanes, Value mask) {
  if (access.isScalar() || stride == 0) return b.splat(loadScalar(b, access, offset), lanes);
  auto type = VectorType::get({lanes}, storageType(access.element));
  Value value;
  if (stride == 1) {
    if (mask)
      value = vector::MaskedLoadOp::create(b, type, access.memref, ValueRange{offset}, mask,
                                           zero(b, type));
    else
      value = vector::LoadOp::create(b, type, access.memref, ValueRange{offset});
  } else {
    value = vector::GatherOp::create(b, type, access.memref, ValueRange{offset},
                                     laneOffsets(b, stride, lanes),
                                     mask ? mask : allLanes(b, lanes), zero(b, type));
  }
  return fromStorage(b, value, access.element);
}

Value joined(KernelBuilder& b, Value low, Value high) {
  auto type = cast<VectorType>(low.getType());
  SmallVector<int64_t> order(2 * type.getNumElements());
  std::iota(order.begin(), order.end(), 0);
  return vector::ShuffleOp::create(b, low, high, order);
}

void storeVector(KernelBuilder& b, Value value, const Access& access, Value offset, int64_t stride,
                 Value mask) {
  value = toStorage(b, value, access.element);
  int64_t lanes = cast<VectorType>(value.getType()).getNumElements();
  if (stride == 1) {
    int64_t bytes = lanes * storageBytes(access.element);
    if (mask) {
      vector::MaskedStoreOp::create(b, access.memref, ValueRange{offset}, mask, value);
    } else if (access.streamed && 2 * bytes >= kLineBytes && isMultipleOf(offset, lanes)) {
      // Without an alignment this would become stores of scalars.
      if (access.element.isBF16()) value = hiddenFromStores(b, value);
      vector::StoreOp::create(b, value, access.memref, ValueRange{offset}, /*nontemporal=*/true,
                              llvm::Align(bytes));
      b.noteStreamedStore();
    } else {
      vector::StoreOp::create(b, value, access.memref, ValueRange{offset});
    }
    return;
  }
  vector::ScatterOp::create(b, /*resultType=*/Type(), access.memref, ValueRange{offset},
                            laneOffsets(b, stride, lanes), mask ? mask : allLanes(b, lanes), value);
}

}  // namespace weir
