#include "runtime/streaming/stream.h"

#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/checkpoint/safetensors.h"
#include "runtime/device/cpu/cpu_device.h"
#include "runtime/streaming/fingerprint.h"
#include "runtime/testing/toy_program.h"

namespace weir::runtime {
namespace {

using Which = Stream::Outputs;

constexpr int64_t kBatch = 2, kChunk = 4, kVocabulary = 5;

HostTensor Tokens(int64_t begin, int64_t length, int64_t batch = kBatch) {
  HostTensor tensor({"tokens", ElementType::kI32, {batch, length}});
  for (int64_t b = 0; b < batch; ++b) {
    for (int64_t t = 0; t < length; ++t) {
      tensor.As<int32_t>()[b * length + t] = ((begin + t) * 3 + b) % kVocabulary;
    }
  }
  return tensor;
}

class StreamTest : public testing::Test {
 protected:
  StreamTest() : device_(CpuDevice::Create({}).value()) {
    session_ = Open(ToyStreamProgram(kBatch, kChunk, kVocabulary));
    stream_ = std::make_unique<Stream>(Stream::Create(*session_).value());
  }
  std::unique_ptr<Session> Open(Program program, float factor = 1) {
    auto session = Session::Create(std::move(program), *device_, {1}).value();
    HostTensor weight({"bigram.weight", ElementType::kF32, {kVocabulary, kVocabulary}});
    for (int64_t i = 0; i < kVocabulary * kVocabulary; ++i) {
      weight.SetNumber(i, factor * static_cast<double>(i));
    }
    EXPECT_TRUE(session->WriteVariable("bigram.weight", weight).ok());
    return session;
  }
  // The outputs [batch, length, vocabulary] of single steps.
  HostTensor Steps(Stream& stream, int64_t begin, int64_t length) {
    HostTensor all({"output", ElementType::kF32, {kBatch, length, kVocabulary}});
    for (int64_t t = 0; t < length; ++t) {
      std::vector<HostTensor> outputs;
      EXPECT_TRUE(stream.Step({Tokens(begin + t, 1)}, &outputs).ok());
      for (int64_t b = 0; b < kBatch; ++b) {
        for (int64_t j = 0; j < kVocabulary; ++j) {
          all.SetNumber((b * length + t) * kVocabulary + j, outputs[0].Number(b * kVocabulary + j));
        }
      }
    }
    return all;
  }
  std::string File(const std::string& name) { return testing::TempDir() + "/" + name; }

  std::unique_ptr<CpuDevice> device_;
  std::unique_ptr<Session> session_;
  std::unique_ptr<Stream> stream_;
  std::vector<HostTensor> outputs_;
};

TEST_F(StreamTest, PrefillOfAnyLengthIsItsSteps) {
  EXPECT_EQ(stream_->prefill_size(), kChunk);
  EXPECT_EQ(stream_->state_bytes(), kBatch * kVocabulary * 4 + 8);
  for (int64_t length : {1, 3, 4, 5, 8, 11}) {
    ASSERT_TRUE(stream_->Reset().ok());
    HostTensor expected = Steps(*stream_, 0, length);
    ASSERT_TRUE(stream_->Reset().ok());
    ASSERT_TRUE(stream_->Prefill({Tokens(0, length)}, Which::kAll, &outputs_).ok());
    EXPECT_EQ(outputs_[0].spec().ToString(), expected.spec().ToString());
    EXPECT_EQ(outputs_[0].bytes(), expected.bytes()) << length;
    EXPECT_EQ(stream_->position(), length);

    ASSERT_TRUE(stream_->Reset().ok());
    ASSERT_TRUE(stream_->Prefill({Tokens(0, length)}, Which::kLast, &outputs_).ok());
    EXPECT_EQ(outputs_[0].spec().ToString(), "output: tensor<2x1x5xf32>");
    for (int64_t b = 0; b < kBatch; ++b) {
      for (int64_t j = 0; j < kVocabulary; ++j) {
        EXPECT_EQ(outputs_[0].Number(b * kVocabulary + j),
                  expected.Number(((b + 1) * length - 1) * kVocabulary + j));
      }
    }
  }
  // From where the last one ended.
  ASSERT_TRUE(stream_->Reset().ok());
  HostTensor expected = Steps(*stream_, 0, 9);
  ASSERT_TRUE(stream_->Reset().ok());
  ASSERT_TRUE(stream_->Prefill({Tokens(0, 3)}, Which::kLast, &outputs_).ok());
  ASSERT_TRUE(stream_->Prefill({Tokens(3, 6)}, Which::kAll, &outputs_).ok());
  EXPECT_EQ(outputs_[0].Number(5 * kVocabulary), expected.Number(8 * kVocabulary));
}

TEST_F(StreamTest, WithoutPrefillThereAreSteps) {
  auto session = Open(ToyStreamProgram(kBatch, 0, kVocabulary));
  Stream stream = Stream::Create(*session).value();
  EXPECT_EQ(stream.prefill_size(), 0);
  HostTensor expected = Steps(*stream_, 0, 6);
  ASSERT_TRUE(stream.Prefill({Tokens(0, 6)}, Which::kAll, &outputs_).ok());
  EXPECT_EQ(outputs_[0].bytes(), expected.bytes());
}

TEST_F(StreamTest, RefusesWhatIsNoStream) {
  auto session = Session::Create(ToyProgram(2, 3, 4), *device_, {1}).value();
  EXPECT_EQ(Stream::Create(*session).status().message(),
            "this is no program for streams: it has no entry point 'step'");
  Program program = ToyStreamProgram(kBatch, kChunk, kVocabulary);
  program.entry_points[3].inputs[0].type = ElementType::kF32;
  EXPECT_EQ(Stream::Create(*Open(program)).status().message(),
            "this is no program for streams: the inputs and outputs of 'prefill' aren't batch x "
            "time x ... with the same time everywhere");
  EXPECT_EQ(stream_->Prefill({}, Which::kLast, &outputs_).message(),
            "the model has 1 inputs; it was given 0");
  EXPECT_EQ(stream_->Prefill({Tokens(0, 0)}, Which::kLast, &outputs_).message(),
            "there are no tokens to read");
  EXPECT_EQ(stream_->Prefill({Tokens(0, 4, 3)}, Which::kLast, &outputs_).message(),
            "the model wants tokens: tensor<2x1xi32> with any second extent, not tokens: "
            "tensor<3x4xi32>");
  EXPECT_FALSE(stream_->Step({Tokens(0, 2)}, &outputs_).ok());
  EXPECT_EQ(stream_->position(), 0);
}

TEST_F(StreamTest, StatesGoToFilesAndBack) {
  ASSERT_TRUE(stream_->Prefill({Tokens(0, 7)}, Which::kLast, &outputs_).ok());
  ASSERT_TRUE(stream_->SaveState(File("state")).ok());
  auto file = SafetensorsFile::Open(File("state")).value();
  EXPECT_NE(file.Find("sum"), nullptr);
  EXPECT_EQ(file.metadata().at("weir.position"), "7");
  HostTensor expected = Steps(*stream_, 7, 5);

  // Another process, with a program that was compiled with another prefill size.
  auto session = Open(ToyStreamProgram(kBatch, 3, kVocabulary));
  Stream stream = Stream::Create(*session).value();
  absl::Status status = stream.LoadState(File("state"));
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(stream.position(), 7);
  EXPECT_EQ(Steps(stream, 7, 5).bytes(), expected.bytes());

  ASSERT_TRUE(stream.Reset().ok());
  EXPECT_EQ(stream.position(), 0);
}

// Places beyond 32 bits and beyond what a double counts.
TEST_F(StreamTest, PositionsAreOf64Bits) {
  constexpr int64_t kStart = (int64_t{1} << 53) + 1;
  ASSERT_TRUE(stream_->SaveState(File("start")).ok());
  auto file = SafetensorsFile::Open(File("start")).value();
  std::vector<HostTensor> tensors = {file.Read("sum").value(), file.Read("stream.start").value()};
  tensors[1].As<int64_t>()[0] = kStart;
  auto metadata = file.metadata();
  metadata["weir.position"] = std::to_string(kStart);
  ASSERT_TRUE(WriteSafetensors(File("far"), tensors, metadata).ok());
  ASSERT_TRUE(stream_->LoadState(File("far")).ok());
  ASSERT_TRUE(stream_->Step({Tokens(0, 1)}, &outputs_).ok());
  EXPECT_EQ(stream_->position(), kStart + 1);
  EXPECT_EQ(outputs_[0].Number(0), 0.125 + kStart % 10);
}

TEST_F(StreamTest, TheStateOfOneRowServesAll) {
  auto single = Open(ToyStreamProgram(1, kChunk, kVocabulary));
  Stream one = Stream::Create(*single).value();
  ASSERT_TRUE(one.Prefill({Tokens(0, 7, 1)}, Which::kLast, &outputs_).ok());
  ASSERT_TRUE(one.SaveState(File("one"), {{"note", "of one row"}}).ok());
  EXPECT_EQ(SafetensorsFile::Open(File("one")).value().metadata().at("note"), "of one row");
  absl::Status status = stream_->LoadState(File("one"));
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(stream_->position(), 7);
  HostTensor all = session_->ReadVariable("state.sum").value();
  HostTensor row = single->ReadVariable("state.sum").value();
  for (int64_t i = 0; i < kBatch * kVocabulary; ++i)
    EXPECT_EQ(all.Number(i), row.Number(i % kVocabulary));
  // But not those of two one.
  ASSERT_TRUE(stream_->SaveState(File("two")).ok());
  EXPECT_FALSE(one.LoadState(File("two")).ok());
}

TEST_F(StreamTest, StatesThatDoNotFitChangeNothing) {
  ASSERT_TRUE(stream_->Prefill({Tokens(0, 7)}, Which::kLast, &outputs_).ok());
  ASSERT_TRUE(stream_->SaveState(File("good")).ok());
  auto file = SafetensorsFile::Open(File("good")).value();
  const std::map<std::string, std::string> metadata = file.metadata();
  const HostTensor sum = file.Read("sum").value(), start = file.Read("stream.start").value();
  auto refusal = [&](const std::string& name) {
    HostTensor before = session_->ReadVariable("state.sum").value();
    absl::Status status = stream_->LoadState(File(name));
    EXPECT_EQ(session_->ReadVariable("state.sum").value().bytes(), before.bytes());
    EXPECT_EQ(stream_->position(), 8);
    std::string message(status.message());
    return message.substr(message.find(": ") + 2);
  };
  ASSERT_TRUE(stream_->Step({Tokens(7, 1)}, &outputs_).ok());
  auto with = [&](const std::string& key, const std::string& value) {
    auto changed = metadata;
    changed[key] = value;
    EXPECT_TRUE(WriteSafetensors(File("changed"), {start, sum}, changed).ok());
    return refusal("changed");
  };
  EXPECT_EQ(with("weir.state", "9"), "states of format 9; this Weir reads format 1");
  EXPECT_EQ(with("weir.model", "0"), "these are states of another model");
  EXPECT_EQ(with("weir.parameters", "0"), "these states were made with other parameters");
  EXPECT_EQ(with("weir.position", "-1"), "it doesn't say at which token the states are");
  EXPECT_EQ(with("weir.position", "6"),
            "it says that the states are at token 6, but 'stream.start' is 7");
  auto of = [&](std::vector<HostTensor> tensors) {
    EXPECT_TRUE(WriteSafetensors(File("changed"), tensors, metadata).ok());
    return refusal("changed");
  };
  EXPECT_EQ(of({start}), "lacks the state 'sum'");
  HostTensor other({"h", ElementType::kF32, {1}}), wide({"sum", ElementType::kF32, {3, 5}});
  EXPECT_EQ(of({start, sum, other}), "holds a state 'h' that the program lacks");
  EXPECT_EQ(of({start, wide}), "holds sum: tensor<3x5xf32>; the program has sum: tensor<2x5xf32>");
  ASSERT_TRUE(WriteSafetensors(File("changed"), {start, sum}, {}).ok());
  EXPECT_EQ(refusal("changed"), "this is no file of states");
  EXPECT_FALSE(stream_->LoadState(File("absent")).ok());

  auto session = Open(ToyStreamProgram(kBatch, kChunk, kVocabulary), 1.5);
  absl::Status status = Stream::Create(*session).value().LoadState(File("good"));
  EXPECT_EQ(status.message(), File("good") + ": these states were made with other parameters");
  Program program = ToyStreamProgram(kBatch, kChunk, kVocabulary);
  program.metadata[kModelHashKey] = "another text";
  status = Stream::Create(*Open(program)).value().LoadState(File("good"));
  EXPECT_EQ(status.message(), File("good") + ": these are states of another model");
}

TEST_F(StreamTest, ManyStreamsAtOnce) {
  HostTensor expected = Steps(*stream_, 0, 50);
  auto read = [&] {
    auto session = Session::CreateSharing(*session_, {1}).value();
    Stream stream = Stream::Create(*session).value();
    for (int run = 0; run < 20; ++run) {
      ASSERT_TRUE(stream.Reset().ok());
      ASSERT_EQ(Steps(stream, 0, 50).bytes(), expected.bytes());
    }
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back(read);
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace weir::runtime
