// What a model is trained to do: the loss of its output, as a function of its inputs and the
// targets.

#ifndef WEIR_COMPILER_ENTRY_POINTS_OBJECTIVE_H_
#define WEIR_COMPILER_ENTRY_POINTS_OBJECTIVE_H_

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace weir {

/// Turns a specialized model (expand.h) into its objective, in place: its one output, logits of
/// batch, time and vocabulary, is compared with a new argument `weir.input = "targets"`
/// (tensor<batch x time x i32>, below 0: masked) by weir.cross_entropy. The results become
/// `weir.output`s, all tensor<f32>: "loss" (the mean), "loss_sum", "correct", "count",
/// "sequences_correct". With `carriesState` states stay arguments and results; else initial states
/// become zeros (constants where their init says so) and last states are dropped. Diagnostics name
/// what doesn't fit.
mlir::LogicalResult addCrossEntropyObjective(mlir::func::FuncOp model, bool carriesState);

/// Replaces the initial states of a model by the values their init asks for.
mlir::LogicalResult bindInitialStates(mlir::func::FuncOp model);

}  // namespace weir

#endif  // WEIR_COMPILER_ENTRY_POINTS_OBJECTIVE_H_
