// A kernel while it is emitted: where its tensors live and what its scalars are.

#ifndef WEIR_COMPILER_CONVERSION_CPU_KERNEL_FUNCTION_H_
#define WEIR_COMPILER_CONVERSION_CPU_KERNEL_FUNCTION_H_

#include "compiler/conversion/cpu/parallel_nest.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"

namespace weir {

/// Storage of a tensor: a strided window of a one-dimensional memref, a scalar that all elements
/// equal, or (tensor.empty) nothing.
struct TensorValue {
  mlir::Value memref;
  mlir::Value scalar;
  /// First element: `offset`, plus `start` if it is set.
  int64_t offset = 0;
  mlir::Value start;
  llvm::SmallVector<int64_t> shape, strides;
  mlir::Type element;
  /// A value of the current block of rows: its row dimensions start at the block's first row.
  bool tile = false;
  /// A result with `weir.streamed`: written past the caches, unless the kernel itself reads it.
  bool streamed = false;
  /// The value that owns the storage (views share it).
  mlir::Value root;

  bool isEmpty() const { return !memref && !scalar && !tile; }
};

/// The size of buffers whose size isn't told: more than any has.
constexpr int64_t kEverything = int64_t{1} << 40;

llvm::SmallVector<int64_t> denseStrides(llvm::ArrayRef<int64_t> shape);

/// The function being emitted for `kernel`.
struct KernelFunction {
  KernelFunction(mlir::func::FuncOp kernel, KernelBuilder& b) : kernel(kernel), b(b) {}

  mlir::func::FuncOp kernel;
  KernelBuilder& b;
  mlir::IRMapping scalars;
  llvm::DenseMap<mlir::Value, TensorValue> tensors;
  llvm::SmallVector<TensorValue> results;
  mlir::Value sharedScratch, threadScratch;
  /// Of a kernel that sweeps: the addresses of all buffers. Its tensors have no memrefs.
  mlir::Value addresses;
  ScratchPlan shared, thread;
  bool usesTiles = false;

  /// The buffer of that number, by its address: arguments, results, shared and thread scratch.
  mlir::Value buffer(mlir::Value number, mlir::Type element);
  /// Offset in bytes of the calling thread's scratch memory. Its size is only known once the kernel
  /// is emitted: a placeholder constant is filled in by finishThreadScratch.
  mlir::Value threadOffset();
  void finishThreadScratch();

  /// The access of a nest of `numDims` dimensions to `tensor` through `map`; fails if the map is
  /// not linear.
  mlir::FailureOr<Access> access(mlir::Operation* op, const TensorValue& tensor,
                                 mlir::AffineMap map);
  /// The first element of `tensor`, without strides. A scalar has no base.
  Access origin(const TensorValue& tensor);
  /// Storage of a view of `source`, for tensor.extract_slice, expand_shape and collapse_shape;
  /// empty if `op` is none of them.
  mlir::FailureOr<std::optional<TensorValue>> viewOf(mlir::Operation* op);
  /// Describes what needs no loops: constants, tensor.empty, linalg.fill, and scalars, which are
  /// emitted at once.
  mlir::LogicalResult describeOp(mlir::Operation* op);
  /// Maps a scalar operation by cloning it; fails if it needs anything but scalars.
  mlir::LogicalResult cloneScalarOp(mlir::Operation* op);

  llvm::SmallVector<mlir::Operation*> threadSizes;
};

/// Copies small arguments that ops would gather from to scratch memory, in another order.
mlir::LogicalResult layOutGatheredTables(KernelFunction& f);
/// Whether a kernel sweeps over many tensors, and its emission.
bool isSweep(mlir::func::FuncOp kernel);
mlir::LogicalResult emitSweep(KernelFunction& f);
/// Emits a kernel of linalg ops (rows group or single op).
mlir::LogicalResult emitRowsKernel(KernelFunction& f);
/// Emit kernels of one weir op; other operations of the kernel are described already.
mlir::LogicalResult emitScan(KernelFunction& f, mlir::Operation* op);
mlir::LogicalResult emitScanVjp(KernelFunction& f, mlir::Operation* op);
mlir::LogicalResult emitGatherRows(KernelFunction& f, mlir::Operation* op);
mlir::LogicalResult emitRecurrence(KernelFunction& f, mlir::Operation* op);
mlir::LogicalResult emitAttention(KernelFunction& f, mlir::Operation* op);
mlir::LogicalResult emitAttentionVjp(KernelFunction& f, mlir::Operation* op);
mlir::LogicalResult emitScatterRows(KernelFunction& f, mlir::Operation* op);
mlir::LogicalResult emitWriteRing(KernelFunction& f, mlir::Operation* op);
mlir::LogicalResult emitLogitStatistics(KernelFunction& f, mlir::Operation* op);
mlir::LogicalResult emitLogitStatisticsVjp(KernelFunction& f, mlir::Operation* op);
mlir::LogicalResult emitMixedChunks(KernelFunction& f, mlir::Operation* op);
mlir::LogicalResult emitMixedChunksVjp(KernelFunction& f, mlir::Operation* op);
/// Storage for result `value` of the kernel's op; null if the kernel does not return it.
const TensorValue* resultOf(KernelFunction& f, mlir::Value value);
/// Emits any kernel.
mlir::LogicalResult emitKernel(KernelFunction& f);

}  // namespace weir

#endif  // WEIR_COMPILER_CONVERSION_CPU_KERNEL_FUNCTION_H_
