// How ops find the group whose kernel they share: what dispatch_groups.cpp and dispatch_sharing.cpp
// have in common.

#ifndef WEIR_COMPILER_TRANSFORMS_DISPATCH_GROUPING_H_
#define WEIR_COMPILER_TRANSFORMS_DISPATCH_GROUPING_H_

#include "compiler/transforms/dispatch_groups.h"

namespace weir {

/// Whether `op` (may be null) is a sum over rows of which a kernel may make those rows.
bool sumsRows(mlir::Operation* op);

class Grouping {
 public:
  using Group = DispatchGroup;
  using GroupPtr = std::unique_ptr<Group>;
  using RowLoops = llvm::DenseMap<mlir::Operation*, llvm::SmallVector<int>>;

  Grouping(mlir::Block& block, const DispatchLimits& limits);

  void run();
  std::vector<GroupPtr> takeInOrder();

 private:
  bool mergeAlongValues();
  bool mergeSiblings();
  void releaseViews();

  Group* groupOfValue(mlir::Value value) {
    mlir::Operation* op = value.getDefiningOp();
    return op ? groupOf.lookup(op) : nullptr;
  }

  /// Merges `b` into `a` if the result is a kernel that is worth it.
  bool tryMerge(Group* a, Group* b, mlir::Value shared);

  /// The rows that ops of both groups would have, given what flows between them (or both read); 0
  /// if none.
  int64_t commonRows(Group* a, Group* b, mlir::Value shared, RowLoops& rows);

  /// Why a kernel of both isn't worth it; empty if it is.
  llvm::StringRef drawback(Group* a, Group* b, int64_t rowRank, const RowLoops& rows);

  /// Why the groups can't be one kernel, or shouldn't; empty if they should, with the rows that
  /// their ops would have.
  llvm::StringRef obstacle(Group* a, Group* b, mlir::Value shared, int64_t& rank, RowLoops& rows);

  /// Says of each value that a group reads from another one why it isn't computed in the group.
  void explainBorders();

  int64_t borderAfter(int64_t at);

  /// Whether a path leads from `from` to `to` through a third group.
  bool reachesThroughOthers(Group* from, Group* to);

  int64_t lastPosition(Group* group) { return position[group->ops.back()]; }
  int64_t firstPosition(Group* group) { return position[group->ops.front()]; }

  void forEachSuccessor(Group* group, llvm::function_ref<void(Group*)> visit);

  mlir::Block& block;
  const DispatchLimits& limits;
  std::vector<GroupPtr> groups;
  llvm::DenseMap<mlir::Operation*, Group*> groupOf;
  llvm::DenseMap<mlir::Operation*, int64_t> position;
  /// Pairs that one value leads from the first to the second of, and that don't merge: with the
  /// numbers of ops that they had. Only more ops can change that, in either.
  llvm::DenseMap<std::pair<Group*, Group*>, std::pair<size_t, size_t>> refused;
};

}  // namespace weir

#endif  // WEIR_COMPILER_TRANSFORMS_DISPATCH_GROUPING_H_
