#include "compiler/conversion/cpu/kernel_function.h"

#include "compiler/dialect/attention_ops.h"
#include "compiler/dialect/embedding_ops.h"
#include "compiler/dialect/loss_ops.h"
#include "compiler/dialect/recurrence_ops.h"
#include "compiler/dialect/ring_ops.h"
#include "compiler/dialect/scan_ops.h"
#include "llvm/ADT/TypeSwitch.h"
#include "mlir/Conversion/LLVMCommon/MemRefBuilder.h"
#include "mlir/Conversion/LLVMCommon/TypeConverter.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

namespace weir {

using namespace mlir;

SmallVector<int64_t> denseStrides(ArrayRef<int64_t> shape) {
  SmallVector<int64_t> strides(shape.size());
  int64_t size = 1;
  for (size_t d = shape.size(); d-- > 0;) {
    strides[d] = size;
    size *= shape[d];
  }
  return strides;
}

Value KernelFunction::buffer(Value number, Type element) {
  MLIRContext* context = b.getContext();
  auto pointer = LLVM::LLVMPointerType::get(context);
  Value index = arith::IndexCastOp::create(b, b.getI64Type(), number);
  Value slot = LLVM::GEPOp::create(b, pointer, pointer, addresses, ValueRange{index});
  Value address = LLVM::LoadOp::create(b, pointer, slot);
  auto type = MemRefType::get({kEverything}, storageType(element));
  LLVMTypeConverter converter(context);
  Value memref = MemRefDescriptor::fromStaticShape(b, b.getLoc(), converter, type, address);
  return UnrealizedConversionCastOp::create(b, type, memref).getResult(0);
}

Value KernelFunction::threadOffset() {
  auto call =
      func::CallOp::create(b, "omp_get_thread_num", TypeRange{b.getI32Type()}, ValueRange{});
  Value thread = arith::IndexCastOp::create(b, b.getIndexType(), call.getResult(0));
  auto size = arith::ConstantIndexOp::create(b, -1);
  threadSizes.push_back(size.getOperation());
  return arith::MulIOp::create(b, thread, size);
}

void KernelFunction::finishThreadScratch() {
  for (Operation* op : threadSizes)
    cast<arith::ConstantOp>(op).setValueAttr(b.getIndexAttr(thread.size()));
}

namespace {

/// Adds `expr * factor` to a linear form over dimensions.
LogicalResult addLinear(AffineExpr expr, int64_t factor, SmallVectorImpl<int64_t>& strides,
                        int64_t& offset) {
  if (auto dim = dyn_cast<AffineDimExpr>(expr)) {
    strides[dim.getPosition()] += factor;
    return success();
  }
  if (auto constant = dyn_cast<AffineConstantExpr>(expr)) {
    offset += factor * constant.getValue();
    return success();
  }
  auto binary = dyn_cast<AffineBinaryOpExpr>(expr);
  if (!binary) return failure();
  if (expr.getKind() == AffineExprKind::Add)
    return success(succeeded(addLinear(binary.getLHS(), factor, strides, offset)) &&
                   succeeded(addLinear(binary.getRHS(), factor, strides, offset)));
  auto scale = dyn_cast<AffineConstantExpr>(binary.getRHS());
  if (expr.getKind() != AffineExprKind::Mul || !scale) return failure();
  return addLinear(binary.getLHS(), factor * scale.getValue(), strides, offset);
}

}  // namespace

Access KernelFunction::origin(const TensorValue& tensor) {
  Access access;
  access.memref = tensor.memref;
  access.scalar = tensor.scalar;
  access.element = tensor.element;
  if (tensor.scalar) return access;
  access.base = b.constant(tensor.offset);
  if (tensor.start) access.base = b.add(access.base, tensor.start);
  return access;
}

FailureOr<Access> KernelFunction::access(Operation* op, const TensorValue& tensor, AffineMap map) {
  Access result;
  result.element = tensor.element;
  result.scalar = tensor.scalar;
  if (tensor.scalar) return result;
  result.memref = tensor.memref;
  result.tile = tensor.tile;
  result.strides.assign(map.getNumDims(), 0);
  int64_t offset = tensor.offset;
  for (auto [i, expr] : llvm::enumerate(map.getResults()))
    if (failed(addLinear(expr, tensor.strides[i], result.strides, offset)))
      return op->emitOpError("has an indexing map that is not linear");
  result.base = tensor.start ? b.add(tensor.start, offset) : b.constant(offset);
  return result;
}

FailureOr<std::optional<TensorValue>> KernelFunction::viewOf(Operation* op) {
  if (!isa<tensor::ExtractSliceOp, tensor::ExpandShapeOp, tensor::CollapseShapeOp, tensor::CastOp>(
          op))
    return std::optional<TensorValue>();
  TensorValue view = tensors.lookup(op->getOperand(0));
  SmallVector<int64_t> shape(cast<RankedTensorType>(op->getResult(0).getType()).getShape());
  if (view.scalar || view.isEmpty()) {
    view.shape = shape;
    return std::optional<TensorValue>(view);
  }
  if (auto slice = dyn_cast<tensor::ExtractSliceOp>(op)) {
    if (llvm::any_of(slice.getStaticOffsets(), ShapedType::isDynamic) ||
        llvm::any_of(slice.getStaticStrides(), ShapedType::isDynamic))
      return op->emitOpError("needs static offsets inside of a kernel");
    llvm::SmallBitVector dropped = slice.getDroppedDims();
    SmallVector<int64_t> strides;
    for (size_t d = 0; d < view.strides.size(); ++d) {
      view.offset += slice.getStaticOffsets()[d] * view.strides[d];
      if (!dropped.test(d)) strides.push_back(view.strides[d] * slice.getStaticStrides()[d]);
    }
    view.strides = strides;
  } else if (auto expand = dyn_cast<tensor::ExpandShapeOp>(op)) {
    SmallVector<int64_t> strides(shape.size(), 1);
    for (auto [d, group] : llvm::enumerate(expand.getReassociationIndices())) {
      int64_t stride = view.strides[d];
      for (int64_t i : llvm::reverse(group)) {
        strides[i] = stride;
        stride *= shape[i];
      }
    }
    view.strides = strides;
  } else if (auto collapse = dyn_cast<tensor::CollapseShapeOp>(op)) {
    SmallVector<int64_t> strides;
    for (const ReassociationIndices& group : collapse.getReassociationIndices()) {
      std::optional<int64_t> innermost, next;
      for (int64_t d : llvm::reverse(group)) {
        if (view.shape[d] == 1) continue;
        if (!innermost) innermost = view.strides[d];
        if (next && view.strides[d] != *next)
          return op->emitOpError("collapses dimensions that are not adjacent in memory");
        next = view.strides[d] * view.shape[d];
      }
      strides.push_back(innermost.value_or(1));
    }
    view.strides = strides;
  }
  view.shape = shape;
  return std::optional<TensorValue>(view);
}

LogicalResult KernelFunction::describeOp(Operation* op) {
  auto type =
      op->getNumResults() == 1 ? dyn_cast<RankedTensorType>(op->getResult(0).getType()) : nullptr;
  if (!type) return cloneScalarOp(op);
  TensorValue value;
  value.element = type.getElementType();
  value.shape.assign(type.getShape().begin(), type.getShape().end());
  if (auto constant = dyn_cast<arith::ConstantOp>(op)) {
    auto dense = dyn_cast<DenseElementsAttr>(constant.getValue());
    if (!dense || !dense.isSplat())
      return op->emitOpError("is not a splat: pass it as an argument");
    value.scalar = arith::ConstantOp::create(b, dense.getSplatValue<TypedAttr>());
  } else if (auto fill = dyn_cast<linalg::FillOp>(op)) {
    value.scalar = scalars.lookupOrNull(fill.getInputs()[0]);
    if (!value.scalar)
      return op->emitOpError("fills with a value that is not a scalar of the kernel");
  } else if (!isa<tensor::EmptyOp>(op)) {
    return op->emitOpError("cannot be part of a kernel");
  }
  tensors[op->getResult(0)] = value;
  return success();
}

LogicalResult KernelFunction::cloneScalarOp(Operation* op) {
  if (auto extract = dyn_cast<tensor::ExtractOp>(op)) {
    const TensorValue& tensor = tensors[extract.getTensor()];
    if (!tensor.scalar && !tensor.memref)
      return op->emitOpError("reads a value that the kernel computes");
    Access source;
    source.memref = tensor.memref;
    source.scalar = tensor.scalar;
    source.element = tensor.element;
    Value at = b.constant(tensor.offset);
    if (!tensor.scalar)
      for (auto [index, stride] : llvm::zip(extract.getIndices(), tensor.strides))
        at = b.offset(at, scalars.lookup(index), stride);
    scalars.map(extract.getResult(), loadScalar(b, source, at));
    return success();
  }
  if (op->getNumRegions() ||
      llvm::any_of(op->getOperands(), [&](Value v) { return !scalars.contains(v); }))
    return op->emitOpError("cannot be part of a kernel");
  b.clone(*op, scalars);
  return success();
}

const TensorValue* resultOf(KernelFunction& f, Value value) {
  Operation* terminator = f.kernel.getBody().front().getTerminator();
  for (auto [i, returned] : llvm::enumerate(terminator->getOperands()))
    if (returned == value) return &f.results[i];
  return nullptr;
}

LogicalResult emitKernel(KernelFunction& f) {
  if (isSweep(f.kernel)) return emitSweep(f);
  Operation* root = nullptr;
  for (Operation& op : f.kernel.getBody().front().without_terminator())
    if (isa<ScanOp, ScanVjpOp, RecurrenceOp, GatherRowsOp, ScatterRowsOp, AttentionOp,
            AttentionVjpOp, LogitStatisticsOp, LogitStatisticsVjpOp, MixedChunksOp,
            MixedChunksVjpOp, WriteRingOp>(op)) {
      if (root) return op.emitOpError("must be alone in its kernel");
      root = &op;
    }
  if (!root) return emitRowsKernel(f);
  for (Operation& op : f.kernel.getBody().front().without_terminator()) {
    if (&op == root) break;
    FailureOr<std::optional<TensorValue>> view = f.viewOf(&op);
    if (failed(view)) return failure();
    if (*view)
      f.tensors[op.getResult(0)] = **view;
    else if (failed(f.describeOp(&op)))
      return failure();
  }
  if (root->getNextNode() != f.kernel.getBody().front().getTerminator())
    return root->getNextNode()->emitOpError("follows ")
           << root->getName() << ", which must be alone in its kernel";
  return llvm::TypeSwitch<Operation*, LogicalResult>(root)
      .Case<ScanOp>([&](auto op) { return emitScan(f, op); })
      .Case<ScanVjpOp>([&](auto op) { return emitScanVjp(f, op); })
      .Case<RecurrenceOp>([&](auto op) { return emitRecurrence(f, op); })
      .Case<AttentionOp>([&](auto op) { return emitAttention(f, op); })
      .Case<AttentionVjpOp>([&](auto op) { return emitAttentionVjp(f, op); })
      .Case<WriteRingOp>([&](auto op) { return emitWriteRing(f, op); })
      .Case<GatherRowsOp>([&](auto op) { return emitGatherRows(f, op); })
      .Case<LogitStatisticsOp>([&](auto op) { return emitLogitStatistics(f, op); })
      .Case<LogitStatisticsVjpOp>([&](auto op) { return emitLogitStatisticsVjp(f, op); })
      .Case<MixedChunksOp>([&](auto op) { return emitMixedChunks(f, op); })
      .Case<MixedChunksVjpOp>([&](auto op) { return emitMixedChunksVjp(f, op); })
      .Default([&](Operation* op) { return emitScatterRows(f, op); });
}

}  // namespace weir
