// Generation by a compiled program: the toy one, whose kernels are written by hand.
#include "runtime/generation/run.h"

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/base/file.h"
#include "runtime/device/cpu/cpu_device.h"
#include "runtime/testing/toy_program.h"

namespace weir::runtime {
namespace {

class RunTest : public testing::Test {
 protected:
  RunTest() : device_(CpuDevice::Create({}).value()) {}

  std::string File(const char* name) { return testing::TempDir() + "/" + name; }

  // A new process each time, as it were.
  absl::Status Go(int64_t rows, int64_t chunk, const GenerationRequest& request) {
    Vocabulary vocabulary = Vocabulary::Characters("abcdefgh");
    auto session =
        Session::Create(ToyStreamProgram(rows, chunk, vocabulary.size()), *device_, {1}).value();
    HostTensor weight({"bigram.weight", ElementType::kF32, {vocabulary.size(), vocabulary.size()}});
    for (int64_t i = 0; i < weight.spec().NumElements(); ++i)
      weight.SetNumber(i, static_cast<double>(i * i % 7) / 20);
    EXPECT_TRUE(session->WriteVariable("bigram.weight", weight).ok());
    std::FILE* out = std::fopen(File("out").c_str(), "w");
    std::FILE* log = std::fopen(File("log").c_str(), "w");
    absl::Status status = RunGeneration(*session, vocabulary, request, out, log);
    std::fclose(out);
    std::fclose(log);
    text_ = ReadFile(File("out")).value();
    log_ = ReadFile(File("log")).value();
    return status;
  }

  std::string Text(int64_t rows, int64_t chunk, const GenerationRequest& request) {
    absl::Status status = Go(rows, chunk, request);
    EXPECT_TRUE(status.ok()) << status;
    return text_;
  }

  std::string Error(int64_t rows, const GenerationRequest& request) {
    return std::string(Go(rows, 4, request).message());
  }

  std::unique_ptr<CpuDevice> device_;
  std::string text_, log_;
};

GenerationRequest Request(const std::vector<std::string>& prompts, int64_t tokens) {
  GenerationRequest request;
  request.prompts = prompts;
  request.tokens = tokens;
  return request;
}

TEST_F(RunTest, TheSameTextWithAndWithoutPrefill) {
  GenerationRequest request = Request({"abcdefgabcd"}, 60);
  std::string text = Text(1, 0, request);
  EXPECT_GE(text.size(), 60u);
  EXPECT_EQ(Text(1, 4, request), text);
  EXPECT_EQ(Text(1, 4, request), text);
  EXPECT_NE(log_.find("read: 11 tokens in "), std::string::npos) << log_;
  EXPECT_NE(log_.find("generated: 60 tokens in "), std::string::npos) << log_;
  EXPECT_NE(log_.find("position 70; 1 thread, avx2; memory: "), std::string::npos) << log_;
  request.sampling.seed = 2;
  EXPECT_NE(Text(1, 4, request), text);
}

TEST_F(RunTest, GoesOnFromAFileOfStates) {
  GenerationRequest request = Request({"abcdefgab"}, 30);
  request.sampling.temperature = 0.7;
  std::string whole = Text(1, 4, request);
  ASSERT_EQ(whole.size(), 31u) << whole;

  GenerationRequest first = request, second = request;
  first.tokens = 0;
  first.save_state = File("prompt.state");
  EXPECT_EQ(Text(1, 4, first), "");
  second.prompts.clear();
  second.state = first.save_state;
  second.tokens = 12;
  second.save_state = File("middle.state");
  std::string begin = Text(1, 4, second);
  second.state = second.save_state;
  second.save_state.clear();
  second.tokens = 18;
  std::string end = Text(1, 0, second);
  EXPECT_EQ(begin.substr(0, 12) + end, whole);

  // A prompt may come in two parts; and one state serves several samples.
  first.prompts = {"abcd"};
  Text(1, 4, first);
  second = request;
  second.prompts = {"efgab"};
  second.state = first.save_state;
  EXPECT_EQ(Text(1, 4, second), whole);
  request.samples = second.samples = 3;
  std::string several = Text(3, 4, request);
  EXPECT_EQ(Text(3, 4, second), several);
  EXPECT_NE(several.find("[3] "), std::string::npos);
}

TEST_F(RunTest, PromptsFromFiles) {
  ASSERT_TRUE(WriteFileAtomically(File("prompt"), {"fgab"}).ok());
  GenerationRequest request = Request({}, 5), same = Request({"fgab"}, 5);
  request.prompt_file = File("prompt");
  EXPECT_EQ(Text(1, 0, request), Text(1, 0, same));
}

TEST_F(RunTest, Errors) {
  EXPECT_EQ(Error(1, Request({}, 5)),
            "there is nothing to go on from: give --prompt=TEXT, --prompt_file=FILE or "
            "--state=FILE");
  EXPECT_EQ(Error(1, Request({""}, 5)), "a prompt is empty: there is nothing to go on from");
  EXPECT_EQ(Error(2, Request({"a"}, 5)),
            "the program is for 2 sequences at once, and there is 1 (prompts x samples)");
  EXPECT_EQ(Error(1, Request({"ax"}, 5)),
            "prompt 1: byte 1 of the text, 'x', isn't among the 8 bytes that the model knows");
  GenerationRequest uneven = Request({"a", "ab"}, 5);
  uneven.save_state = File("uneven");
  EXPECT_EQ(Error(2, uneven),
            "--save_state needs prompts of one length: a state has one position for all sequences");
  uneven.save_state.clear();
  uneven.state = File("absent");
  EXPECT_NE(Error(2, uneven).find("absent"), std::string::npos);
  // A program of the same kernels that isn't for streams.
  auto session = Session::Create(ToyProgram(1, 4, 8), *device_, {1}).value();
  EXPECT_EQ(
      RunGeneration(*session, Vocabulary::Bytes(), Request({"a"}, 1), stdout, nullptr).message(),
      "this is no program for streams: it has no entry point 'step'");
}

}  // namespace
}  // namespace weir::runtime
