// Tasks by name: the built-in ones, and those of plugins.
//
//   TaskRegistry tasks = TaskRegistry::WithBuiltinTasks();
//   absl::StatusOr<std::unique_ptr<Task>> task = tasks.Create("text", {{"data", "book.txt"}});
#ifndef WEIR_RUNTIME_DATA_TASK_REGISTRY_H_
#define WEIR_RUNTIME_DATA_TASK_REGISTRY_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/data/options.h"
#include "runtime/data/task.h"

namespace weir::runtime {

struct TaskInfo {
  std::string name;
  std::string doc;     // a line
  std::string source;  // "built in", or the plugin's file
  std::vector<TaskOption> options;
  // Gets all options, of the declared types.
  std::function<absl::StatusOr<std::unique_ptr<Task>>(const OptionMap&)> create;
  // What its batches look like, as far as that is known without the data: a vocabulary that the
  // data decides is 0. Null where a task has no data or can't say. Gets the same options.
  std::function<absl::StatusOr<TaskSpec>(const OptionMap&)> outline = nullptr;
};

class TaskRegistry {
 public:
  static TaskRegistry WithBuiltinTasks();

  // AlreadyExists names both sources.
  absl::Status Add(TaskInfo info);

  // NotFound, with the names that are there, for a name that isn't. Valid until the registry
  // changes.
  absl::StatusOr<const TaskInfo*> Find(absl::string_view name) const;

  absl::StatusOr<std::unique_ptr<Task>> Create(absl::string_view name,
                                               const OptionMap& options) const;

  // TaskInfo::outline; FailedPrecondition if the task has none.
  absl::StatusOr<TaskSpec> Outline(absl::string_view name, const OptionMap& options) const;

  // Sorted by name.
  const std::map<std::string, TaskInfo, std::less<>>& tasks() const { return tasks_; }

 private:
  std::map<std::string, TaskInfo, std::less<>> tasks_;
};

// The built-in tasks, each in a file of its own.
TaskInfo SelectiveCopyTask();
TaskInfo TextTask();
TaskInfo TensorsTask();

}  // namespace weir::runtime

#endif  // WEIR_RUNTIME_DATA_TASK_REGISTRY_H_
