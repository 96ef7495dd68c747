// From a model file and the command line to an experiment with all its settings, a task, and a
// function.

#ifndef WEIR_COMPILER_DRIVER_LOAD_H_
#define WEIR_COMPILER_DRIVER_LOAD_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"

#include "compiler/dialect/experiment_ops.h"
#include "compiler/dialect/model_ops.h"
#include "compiler/driver/workspace.h"
#include "runtime/data/task.h"

namespace weir {

struct LoadedModel {
  /// The file's module after --set and its short forms.
  mlir::OwningOpRef<mlir::ModuleOp> module;
  ModelOp model;
  /// Null if the file has none.
  ExperimentOp experiment;
  /// One function (transforms/expand.h).
  mlir::OwningOpRef<mlir::ModuleOp> expanded;

  mlir::func::FuncOp function() const;
  /// The text of a file that repeats this run.
  std::string text() const;
};

/// Reads a file, applies the flags and expands the model. A model that is marked linear and isn't
/// is an error.
absl::StatusOr<LoadedModel> loadModel(Workspace& workspace, const std::string& file);

/// The same for text that a command wrote, which no flag changes; `name` is what messages call it.
absl::StatusOr<LoadedModel> loadModelText(Workspace& workspace, const std::string& text,
                                          const std::string& name);

/// What a function gets from outside besides its inputs.
struct ExpandFor {
  /// Segment ids: rows hold several documents.
  bool segments = false;
  /// The position of the first token.
  bool start = false;
};

/// The model as one function once more; LoadedModel::expanded is the one without segments and
/// start.
absl::StatusOr<mlir::OwningOpRef<mlir::ModuleOp>> expand(Workspace& workspace,
                                                         const LoadedModel& loaded, ExpandFor what);

/// The experiment's task; FailedPrecondition if there is no experiment.
absl::StatusOr<std::unique_ptr<runtime::Task>> makeTask(const Workspace& workspace,
                                                        const LoadedModel& loaded);

/// The same, but with random tokens for a task that needs a data file and isn't given one: for what
/// only asks for the shape of a batch.
absl::StatusOr<std::unique_ptr<runtime::Task>> makeTaskOrRandom(const Workspace& workspace,
                                                                const LoadedModel& loaded);

}  // namespace weir

#endif  // WEIR_COMPILER_DRIVER_LOAD_H_
