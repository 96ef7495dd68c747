#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/base/file.h"
#include "runtime/checkpoint/safetensors.h"
#include "runtime/data/random.h"
#include "runtime/data/task_registry.h"
#include "runtime/data/vocabulary.h"

namespace weir::runtime {
namespace {

struct Batch {
  std::vector<int32_t> tokens, targets;
  bool operator==(const Batch& other) const {
    return tokens == other.tokens && targets == other.targets;
  }
};

template <typename Fill>
Batch Filled(const Task& task, Fill fill) {
  Batch batch;
  batch.tokens.resize(task.spec().tokens.NumElements(), 77);
  batch.targets.resize(task.spec().targets.NumElements(), 77);
  absl::Status status =
      fill(absl::MakeSpan(reinterpret_cast<char*>(batch.tokens.data()), batch.tokens.size() * 4),
           absl::MakeSpan(reinterpret_cast<char*>(batch.targets.data()), batch.targets.size() * 4));
  EXPECT_TRUE(status.ok()) << status;
  return batch;
}

Batch Train(const Task& task, int64_t seed, int64_t index) {
  return Filled(task, [&](auto a, auto b) { return task.FillTrain(seed, index, a, b); });
}

Batch Eval(const Task& task, int64_t index) {
  return Filled(task, [&](auto a, auto b) { return task.FillEval(index, a, b); });
}

std::unique_ptr<Task> Make(absl::string_view name, const OptionMap& options) {
  return TaskRegistry::WithBuiltinTasks().Create(name, options).value();
}

std::string ErrorOf(absl::string_view name, const OptionMap& options) {
  return std::string(TaskRegistry::WithBuiltinTasks().Create(name, options).status().message());
}

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

class TextTest : public testing::Test {
 protected:
  std::string Write(const std::string& text) {
    std::string path = testing::TempDir() + "/text.txt";
    EXPECT_TRUE(WriteFileAtomically(path, {text}).ok());
    return path;
  }
};

TEST_F(TextTest, SplitsAsNanoGptDoes) {
  std::string text;
  for (int i = 0; i < 1115394; ++i) text += static_cast<char>(' ' + i * 7 % 65);
  auto task = Make("text", {{"data", Write(text)}});
  EXPECT_EQ(task->spec().vocabulary, 65);
  EXPECT_EQ(task->spec().tokens.shape, (std::vector<int64_t>{64, 256}));
  // 111,540 held-out bytes: 111,539 have a byte before them. 436 windows, 7 batches.
  EXPECT_EQ(task->eval_batches(), 7);
  int64_t place = 1003854, predicted = 0;
  for (int64_t i = 0; i < task->eval_batches(); ++i) {
    Batch batch = Eval(*task, i);
    for (size_t j = 0; j < batch.targets.size(); ++j) {
      if (batch.targets[j] == -1) continue;
      ASSERT_EQ(batch.tokens[j], text[place] - ' ');
      ASSERT_EQ(batch.targets[j], text[place + 1] - ' ');
      ++place;
      ++predicted;
    }
  }
  EXPECT_EQ(predicted, 111539);
}

TEST_F(TextTest, SaysWhatItsTokensStandFor) {
  std::string text = "to be\xff, or not";
  while (text.size() < 600) text += text;
  auto task = Make("text", {{"data", Write(text)}});
  EXPECT_EQ(task->spec().text.bytes(), " ,benort\xff");
  Batch batch = Train(*task, 1, 0);
  std::string window;
  for (int t = 0; t < 256; ++t) window += task->spec().text.Decode(batch.tokens[t]);
  EXPECT_NE(text.find(window), std::string::npos);
  auto bytes = Make("text", {{"data", Write(text)}, {"vocabulary", std::string("bytes")}});
  EXPECT_TRUE(bytes->spec().text == Vocabulary::Bytes());
}

TEST(Vocabulary, GoesThroughMetadata) {
  Vocabulary vocabulary = Vocabulary::Characters("hello \xf0\n");
  std::map<std::string, std::string> metadata;
  vocabulary.AddTo(&metadata);
  EXPECT_EQ(metadata["text.bytes"], "0a2065686c6ff0");
  EXPECT_TRUE(Vocabulary::FromMetadata(metadata).value() == vocabulary);
  EXPECT_EQ(vocabulary.Encode("\nhell").value(), (std::vector<int32_t>{0, 3, 2, 4, 4}));
  EXPECT_EQ(vocabulary.Encode("he said").status().message(),
            "byte 3 of the text, 's', isn't among the 7 bytes that the model knows");
  EXPECT_EQ(vocabulary.Encode("\t").status().message(),
            "byte 0 of the text, 0x09, isn't among the 7 bytes that the model knows");
  std::map<std::string, std::string> none;
  Vocabulary().AddTo(&none);
  EXPECT_TRUE(none.empty());
  EXPECT_TRUE(absl::IsNotFound(Vocabulary::FromMetadata(none).status()));
  for (const char* wrong : {"", "0", "0g", "6161", "hello"})
    EXPECT_TRUE(absl::IsDataLoss(Vocabulary::FromMetadata({{"text.bytes", wrong}}).status()))
        << wrong;
}

TEST_F(TextTest, TrainsOnRandomWindowsOfTheFirstPart) {
  std::string text;
  for (int i = 0; i < 100; ++i) text += static_cast<char>(i);
  auto task = Make("text", {{"data", Write(text)},
                            {"context", int64_t{8}},
                            {"batch", int64_t{50}},
                            {"vocabulary", std::string("bytes")}});
  EXPECT_EQ(task->spec().vocabulary, 256);
  std::set<int32_t> starts;
  int32_t largest = 0;
  for (int index = 0; index < 100; ++index) {
    Batch batch = Train(*task, 3, index);
    for (int row = 0; row < 50; ++row) {
      for (int t = 0; t < 8; ++t) {
        EXPECT_EQ(batch.tokens[row * 8 + t], batch.tokens[row * 8] + t);
        EXPECT_EQ(batch.targets[row * 8 + t], batch.tokens[row * 8 + t] + 1);
      }
      starts.insert(batch.tokens[row * 8]);
      largest = std::max(largest, batch.targets[row * 8 + 7]);
    }
  }
  EXPECT_EQ(starts.size(), 82u);  // 0 .. 81
  EXPECT_EQ(largest, 89);
}

TEST_F(TextTest, Errors) {
  EXPECT_EQ(ErrorOf("text", {}),
            "the task 'text' needs the option 'data', the path of a text file");
  EXPECT_EQ(ErrorOf("text", {{"data", std::string("/absent.txt")}}),
            "cannot open '/absent.txt': No such file or directory");
  std::string path = Write("short");
  EXPECT_EQ(
      ErrorOf("text", {{"data", path}}),
      "'" + path + "' is too short: of its 5 bytes 4 are for training, and a window takes 257");
  EXPECT_EQ(ErrorOf("text", {{"data", path}, {"vocabulary", std::string("words")}}),
            "the option 'vocabulary' of the task 'text' must be \"characters\" or \"bytes\", not "
            "\"words\"");
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
