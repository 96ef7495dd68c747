#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/checkpoint/safetensors.h"
#include "runtime/data/random.h"
#include "runtime/data/random_tokens.h"
#include "runtime/data/segments.h"
#include "runtime/data/task_test_util.h"

namespace weir::runtime {
namespace {

// The known answers that come with Random123.
TEST(Philox, KnownAnswers) {
  EXPECT_EQ(Philox({0, 0, 0, 0}, {0, 0}),
            (std::array<uint32_t, 4>{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(Philox({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}),
            (std::array<uint32_t, 4>{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
}

TEST(SelectiveCopy, HasTheGeneratorsFormat) {
  auto task = Make("selective_copy", {{"length", int64_t{64}}, {"batch", int64_t{16}}});
  EXPECT_EQ(task->spec().tokens.shape, (std::vector<int64_t>{16, 80}));
  EXPECT_EQ(task->spec().vocabulary, 16);
  std::set<int32_t> values;
  std::vector<int> places(64, 0);
  for (int index = 0; index < 50; ++index) {
    Batch batch = Train(*task, 7, index);
    for (int row = 0; row < 16; ++row) {
      std::vector<int32_t> data;
      for (int t = 0; t < 80; ++t) {
        int32_t token = batch.tokens[row * 80 + t], target = batch.targets[row * 80 + t];
        if (t >= 64) {
          EXPECT_EQ(token, 0);
          ASSERT_LT(t - 64u, data.size());
          EXPECT_EQ(target, data[t - 64]);
          continue;
        }
        EXPECT_EQ(target, -1);
        if (token == 15) continue;
        data.push_back(token);
        values.insert(token);
        ++places[t];
      }
      EXPECT_EQ(data.size(), 16u);
    }
  }
  EXPECT_EQ(*values.begin(), 1);
  EXPECT_EQ(*values.rbegin(), 14);
  EXPECT_EQ(values.size(), 14u);
  // 800 sequences, a place in a quarter of them: 200 +- 12; six deviations.
  for (int count : places) EXPECT_NEAR(count, 200, 75);
}

TEST(SelectiveCopy, DependsOnSeedAndIndexAlone) {
  auto task = Make("selective_copy", {{"length", int64_t{40}}, {"batch", int64_t{3}}});
  Batch batch = Train(*task, 1, 5);
  EXPECT_FALSE(Train(*task, 1, 6) == batch);
  EXPECT_FALSE(Train(*task, 2, 5) == batch);
  EXPECT_TRUE(Train(*task, 1, 5) == batch);
}

TEST(SelectiveCopy, HeldOutSequencesAreCounted) {
  auto task =
      Make("selective_copy",
           {{"length", int64_t{20}}, {"batch", int64_t{4}}, {"eval_sequences", int64_t{6}}});
  EXPECT_EQ(task->eval_batches(), 2);
  Batch last = Eval(*task, 1);
  auto masked = [&](int row) {
    auto begin = last.targets.begin() + row * 36;
    return std::count(begin, begin + 36, -1);
  };
  EXPECT_EQ(masked(0), 20);
  EXPECT_EQ(masked(1), 20);
  EXPECT_EQ(masked(2), 36);
  EXPECT_EQ(masked(3), 36);
  EXPECT_TRUE(Eval(*task, 1) == last);
}

TEST(RandomTokens, FillTheVocabulary) {
  TaskSpec spec;
  spec.tokens = {"tokens", ElementType::kI32, {4, 500}};
  spec.targets = {"targets", ElementType::kI32, {4, 500}};
  spec.segments = {"segments", ElementType::kI32, {4, 500}};
  spec.vocabulary = 7;
  std::unique_ptr<Task> task = RandomTokens(spec);
  Batch batch = Train(*task, 1, 2);
  EXPECT_TRUE(batch == Train(*task, 1, 2));
  EXPECT_FALSE(batch == Train(*task, 2, 2));
  EXPECT_FALSE(batch == Train(*task, 1, 3));
  const std::set<int32_t> all = {0, 1, 2, 3, 4, 5, 6};
  EXPECT_EQ(std::set<int32_t>(batch.tokens.begin(), batch.tokens.end()), all);
  EXPECT_EQ(std::set<int32_t>(batch.targets.begin(), batch.targets.end()), all);
  EXPECT_NE(batch.tokens, batch.targets);
  EXPECT_EQ(batch.segments, std::vector<int32_t>(2000, 0));
}

TEST(Segments, AnIdMustNotComeBack) {
  EXPECT_TRUE(CheckSegments({3, 3, -1, -1, 0, 3, 1, 1, 0, 7}, 5).ok());
  EXPECT_TRUE(CheckSegments({}, 5).ok());
  EXPECT_TRUE(CheckSegments({1, 2, 1, 2}, 1).ok());
  EXPECT_EQ(CheckSegments({0, 1, 2, 3, 4, 9, 9, 4, 4, 9}, 5).message(),
            "row 1: the segment id 9 at position 4 comes back, its document ended at position 1; "
            "each document of a row needs an id of its own");
}

TEST(Tensors, TakeSegments) {
  std::string path = testing::TempDir() + "/packed.safetensors";
  auto write = [&](ElementType type, std::vector<int64_t> ids) {
    HostTensor tokens({"tokens", ElementType::kI32, {4, 3}});
    HostTensor targets({"targets", ElementType::kI32, {4, 3}});
    HostTensor segments({"segments", type, {static_cast<int64_t>(ids.size()) / 3, 3}});
    for (int i = 0; i < 12; ++i) tokens.As<int32_t>()[i] = targets.As<int32_t>()[i] = i;
    for (size_t i = 0; i < ids.size(); ++i) {
      if (type == ElementType::kI64) segments.As<int64_t>()[i] = ids[i];
      if (type == ElementType::kI32) segments.As<int32_t>()[i] = static_cast<int32_t>(ids[i]);
    }
    EXPECT_TRUE(WriteSafetensors(path, {tokens, targets, segments}, {}).ok());
  };
  OptionMap options = {{"data", path}, {"batch", int64_t{2}}, {"validation", 0.25}};
  for (ElementType type : {ElementType::kI32, ElementType::kI64}) {
    write(type, {5, 5, 5, 1, 2, 2, 0, 0, 1, -7, 8, 9});
    auto task = Make("tensors", options);
    ASSERT_TRUE(task->spec().segments);
    EXPECT_EQ(task->spec().segments->ToString(), "segments: tensor<2x3xi32>");
    Batch batch = Eval(*task, 0);
    EXPECT_EQ(batch.tokens[0], 9);
    EXPECT_EQ(batch.segments, (std::vector<int32_t>{-7, 8, 9, -7, 8, 9}));
  }
  EXPECT_TRUE(Make("tensors", options)->spec().segments);
  write(ElementType::kI32, {5, 5, 5, 1, 2, 1, 0, 0, 1, -7, 8, 9});
  EXPECT_EQ(ErrorOf("tensors", options),
            path +
                ": row 1: the segment id 1 at position 2 comes back, its document ended at "
                "position 0; each document of a row needs an id of its own");
  write(ElementType::kI64, {5, 5, 5, 1, 2, 1, 0, 0, 1, -7, 8, int64_t{1} << 40});
  EXPECT_EQ(ErrorOf("tensors", options),
            path + ": the segment id 1099511627776 doesn't fit 32 bits");
  write(ElementType::kF32, {5, 5, 5, 1, 2, 1, 0, 0, 1, -7, 8, 9});
  EXPECT_NE(ErrorOf("tensors", options).find("segment ids must be integers"), std::string::npos);
  write(ElementType::kI32, {5, 5, 5});
  EXPECT_NE(ErrorOf("tensors", options).find("one for each of targets: tensor<4x3xi32>"),
            std::string::npos);
  options["segments"] = std::string("documents");
  EXPECT_NE(ErrorOf("tensors", options).find("documents"), std::string::npos);
}

TEST(Tensors, HoldsOutTheLastRows) {
  HostTensor tokens({"x", ElementType::kI64, {10, 3}});
  HostTensor targets({"y", ElementType::kI32, {10, 3}});
  for (int i = 0; i < 30; ++i) {
    tokens.As<int64_t>()[i] = i;
    targets.As<int32_t>()[i] = i % 3 == 0 ? -1 : 29 - i;
  }
  std::string path = testing::TempDir() + "/data.safetensors";
  std::vector<HostTensor> tensors = {tokens, targets};
  ASSERT_TRUE(WriteSafetensors(path, tensors, {}).ok());
  OptionMap options = {{"data", path},
                       {"tokens", std::string("x")},
                       {"targets", std::string("y")},
                       {"batch", int64_t{2}},
                       {"validation", 0.3}};
  auto task = Make("tensors", options);
  EXPECT_EQ(task->spec().vocabulary, 30);
  EXPECT_EQ(task->eval_batches(), 2);
  EXPECT_EQ(Eval(*task, 0).tokens, (std::vector<int32_t>{21, 22, 23, 24, 25, 26}));
  EXPECT_EQ(Eval(*task, 1).targets, (std::vector<int32_t>{-1, 1, 0, -1, -1, -1}));
  for (int index = 0; index < 20; ++index) {
    Batch batch = Train(*task, 1, index);
    for (int i = 0; i < 6; ++i) {
      EXPECT_LT(batch.tokens[i], 21);
      EXPECT_EQ(batch.targets[i], batch.tokens[i] % 3 == 0 ? -1 : 29 - batch.tokens[i]);
    }
  }
  options["vocabulary"] = int64_t{20};
  EXPECT_EQ(ErrorOf("tensors", options), path + ": holds 29, but the vocabulary is 20");
  options["tokens"] = std::string("z");
  EXPECT_EQ(ErrorOf("tensors", options), path + ": there is no tensor 'z'");
}

TEST(Options, AreConvertedOrRefused) {
  auto shape = [](const OptionMap& options) {
    return Make("selective_copy", options)->spec().tokens.shape;
  };
  EXPECT_EQ(shape({{"length", std::string("8")}, {"tokens", 2.0}, {"batch", int64_t{3}}}),
            (std::vector<int64_t>{3, 10}));
  EXPECT_EQ(ErrorOf("selective_copy", {{"lenght", int64_t{3}}}),
            "the task 'selective_copy' has no option 'lenght'; it has: length, tokens, vocabulary, "
            "batch, eval_sequences");
  EXPECT_EQ(ErrorOf("selective_copy", {{"length", std::string("many")}}),
            "the option 'length' of the task 'selective_copy' must be an integer, not \"many\"");
  EXPECT_EQ(ErrorOf("selective_copy", {{"length", 2.5}}),
            "the option 'length' of the task 'selective_copy' must be an integer, not 2.5");
  EXPECT_EQ(ErrorOf("selective_copy", {{"length", int64_t{4}}}),
            "the option 'tokens' of the task 'selective_copy' must be from 1 to 4, not 16");
  EXPECT_EQ(ErrorOf("copy", {}),
            "there is no task 'copy'; there are: selective_copy, tensors, text");
}

TEST(Options, TextReadsBackAsTheSameNumber) {
  EXPECT_EQ(OptionText(0.1), "0.1");
  EXPECT_EQ(OptionText(2.0), "2.0");
  EXPECT_EQ(OptionText(0.0), "0.0");
  EXPECT_EQ(OptionText(1.0 / 3), "0.3333333333333333");
  EXPECT_EQ(OptionText(int64_t{-4}), "-4");
  EXPECT_EQ(OptionText(std::string("a b")), "\"a b\"");
}

TEST(TaskRegistry, RefusesATakenName) {
  TaskRegistry registry = TaskRegistry::WithBuiltinTasks();
  TaskInfo info = TextTask();
  info.source = "mine.so";
  EXPECT_EQ(registry.Add(info).message(), "mine.so: the task 'text' is already there (built in)");
}

}  // namespace
}  // namespace weir::runtime
