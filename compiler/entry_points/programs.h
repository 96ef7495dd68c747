// From an expanded model (transforms/expand.h) to the module of a program: its entry points as
// functions of linalg and scans, ready to be dispatched, planned and compiled (program_builder).

#ifndef WEIR_COMPILER_ENTRY_POINTS_PROGRAMS_H_
#define WEIR_COMPILER_ENTRY_POINTS_PROGRAMS_H_

#include <optional>
#include <string>

#include "compiler/dialect/experiment_ops.h"
#include "llvm/ADT/StringMap.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"

namespace weir {

/// A pipeline that stops early, for `weir compile --stop-after`: the module as it is after that
/// level.
enum class Level { Expanded, Specialized, Sequence, Differentiated, Optimized };

/// Whether an experiment's states go on from batch to batch: weir.train {state = "carry"}.
bool carriesState(ExperimentOp experiment);

struct TrainingSettings {
  /// Shape of the task's tokens and targets.
  int64_t batch = 0, time = 0;
  /// Classes of the targets; the model's output must have as many features.
  int64_t vocabulary = 0;
  /// Make `eval` and `init` only.
  bool evaluateOnly = false;
  /// Off: for kernels of one op each (FormKernelsOptions::fuse).
  bool fuse = true;
  /// Where to stop; Optimized is the whole of what this builds.
  Level stopAfter = Level::Optimized;
};

/// The entry points `init`, `train_step` and `eval` of an experiment: inputs `tokens`, `targets`
/// and, if the model was expanded with segments, `segments`; variables are the parameters by path,
/// `optimizer.m.<path>`, `optimizer.v.<path>` and `rng`. Where the experiment carries state, the
/// model was expanded with `start`, states are variables `state.<path>`, and the entry point
/// `reset` sets them to what they begin as. `expanded` is not changed.
mlir::FailureOr<mlir::OwningOpRef<mlir::ModuleOp>> buildTrainingModule(
    mlir::ModuleOp expanded, ExperimentOp experiment, const TrainingSettings& settings);

struct RunSettings {
  /// The shape of each input by name; all batches and lengths must agree.
  llvm::StringMap<llvm::SmallVector<int64_t>> inputShapes;
  Precision precision = Precision::F32;
  /// Also make the entry point `gradients`.
  bool gradients = false;
  /// Run the step form (transforms/step_form.h), with this bound on what attention looks back on:
  /// its states are inputs and outputs as the model's own are. The model must have been expanded
  /// with `start`.
  std::optional<int64_t> stepContext;
  /// Every op by itself (pipelines.h).
  bool separate = false;
  Level stopAfter = Level::Optimized;
};

/// The entry points `init` (as above) and `run` of a model: inputs by their names,
/// `segments` if the model was expanded with them, and `state.<path>` for initial states; outputs
/// `output`, and `state.<path>` for last states; and with `gradients` an entry point of that name:
/// the same inputs, `cotangent` (of the output) and `cotangent.<path>` (of last states), outputs
/// `output`, `state.<path>`, and the gradients of sum(output * cotangent) under the parameters'
/// paths, `input.<name>` for float inputs and `state_gradient.<path>` for initial states.
mlir::FailureOr<mlir::OwningOpRef<mlir::ModuleOp>> buildRunModule(mlir::ModuleOp expanded,
                                                                  const RunSettings& settings);

struct StreamSettings {
  int64_t batch = 1;
  /// Tokens of `prefill`; 0: there is none.
  int64_t chunk = 256;
  /// How many tokens, itself included, a token of attention looks back on at most.
  int64_t context = 0;
  Precision precision = Precision::F32;
  /// Rows hold several documents: there is an input `segments`. The model must have been expanded
  /// with segments then.
  bool segments = false;
  Level stopAfter = Level::Optimized;
};

/// The entry points of a stream: `init` (as above); `reset`, which sets the variables
/// `state.<path>` to what they begin as; `step`, which reads the next token of each row; `prefill`,
/// which reads the next `chunk` tokens. The last two share the states. Inputs go by their names in
/// the model, of batch x n, and `segments` (i32); the output is `output`. The model must have been
/// expanded with `start`. Where a model knows a limited number of positions, the module says so
/// (kPositionLimitAttr of transforms/step_form.h).
mlir::FailureOr<mlir::OwningOpRef<mlir::ModuleOp>> buildStreamModule(
    mlir::ModuleOp expanded, const StreamSettings& settings);

}  // namespace weir

#endif  // WEIR_COMPILER_ENTRY_POINTS_PROGRAMS_H_
