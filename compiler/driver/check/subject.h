// What `weir check` checks: a layer by name, the layers of a file, or a file's model.

#ifndef WEIR_COMPILER_DRIVER_CHECK_SUBJECT_H_
#define WEIR_COMPILER_DRIVER_CHECK_SUBJECT_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "compiler/driver/load.h"

namespace weir::check {

struct CheckSubject {
  /// "layer mingru" or the file's name.
  std::string name;
  /// What `weir check` is called with to check this subject alone: "mingru --plugin=my.mlir".
  std::string argument;
  /// The text that defines it, and what messages call that.
  std::string text, source;
  LoadedModel model;
  /// Of a layer's inputs; 0 for a model.
  int64_t features = 0;
};

/// What `weir check` was called with.
struct CheckTarget {
  std::unique_ptr<Workspace> workspace;
  /// The layers to check, or the file whose model is checked.
  std::vector<std::string> layers;
  std::string modelFile;
  /// The file, if it is a plugin: layers as text, or a shared library.
  std::string plugin;
};

/// A layer by name, a file with a model, or a plugin's file, whose layers are then known by name.
absl::StatusOr<CheckTarget> openTarget(const std::string& layerOrFile);

/// A layer in a model of its own, which gives it `features` for each open feature size, and --set
/// for options.
absl::StatusOr<CheckSubject> layerSubject(Workspace& workspace, const std::string& layer,
                                          int64_t features);

/// The model of a file, with all flags.
absl::StatusOr<CheckSubject> modelSubject(Workspace& workspace, const std::string& file);

}  // namespace weir::check

#endif  // WEIR_COMPILER_DRIVER_CHECK_SUBJECT_H_
