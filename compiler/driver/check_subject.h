// What `weir check` checks: a layer by name, the layers of a file, or a file's model.

#ifndef WEIR_COMPILER_DRIVER_CHECK_SUBJECT_H_
#define WEIR_COMPILER_DRIVER_CHECK_SUBJECT_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "compiler/driver/load.h"

namespace weir {

struct CheckSubject {
  /// "layer mingru" or the file's name.
  std::string name;
  /// The text that defines it, and what messages call that.
  std::string text, source;
  LoadedModel model;
};

struct CheckSubjects {
  std::unique_ptr<Workspace> workspace;
  std::vector<CheckSubject> subjects;
};

/// A layer is applied in a model of its own: --features for each open feature size, --set for
/// options.
absl::StatusOr<CheckSubjects> checkSubjects(const std::string& layerOrFile);

}  // namespace weir

#endif  // WEIR_COMPILER_DRIVER_CHECK_SUBJECT_H_
