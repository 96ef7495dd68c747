#include <algorithm>
#include <array>
#include <cstdint>
#include <iostream>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/base/file.h"
#include "runtime/checkpoint/safetensors.h"
#include "runtime/data/documents.h"
#include "runtime/data/random.h"
#include "runtime/data/random_tokens.h"
#include "runtime/data/segments.h"
#include "runtime/data/task_registry.h"
#include "runtime/data/vocabulary.h"

namespace weir::runtime {
namespace {

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

Batch Train(const Task& task, int64_t seed, int64_t index) {
  return Filled(task, [&](const TaskBatch& out) { return task.FillTrain(seed, index, out); });
}

Batch Eval(const Task& task, int64_t index) {
  return Filled(task, [&](const TaskBatch& out) { return task.FillEval(index, out); });
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

TEST_F(TextTest, StreamsContinueFromBatchToBatch) {
  std::string text;
  for (int i = 0; i < 128; ++i) text += static_cast<char>(i);
  auto task = Make("text", {{"data", Write(text)},
                            {"context", int64_t{5}},
                            {"batch", int64_t{4}},
                            {"order", std::string("stream")},
                            {"vocabulary", std::string("bytes")}});
  // 115 bytes train; 114 have a byte before them: 28 a row, 5 windows.
  EXPECT_EQ(task->spec().stream_batches, 5);
  std::set<int32_t> starts;
  for (int64_t pass = 0; pass < 300; ++pass) {
    int32_t first = Train(*task, 7, 5 * pass).tokens[0];
    starts.insert(first);
    for (int64_t i = 0; i < 5; ++i) {
      Batch batch = Train(*task, 7, 5 * pass + i);
      for (int64_t row = 0; row < 4; ++row) {
        for (int64_t t = 0; t < 5; ++t) {
          EXPECT_EQ(batch.tokens[row * 5 + t], first + row * 25 + i * 5 + t);
          EXPECT_EQ(batch.targets[row * 5 + t], first + row * 25 + i * 5 + t + 1);
          EXPECT_LT(batch.targets[row * 5 + t], 115);
        }
      }
    }
  }
  EXPECT_EQ(starts.size(), 15u);  // 0 .. 14

  // 13 held-out bytes, 12 of them predicted, 3 a row.
  EXPECT_EQ(task->eval_batches(), 1);
  Batch batch = Eval(*task, 0);
  for (int64_t row = 0; row < 4; ++row) {
    for (int64_t t = 0; t < 5; ++t) {
      EXPECT_EQ(batch.targets[row * 5 + t], t < 3 ? 115 + row * 3 + t + 1 : -1);
      if (t < 3) EXPECT_EQ(batch.tokens[row * 5 + t], 115 + row * 3 + t);
    }
  }
}

TEST_F(TextTest, EvaluationStreamsPredictEachByteOnce) {
  std::string text;
  for (int i = 0; i < 1000; ++i) text += static_cast<char>(i % 256);
  auto task = Make("text", {{"data", Write(text)},
                            {"context", int64_t{7}},
                            {"batch", int64_t{3}},
                            {"order", std::string("stream")},
                            {"validation", 0.25},
                            {"vocabulary", std::string("bytes")}});
  std::vector<std::vector<int32_t>> rows(3);
  for (int64_t i = 0; i < task->eval_batches(); ++i) {
    Batch batch = Eval(*task, i);
    for (int64_t j = 0; j < 21; ++j)
      if (batch.targets[j] >= 0) rows[j / 7].push_back(batch.targets[j]);
  }
  std::vector<int32_t> predicted, expected;
  for (auto& row : rows) predicted.insert(predicted.end(), row.begin(), row.end());
  for (int i = 751; i < 1000; ++i) expected.push_back(i % 256);
  EXPECT_EQ(predicted, expected);
}

// What a file's text doesn't change is known without it.
TEST_F(TextTest, Outline) {
  OptionMap options = {{"batch", int64_t{3}},
                       {"context", int64_t{50}},
                       {"vocabulary", std::string("bytes")},
                       {"documents", std::string("\n")}};
  TaskRegistry tasks = TaskRegistry::WithBuiltinTasks();
  TaskSpec outline = tasks.Outline("text", options).value();
  EXPECT_TRUE(outline.text == Vocabulary::Bytes());
  options["data"] = Write("one\ntwo\nthree\nfour\nfive\nsix\nseven\neight\nnine\nten\n");
  TaskSpec spec = tasks.Create("text", options).value()->spec();
  EXPECT_EQ(outline.tokens.ToString(), spec.tokens.ToString());
  EXPECT_EQ(outline.targets.ToString(), spec.targets.ToString());
  EXPECT_EQ(outline.segments->ToString(), spec.segments->ToString());
  EXPECT_EQ(outline.vocabulary, spec.vocabulary);
  options["vocabulary"] = std::string("characters");
  EXPECT_EQ(tasks.Outline("text", options)->vocabulary, 0);
  options["context"] = int64_t{0};
  EXPECT_EQ(tasks.Outline("text", options).status().message(),
            "the option 'context' of the task 'text' must be from 1 to 1073741824, not 0");
  EXPECT_EQ(tasks.Outline("tensors", {{"data", std::string("x")}}).status().code(),
            absl::StatusCode::kFailedPrecondition);
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
  EXPECT_EQ(ErrorOf("text", {{"data", path}, {"order", std::string("up")}}),
            "the option 'order' of the task 'text' must be \"shuffled\" or \"stream\", not \"up\"");
  EXPECT_EQ(ErrorOf("text", {{"data", path},
                             {"context", int64_t{2}},
                             {"order", std::string("stream")},
                             {"documents", std::string(".")}}),
            "the task 'text' can't read packed 'documents' in the order \"stream\"");
  path = Write(std::string(100, 'a'));
  EXPECT_EQ(ErrorOf("text", {{"data", path},
                             {"context", int64_t{30}},
                             {"batch", int64_t{4}},
                             {"order", std::string("stream")}}),
            "'" + path +
                "' is too short: of its 100 bytes 90 are for training, and 4 streams of a window "
                "each take 121");
}

TEST(Documents, EndWithTheirSeparator) {
  const std::string text = ";;ab;c;;defgh;;i";
  auto parts = [&](int64_t length) {
    std::vector<std::string> all;
    for (const Piece& piece : CutDocuments(text, ";", length))
      all.push_back(text.substr(piece.begin, piece.size()) + (piece.goes_on ? "+" : ""));
    return all;
  };
  using Parts = std::vector<std::string>;
  EXPECT_EQ(parts(9), (Parts{"ab;", "c;", "defgh;", "i"}));
  EXPECT_EQ(parts(6), (Parts{"ab;", "c;", "defgh;", "i"}));
  EXPECT_EQ(parts(4), (Parts{"ab;", "c;", "defg+", "h;", "i"}));
  EXPECT_EQ(parts(1), (Parts{"a+", "b+", ";", "c+", ";", "d+", "e+", "f+", "g+", "h+", ";", "i"}));
  EXPECT_TRUE(CutDocuments("", "\n\n", 4).empty());
  EXPECT_TRUE(CutDocuments("\n\n\n\n", "\n\n", 4).empty());
  EXPECT_EQ(CutDocuments("a\nb", "\n\n", 4).size(), 1u);
}

TEST(Documents, ArePackedWhole) {
  std::vector<Piece> pieces;
  for (int64_t size : {3, 5, 2, 6, 1, 4}) {
    int64_t begin = pieces.empty() ? 0 : pieces.back().end;
    pieces.push_back({begin, begin + size, false});
  }
  auto sizes = [&](Packing packing) {
    std::vector<std::vector<int64_t>> all;
    for (const PackedRow& row : PackPieces(pieces, 7, packing)) {
      all.emplace_back();
      for (const Piece& piece : row) all.back().push_back(piece.size());
    }
    return all;
  };
  using Sizes = std::vector<std::vector<int64_t>>;
  EXPECT_EQ(sizes(Packing::kOrder), (Sizes{{3}, {5, 2}, {6, 1}, {4}}));
  EXPECT_EQ(sizes(Packing::kFit), (Sizes{{6, 1}, {5, 2}, {4, 3}}));
}

TEST_F(TextTest, DocumentsPredictNothingOfEachOther) {
  // Documents of 2 to 41 bytes, which count upwards from a byte of their own.
  std::string text;
  int documents = 0;
  while (text.size() < 20000) {
    int size = 1 + documents * 7 % 40;
    for (int i = 0; i < size; ++i) text += static_cast<char>(' ' + (documents + i) % 90);
    text += '\0';
    ++documents;
  }
  for (const char* packing : {"fit", "order"}) {
    OptionMap options = {{"data", Write(text)},
                         {"documents", std::string(1, '\0')},
                         {"packing", std::string(packing)},
                         {"vocabulary", std::string("bytes")},
                         {"context", int64_t{24}},
                         {"batch", int64_t{5}}};
    auto task = Make("text", options);
    ASSERT_TRUE(task->spec().segments);
    EXPECT_EQ(task->spec().segments->shape, (std::vector<int64_t>{5, 24}));
    int64_t held_out = 0, padded = 0;
    auto look = [&](const Batch& batch) {
      EXPECT_TRUE(CheckSegments(batch.segments, 24).ok());
      for (int64_t i = 0; i < 5 * 24; ++i) {
        bool row_ends = i % 24 == 23;
        bool document_ends = row_ends || batch.segments[i] != batch.segments[i + 1];
        int32_t token = batch.tokens[i], target = batch.targets[i];
        if (i % 24 == 0) EXPECT_EQ(batch.segments[i], 0);
        held_out += target >= 0;
        padded += token == 0 && target < 0 && i % 24 != 0 && batch.tokens[i - 1] == 0;
        // A document's last byte is its separator, unless it was cut at the row's end.
        if (token == 0) {
          EXPECT_EQ(target, -1);
        } else if (document_ends) {
          EXPECT_GE(target, 0);
        } else {
          EXPECT_EQ(target, batch.tokens[i + 1]);
        }
        if (target > 0) EXPECT_EQ((target - ' ') % 90, (token - ' ' + 1) % 90);
      }
    };
    for (int64_t index = 0; index < 20; ++index) look(Train(*task, 3, index));
    EXPECT_TRUE(Train(*task, 3, 7) == Train(*task, 3, 7));
    EXPECT_FALSE(Train(*task, 3, 7) == Train(*task, 3, 8));
    EXPECT_FALSE(Train(*task, 3, 7) == Train(*task, 4, 7));
    held_out = padded = 0;
    for (int64_t index = 0; index < task->eval_batches(); ++index) look(Eval(*task, index));
    // The documents that begin in the last tenth; all their bytes but the first are predicted.
    int64_t begin = text.find('\0', text.size() * 9 / 10 - 1) + 1;
    int64_t expected = 0;
    for (size_t i = begin; i < text.size(); ++i) expected += text[i] != '\0';
    EXPECT_EQ(held_out, expected);
    std::cout << packing << ": " << padded << " of " << task->eval_batches() * 5 * 24
              << " positions are padding\n";
  }
}

TEST_F(TextTest, DocumentsThatAreTooFew) {
  std::string path = Write(std::string(500, 'a') + "\n" + std::string(500, 'b'));
  EXPECT_EQ(ErrorOf("text", {{"data", path}, {"documents", std::string("\n")}}),
            "'" + path + "' has 4 documents or parts of them, none of which is held out");
  EXPECT_EQ(ErrorOf("text", {{"data", path}, {"packing", std::string("tight")}}),
            "the option 'packing' of the task 'text' must be \"fit\" or \"order\", not \"tight\"");
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
