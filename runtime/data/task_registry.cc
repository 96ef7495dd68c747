#include "runtime/data/task_registry.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace weir::runtime {

TaskRegistry TaskRegistry::WithBuiltinTasks() {
  TaskRegistry registry;
  for (TaskInfo& info : std::vector<TaskInfo>{SelectiveCopyTask(), TextTask(), TensorsTask()}) {
    registry.Add(std::move(info)).IgnoreError();  // their names differ
  }
  return registry;
}

absl::Status TaskRegistry::Add(TaskInfo info) {
  auto it = tasks_.find(info.name);
  if (it != tasks_.end()) {
    return absl::AlreadyExistsError(absl::StrCat(info.source, ": the task '", info.name,
                                                 "' is already there (", it->second.source, ")"));
  }
  std::string name = info.name;
  tasks_.emplace(std::move(name), std::move(info));
  return absl::OkStatus();
}

absl::StatusOr<const TaskInfo*> TaskRegistry::Find(absl::string_view name) const {
  auto it = tasks_.find(name);
  if (it != tasks_.end()) return &it->second;
  std::string names = absl::StrJoin(
      tasks_, ", ", [](std::string* out, const auto& pair) { absl::StrAppend(out, pair.first); });
  return absl::NotFoundError(absl::StrCat("there is no task '", name, "'; there are: ", names));
}

absl::StatusOr<std::unique_ptr<Task>> TaskRegistry::Create(absl::string_view name,
                                                           const OptionMap& options) const {
  absl::StatusOr<const TaskInfo*> info = Find(name);
  if (!info.ok()) return info.status();
  absl::StatusOr<OptionMap> resolved = ResolveOptions(name, (*info)->options, options);
  if (!resolved.ok()) return resolved.status();
  return (*info)->create(*resolved);
}

absl::StatusOr<TaskSpec> TaskRegistry::Outline(absl::string_view name,
                                               const OptionMap& options) const {
  absl::StatusOr<const TaskInfo*> info = Find(name);
  if (!info.ok()) return info.status();
  absl::StatusOr<OptionMap> resolved = ResolveOptions(name, (*info)->options, options);
  if (!resolved.ok()) return resolved.status();
  if (!(*info)->outline) {
    return absl::FailedPreconditionError(
        absl::StrCat("what the batches of the task '", name, "' look like, only its data say"));
  }
  return (*info)->outline(*resolved);
}

}  // namespace weir::runtime
