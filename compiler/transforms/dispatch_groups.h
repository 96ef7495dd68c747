// Which ops of a host function share a kernel.
//
// The ops of a group have a row space in common: leading dimensions that every value between them
// has, with the same extents, and that producer and consumer walk alike. So one thread can take a
// block of rows through all ops of the group, and what isn't a result of the group never leaves its
// cache. A product brings its epilogue along this way, a norm its reductions. What one kernel
// sweeps over (sweeps.h) is a group, too, without rows.

#ifndef WEIR_COMPILER_TRANSFORMS_DISPATCH_GROUPS_H_
#define WEIR_COMPILER_TRANSFORMS_DISPATCH_GROUPS_H_

#include <memory>
#include <vector>

#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/SetVector.h"
#include "mlir/IR/Block.h"
#include "mlir/IR/Operation.h"

namespace weir {

/// What a kernel may cost; the one place for it.
struct DispatchLimits {
  /// Bytes of values of a block of rows that stay inside a kernel: half of a second-level cache, so
  /// that what streams through has room.
  int64_t scratchBytes = 512 << 10;
  /// A product wants blocks of at least so many rows, other kernels can do with few.
  int64_t rowsPerProductBlock = 16;
  int64_t rowsPerBlock = 2;
  /// Bytes of the weights of all products of a kernel that has more than one.
  int64_t weightBytes = 1 << 20;
  /// Rows below which a kernel can't keep threads busy, unless its ops had as few on their own.
  int64_t minRows = 16;
  /// Work that is worth the loss of parallelism anyway, in points of the iteration spaces.
  int64_t smallPoints = 1 << 15;
  int64_t maxOps = 64;
  int64_t maxValues = 64;
};

struct DispatchGroup {
  /// In the order of the block.
  std::vector<mlir::Operation*> ops;
  /// Leading dimensions that all ops share; 0 for ops that are alone.
  int64_t rowRank = 0;
  /// For each op: the loop that is row dimension 0, 1, ...
  llvm::DenseMap<mlir::Operation*, llvm::SmallVector<int>> rowLoops;
  /// Stays as it is in the host function: a view, a call, the terminator.
  bool isHost = false;
  /// For each operand that another group makes: why that group isn't part of this one.
  llvm::DenseMap<mlir::OpOperand*, llvm::StringRef> apart;
};

/// Ops that kernels clone instead of receiving their results: constants of one number, empty
/// tensors, fills.
bool isClonedIntoKernels(mlir::Operation* op);

/// Splits the ops of `block` into groups, in an order in which they can run. Ops of which each
/// kernel has its own copy are in none.
std::vector<std::unique_ptr<DispatchGroup>> groupOps(mlir::Block& block,
                                                     const DispatchLimits& limits);

}  // namespace weir

#endif  // WEIR_COMPILER_TRANSFORMS_DISPATCH_GROUPS_H_
