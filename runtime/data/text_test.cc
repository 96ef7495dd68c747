#include <cstdint>
#include <iostream>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/base/file.h"
#include "runtime/data/documents.h"
#include "runtime/data/segments.h"
#include "runtime/data/task_test_util.h"
#include "runtime/data/vocabulary.h"

namespace weir::runtime {
namespace {

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

}  // namespace
}  // namespace weir::runtime
