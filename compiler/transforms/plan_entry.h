// The memory plan of one entry point.

#ifndef WEIR_COMPILER_TRANSFORMS_PLAN_ENTRY_H_
#define WEIR_COMPILER_TRANSFORMS_PLAN_ENTRY_H_

#include <string>
#include <vector>

#include "mlir/Dialect/Func/IR/FuncOps.h"

#include "compiler/dialect/dispatch_ops.h"
#include "compiler/transforms/plan_kernels.h"
#include "runtime/program/program.h"

namespace weir {

/// What the entry points of a module share.
struct PlanShared {
  /// In the order in which entry points mention them.
  std::vector<runtime::Variable> variables;
  llvm::StringMap<int64_t> variableNumbers;
  std::vector<std::string> constants;
  llvm::DenseMap<mlir::Attribute, int64_t> constantNumbers;
};

struct PlannedLaunch {
  LaunchOp op;
  /// One per operand, then one per result.
  std::vector<runtime::BufferRef> buffers;
};

struct PlannedEntry {
  std::string name;
  std::vector<runtime::TensorSpec> inputs;
  std::vector<runtime::TensorSpec> outputs;
  std::vector<PlannedLaunch> launches;
  int64_t arenaBytes = 0;
  /// The most bytes of the arena that are in use at any one time.
  int64_t arenaLowerBound = 0;
};

/// Plans a flat entry point: decides where every tensor lives, adds copies where views can't do,
/// and lets launches use kernels for the strides that result. Views turn into offsets;
/// concatenations are written in place by their producers; variables are updated in place where
/// nothing reads the old value later.
mlir::FailureOr<PlannedEntry> planEntry(mlir::func::FuncOp entry, mlir::SymbolTable& symbols,
                                        PlanKernels& kernels, PlanShared& shared);

}  // namespace weir

#endif  // WEIR_COMPILER_TRANSFORMS_PLAN_ENTRY_H_
