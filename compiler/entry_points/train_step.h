// The host function of a training step: which function is called on which batch, and what goes from
// one to the next.

#ifndef WEIR_COMPILER_ENTRY_POINTS_TRAIN_STEP_H_
#define WEIR_COMPILER_ENTRY_POINTS_TRAIN_STEP_H_

#include "mlir/IR/BuiltinOps.h"

namespace weir {

/// Adds the entry point `train_step`, which calls `train_forward`, `train_backward`,
/// `train_optimizer` and, where gradients are added up, `train_accumulate` of the module. Its
/// inputs hold `accumulate * windows` batches of the task, one after the other.
///
/// Each `windows` of them are one window of a longer text: all are read forward, states going from
/// one to the next, then all backward, cotangents of the states coming back. What forward hands to
/// backward is kept for all of them. Between these groups states go on, gradients don't. States are
/// variables `state.<path>`; like parameters they stay as they were in a step whose loss or
/// gradient isn't finite.
///
/// With several windows, `train_backward` is that of a window (differentiate with seed=states).
mlir::LogicalResult addTrainStep(mlir::ModuleOp module, int64_t accumulate, int64_t windows);

}  // namespace weir

#endif  // WEIR_COMPILER_ENTRY_POINTS_TRAIN_STEP_H_
