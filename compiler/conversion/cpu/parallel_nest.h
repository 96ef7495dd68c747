// A loop nest on all threads.

#ifndef WEIR_COMPILER_CONVERSION_CPU_PARALLEL_NEST_H_
#define WEIR_COMPILER_CONVERSION_CPU_PARALLEL_NEST_H_

#include "compiler/conversion/cpu/loop_nest.h"

namespace weir {

/// Scratch memory of a kernel, as offsets into one buffer of bytes.
class ScratchPlan {
 public:
  /// Reserves `bytes`, aligned to a cache line, and returns their offset.
  int64_t reserve(int64_t bytes) {
    int64_t offset = size_;
    size_ += roundUp(bytes, 64);
    return offset;
  }
  int64_t size() const { return size_; }
  void growTo(int64_t size) { size_ = std::max(size_, roundUp(size, 64)); }

 private:
  int64_t size_ = 0;
};

/// Emits `nest` split over blocks of its outermost dimension. If that one is reduced, every block
/// writes partial results to shared scratch memory, and they are combined in a fixed order: the
/// number of blocks depends on shapes only.
mlir::LogicalResult emitParallelNest(KernelBuilder& b, LoopNest nest, mlir::Value sharedScratch,
                                     ScratchPlan& scratch);

/// Emits a nest on the calling thread.
using NestEmitter = llvm::function_ref<mlir::LogicalResult(LoopNest)>;

/// Emits `nest` split over `blocks` blocks of `chunk` iterations of its reduced dimension `dim`,
/// each block by `emit`. Parts
/// have unit strides along `innermost`, or else as the inputs have.
mlir::LogicalResult emitSplitReduction(KernelBuilder& b, LoopNest nest, size_t dim, int64_t blocks,
                                       int64_t chunk, mlir::Value sharedScratch,
                                       ScratchPlan& scratch, NestEmitter emit,
                                       std::optional<size_t> innermost = std::nullopt);

/// An output of the parts of a reduction: the first part's, the others follow, `size` elements
/// each.
struct PartialResults {
  Access first;
  int64_t size = 0;
};
/// Combines `count` parts of the reduction `nest`, for each of its outputs, in their order.
mlir::LogicalResult emitCombination(KernelBuilder& b, const LoopNest& nest,
                                    llvm::ArrayRef<PartialResults> partial, int64_t count,
                                    ScratchPlan& scratch);

/// Narrows `nest` to the indices [from, from + size) of `dim`.
void restrictDim(KernelBuilder& b, LoopNest& nest, size_t dim, mlir::Value from, mlir::Value size,
                 int64_t extent);

/// Loops shorter than this many evaluations of a region stay on one thread.
constexpr int64_t kParallelWork = 1 << 15;

}  // namespace weir

#endif  // WEIR_COMPILER_CONVERSION_CPU_PARALLEL_NEST_H_
