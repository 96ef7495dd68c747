// The steps from an expanded model to functions that entry points call.

#ifndef WEIR_COMPILER_ENTRY_POINTS_MODEL_FUNCTIONS_H_
#define WEIR_COMPILER_ENTRY_POINTS_MODEL_FUNCTIONS_H_

#include "compiler/dialect/experiment_ops.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"

namespace weir {

struct SpecializedModel {
  llvm::StringRef name;
  int64_t batch, time;
  Precision precision;
  bool isTraining;
};

/// Adds a specialized clone of `model` to the module.
mlir::FailureOr<mlir::func::FuncOp> addSpecialized(mlir::ModuleOp module, mlir::func::FuncOp model,
                                                   const SpecializedModel& settings);

/// Checks that the logits of an objective have `vocabulary` classes at least (0: anything goes).
mlir::LogicalResult checkVocabulary(mlir::func::FuncOp objective, int64_t vocabulary);

struct SequenceSettings {
  Precision precision;
  /// Off: no op is made of several, or absorbed into a scan.
  bool fuse = true;
  /// What weir.train says of `logits`: "auto", "stored" or "recomputed".
  llvm::StringRef logits = "auto";
};

/// autocast (bf16), then ops in terms of those that have a gradient, fused.
mlir::LogicalResult runSequencePipeline(mlir::ModuleOp module, const SequenceSettings& settings);

enum class DifferentiationKind {
  /// Of the output "loss", for parameters.
  Loss,
  /// Of the output "loss_sum" and the last states, weighed by cotangents, for parameters and
  /// initial
  /// states.
  Window,
  /// Of all float outputs, weighed by cotangents, for parameters, inputs and states.
  Cotangents,
};

/// differentiate and partition.
mlir::LogicalResult runDifferentiation(mlir::ModuleOp module, DifferentiationKind kind);

/// The results of `train_backward` that are gradients of parameters.
llvm::SmallVector<unsigned> parameterGradients(mlir::ModuleOp module);

/// Adds `train_optimizer`, and `train_accumulate` if a step has several batches.
mlir::LogicalResult addOptimizer(mlir::ModuleOp module, ExperimentOp experiment);

}  // namespace weir

#endif  // WEIR_COMPILER_ENTRY_POINTS_MODEL_FUNCTIONS_H_
