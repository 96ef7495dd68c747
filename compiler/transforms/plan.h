// The memory plan of a module: what the program builder turns into a program.
//
//   FailureOr<ModulePlan> plan = planModule(module);
//   for (PlannedLaunch& launch : plan->entries[0].launches) ... launch.op.getKernel(),
//   launch.buffers ...

#ifndef WEIR_COMPILER_TRANSFORMS_PLAN_H_
#define WEIR_COMPILER_TRANSFORMS_PLAN_H_

#include <vector>

#include "mlir/IR/BuiltinOps.h"

#include "compiler/transforms/plan_entry.h"

namespace weir {

struct ModulePlan {
  PlanShared shared;
  std::vector<PlannedEntry> entries;
};

/// Plans every function with the attribute `weir.entry`. Changes the module: calls are inlined into
/// the entry points, copies are added, kernels get variants for the strides of their buffers, and
/// launches say in `buffers` where their operands and results live. Errors: an argument or result
/// that says neither input, output nor variable; anything but launches, views and constants in an
/// entry point; no entry point at all.
mlir::FailureOr<ModulePlan> planModule(mlir::ModuleOp module);

}  // namespace weir

#endif  // WEIR_COMPILER_TRANSFORMS_PLAN_H_
