#include "runtime/plugin/plugin_task.h"

#include <cstring>
#include <numeric>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace weir::runtime {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::string ErrorOf(const absl::Status& status) { return std::string(status.message()); }

TEST(ParseTaskOptions, EveryKind) {
  absl::StatusOr<std::vector<TaskOption>> options =
      ParseTaskOptions("length = 64,noise=0.5 , hard = true, name = \"a, \\\"b\\\" = \\\\\"");
  ASSERT_TRUE(options.ok()) << options.status();
  ASSERT_EQ(options->size(), 4u);
  EXPECT_EQ((*options)[0].name, "length");
  EXPECT_EQ((*options)[0].default_value, OptionValue(int64_t{64}));
  EXPECT_EQ((*options)[1].default_value, OptionValue(0.5));
  EXPECT_EQ((*options)[2].default_value, OptionValue(true));
  EXPECT_EQ((*options)[3].default_value, OptionValue(std::string("a, \"b\" = \\")));
  EXPECT_TRUE(ParseTaskOptions(" ")->empty());
}

TEST(ParseTaskOptions, Errors) {
  EXPECT_THAT(ErrorOf(ParseTaskOptions("= 1").status()), HasSubstr("an option's name"));
  EXPECT_THAT(ErrorOf(ParseTaskOptions("a 1").status()), HasSubstr("'=' at column 3"));
  EXPECT_THAT(ErrorOf(ParseTaskOptions("a = x").status()), HasSubstr("expected a number"));
  EXPECT_THAT(ErrorOf(ParseTaskOptions("a = ").status()), HasSubstr("expected a number"));
  EXPECT_THAT(ErrorOf(ParseTaskOptions("a = \"x").status()), HasSubstr("doesn't end"));
  EXPECT_THAT(ErrorOf(ParseTaskOptions("a = \"x\" b = 1").status()), HasSubstr("expected ','"));
  EXPECT_THAT(ErrorOf(ParseTaskOptions("a = 1, a = 2").status()), HasSubstr("'a' again"));
  EXPECT_THAT(ErrorOf(ParseTaskOptions("a = 1,").status()), HasSubstr("an option's name"));
}

class PluginTaskTest : public ::testing::Test {
 protected:
  void SetUp() override {
    Registry registry;
    absl::Status status = registry.AddFile("runtime/plugin/testdata/good.so");
    ASSERT_TRUE(status.ok()) << status;
    status = AddPluginTasks(registry, tasks_);
    ASSERT_TRUE(status.ok()) << status;
  }  // the registry ends here; its tasks go on

  struct Batch {
    std::vector<int32_t> tokens, targets, segments;
  };
  static Batch Fill(const Task& task, bool train, int64_t seed, int64_t index) {
    Batch batch;
    batch.tokens.resize(task.spec().tokens.NumElements());
    batch.targets.resize(task.spec().targets.NumElements());
    const auto bytes = [](std::vector<int32_t>& v) {
      return absl::MakeSpan(reinterpret_cast<char*>(v.data()), v.size() * sizeof(int32_t));
    };
    if (task.spec().segments) batch.segments.resize(task.spec().segments->NumElements());
    const TaskBatch out = {bytes(batch.tokens), bytes(batch.targets), bytes(batch.segments)};
    const absl::Status status =
        train ? task.FillTrain(seed, index, out) : task.FillEval(index, out);
    EXPECT_TRUE(status.ok()) << status;
    return batch;
  }

  TaskRegistry tasks_ = TaskRegistry::WithBuiltinTasks();
};

TEST_F(PluginTaskTest, LooksLikeABuiltInTask) {
  absl::StatusOr<const TaskInfo*> info = tasks_.Find("counting");
  ASSERT_TRUE(info.ok());
  EXPECT_EQ((*info)->source, "runtime/plugin/testdata/good.so");
  absl::StatusOr<std::unique_ptr<Task>> task = tasks_.Create(
      "counting", {{"length", int64_t{5}}, {"batch", int64_t{3}}, {"eval_sequences", int64_t{4}}});
  ASSERT_TRUE(task.ok()) << task.status();
  EXPECT_EQ((*task)->spec().tokens.shape, (std::vector<int64_t>{3, 5}));
  EXPECT_EQ((*task)->spec().vocabulary, 11);
  const Batch batch = Fill(**task, true, 1, 0);
  for (int row = 0; row < 3; ++row) {
    EXPECT_EQ(batch.targets[row * 5], -1);
    for (int t = 1; t < 5; ++t) {
      EXPECT_EQ(batch.targets[row * 5 + t], (batch.tokens[row * 5] + t + 1) % 11);
    }
  }
  EXPECT_EQ(Fill(**task, true, 1, 0).tokens, batch.tokens);
  EXPECT_NE(Fill(**task, true, 1, 1).tokens, batch.tokens);
  EXPECT_NE(Fill(**task, true, 2, 0).tokens, batch.tokens);
}

TEST_F(PluginTaskTest, HeldOutSequencesAreCountedAndMasked) {
  absl::StatusOr<std::unique_ptr<Task>> task =
      tasks_.Create("counting", {{"batch", int64_t{3}}, {"eval_sequences", int64_t{4}}});
  ASSERT_TRUE(task.ok()) << task.status();
  ASSERT_EQ((*task)->eval_batches(), 2);
  const Batch last = Fill(**task, false, 0, 1);
  int64_t learnt = 0;
  for (int32_t target : last.targets) learnt += target != -1;
  EXPECT_EQ(learnt, 7);  // one sequence of 8, whose first position has no target
}

TEST_F(PluginTaskTest, PackedSequencesHaveSegments) {
  absl::StatusOr<std::unique_ptr<Task>> task =
      tasks_.Create("packed_counting", {{"length", int64_t{50}}, {"batch", int64_t{3}}});
  ASSERT_TRUE(task.ok()) << task.status();
  ASSERT_TRUE((*task)->spec().segments);
  EXPECT_EQ((*task)->spec().segments->ToString(), "segments: tensor<3x50xi32>");
  const Batch batch = Fill(**task, true, 1, 0);
  for (int row = 0; row < 3; ++row) {
    EXPECT_GT(batch.segments[row * 50 + 49], 10);
    for (int t = row * 50; t < row * 50 + 49; ++t) {
      const bool goes_on = batch.segments[t] == batch.segments[t + 1];
      EXPECT_EQ(batch.targets[t], goes_on ? batch.tokens[t + 1] : -1);
    }
  }
  EXPECT_FALSE((*tasks_.Create("counting", {}))->spec().segments);
}

// A plugin built with the header of version 1: its tasks end before fill_packed, whatever is
// behind.
TEST_F(PluginTaskTest, TasksOfVersion1ArentPacked) {
  absl::StatusOr<LoadedPlugin> good = LoadPlugin("runtime/plugin/testdata/good.so");
  ASSERT_TRUE(good.ok()) << good.status();
  WeirTask task = good->tasks.back().functions;
  ASSERT_NE(task.fill_packed, nullptr);
  task.struct_size = offsetof(WeirTask, fill_packed);
  const WeirTask* tasks[] = {&task};
  WeirPlugin plugin = {};
  plugin.struct_size = sizeof(plugin);
  plugin.version = 1;
  plugin.name = "old";
  plugin.tasks = tasks;
  plugin.task_count = 1;
  absl::StatusOr<LoadedPlugin> old = ReadPlugin(&plugin, "old.so");
  ASSERT_TRUE(old.ok()) << old.status();
  EXPECT_EQ(old->tasks.back().functions.fill_packed, nullptr);
  EXPECT_NE(old->tasks.back().functions.fill, nullptr);
}

TEST_F(PluginTaskTest, AnIdThatComesBackDoesntGetThrough) {
  Registry registry;
  ASSERT_TRUE(registry.AddFile("runtime/plugin/testdata/bad_segments.so").ok());
  ASSERT_TRUE(AddPluginTasks(registry, tasks_).ok());
  absl::StatusOr<std::unique_ptr<Task>> task = tasks_.Create("a_task", {{"batch", int64_t{1}}});
  ASSERT_TRUE(task.ok()) << task.status();
  char buffers[3][12];
  const absl::Status status = (*task)->FillTrain(
      1, 4, {absl::MakeSpan(buffers[0]), absl::MakeSpan(buffers[1]), absl::MakeSpan(buffers[2])});
  EXPECT_EQ(ErrorOf(status),
            "task 'a_task': sequence 4: row 0: the segment id 7 at position 2 comes back, its "
            "document ended at position 0; each document of a row needs an id of its own");
}

TEST_F(PluginTaskTest, Errors) {
  EXPECT_THAT(ErrorOf(tasks_.Create("counting", {{"lenght", int64_t{5}}}).status()),
              AllOf(HasSubstr("lenght"), HasSubstr("length")));
  EXPECT_THAT(ErrorOf(tasks_.Create("counting", {{"length", int64_t{0}}}).status()),
              HasSubstr("task 'counting': length must be at least 1, not 0"));
  EXPECT_FALSE(tasks_.Create("counting", {{"batch", int64_t{0}}}).ok());
  // A name that is taken.
  Registry registry;
  ASSERT_TRUE(registry.AddFile("runtime/plugin/testdata/good.so").ok());
  EXPECT_THAT(ErrorOf(AddPluginTasks(registry, tasks_)), HasSubstr("counting"));
}

TEST_F(PluginTaskTest, TokensOutOfRangeDontGetThrough) {
  Registry registry;
  ASSERT_TRUE(registry.AddFile("runtime/plugin/testdata/bad_values.so").ok());
  ASSERT_TRUE(AddPluginTasks(registry, tasks_).ok());
  absl::StatusOr<std::unique_ptr<Task>> task = tasks_.Create("a_task", {{"batch", int64_t{1}}});
  ASSERT_TRUE(task.ok()) << task.status();
  char tokens[12], targets[12];
  const absl::Status status =
      (*task)->FillTrain(1, 0, {absl::MakeSpan(tokens), absl::MakeSpan(targets), {}});
  EXPECT_THAT(ErrorOf(status), HasSubstr("outside the vocabulary of 5"));
}

}  // namespace
}  // namespace weir::runtime
