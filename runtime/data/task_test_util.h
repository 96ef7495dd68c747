// Batches of tasks, for tests.

#ifndef WEIR_RUNTIME_DATA_TASK_TEST_UTIL_H_
#define WEIR_RUNTIME_DATA_TASK_TEST_UTIL_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/data/task_registry.h"

namespace weir::runtime {

struct Batch {
  std::vector<int32_t> tokens, targets, segments;
  bool operator==(const Batch& other) const {
    return tokens == other.tokens && targets == other.targets && segments == other.segments;
  }
};

template <typename Fill>
Batch Filled(const Task& task, Fill fill) {
  Batch batch;
  batch.tokens.resize(task.spec().tokens.NumElements(), 77);
  batch.targets.resize(task.spec().targets.NumElements(), 77);
  if (task.spec().segments) batch.segments.resize(task.spec().segments->NumElements(), 77);
  const auto bytes = [](std::vector<int32_t>& values) {
    return absl::MakeSpan(reinterpret_cast<char*>(values.data()), values.size() * 4);
  };
  absl::Status status =
      fill(TaskBatch{bytes(batch.tokens), bytes(batch.targets), bytes(batch.segments)});
  EXPECT_TRUE(status.ok()) << status;
  return batch;
}

inline Batch Train(const Task& task, int64_t seed, int64_t index) {
  return Filled(task, [&](const TaskBatch& out) { return task.FillTrain(seed, index, out); });
}

inline Batch Eval(const Task& task, int64_t index) {
  return Filled(task, [&](const TaskBatch& out) { return task.FillEval(index, out); });
}

inline std::unique_ptr<Task> Make(absl::string_view name, const OptionMap& options) {
  return TaskRegistry::WithBuiltinTasks().Create(name, options).value();
}

inline std::string ErrorOf(absl::string_view name, const OptionMap& options) {
  return std::string(TaskRegistry::WithBuiltinTasks().Create(name, options).status().message());
}

}  // namespace weir::runtime

#endif  // WEIR_RUNTIME_DATA_TASK_TEST_UTIL_H_
