// Tasks of plugins, as the training loop knows tasks.
//
//   TaskRegistry tasks = TaskRegistry::WithBuiltinTasks();
//   if (auto status = AddPluginTasks(registry, tasks); !status.ok()) return status;
#ifndef WEIR_RUNTIME_PLUGIN_PLUGIN_TASK_H_
#define WEIR_RUNTIME_PLUGIN_PLUGIN_TASK_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/data/options.h"
#include "runtime/data/task_registry.h"
#include "runtime/plugin/registry.h"

namespace weir::runtime {

// Reads WeirTask::options: `name = value`, separated by commas. Integers, reals, true, false, and
// text in quotes (\" and \\ inside). InvalidArgument says where it stopped.
absl::StatusOr<std::vector<TaskOption>> ParseTaskOptions(absl::string_view text);

// Adds every task of `registry`. Its options are those it lists, and the host's: `batch` (sequences
// in a batch) and `eval_sequences` (held-out sequences). Options that can't be read, or a name that
// is taken, are an error that names the plugin's file. The tasks don't need `registry` afterwards.
absl::Status AddPluginTasks(const Registry& registry, TaskRegistry& tasks);

}  // namespace weir::runtime

#endif  // WEIR_RUNTIME_PLUGIN_PLUGIN_TASK_H_
