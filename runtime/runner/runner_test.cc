#include "runtime/runner/runner.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/checkpoint/safetensors.h"
#include "runtime/testing/toy_program.h"

namespace weir::runtime {
namespace {

class RunnerTest : public testing::Test {
 protected:
  RunnerTest() {
    options_.program = File("toy.weir");
    EXPECT_TRUE(SaveProgram(ToyProgram(2, 3, 4), options_.program).ok());
    std::vector<HostTensor> batch = {HostTensor({"tokens", ElementType::kI32, {2, 3}}),
                                     HostTensor({"targets", ElementType::kI32, {2, 3}})};
    EXPECT_TRUE(WriteSafetensors(File("batch"), batch, {}).ok());
  }
  std::string File(const std::string& name) { return testing::TempDir() + "/" + name; }
  std::string Message() { return std::string(RunProgram(options_).status().message()); }

  RunnerOptions options_;
};

TEST_F(RunnerTest, FilesInFilesOut) {
  options_.initialize = true;
  options_.entry_point = "train_step";
  options_.inputs = File("batch");
  options_.outputs = File("out");
  options_.params_out = File("variables");
  options_.repeat = 3;
  options_.profile = true;
  absl::StatusOr<std::string> report = RunProgram(options_);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_NE(report->find("train_step: 3 runs of"), std::string::npos) << *report;
  EXPECT_NE(report->find("loss = "), std::string::npos) << *report;
  EXPECT_NE(report->find("3 calls  toy_train_step"), std::string::npos) << *report;
  EXPECT_EQ(SafetensorsFile::Open(File("variables"))->Read("rng")->As<int64_t>()[1], 3);
  EXPECT_EQ(SafetensorsFile::Open(File("out"))->Read("count")->Number(0), 6);

  // The variables in, without init: the loss goes on from there.
  double loss = SafetensorsFile::Open(File("out"))->Read("loss")->Number(0);
  options_.initialize = false;
  options_.params = File("variables");
  options_.repeat = 1;
  ASSERT_TRUE(RunProgram(options_).ok());
  EXPECT_LT(SafetensorsFile::Open(File("out"))->Read("loss")->Number(0), loss);
}

TEST_F(RunnerTest, MessagesSayWhatIsMissing) {
  options_.entry_point = "step";
  EXPECT_EQ(Message(), options_.program + ": there is no entry point 'step'");
  options_.entry_point = "eval";
  EXPECT_EQ(Message(), "'eval' needs tokens: tensor<2x3xi32>; name a file of inputs with --inputs");
  options_.inputs = options_.params = File("batch");
  EXPECT_EQ(Message(), File("batch") + ": holds no variable of the program");
  options_.params = File("absent");
  EXPECT_EQ(Message(), "cannot open '" + File("absent") + "': No such file or directory");
}

TEST_F(RunnerTest, StreamsGoOnFromFiles) {
  RunnerOptions options;
  options.program = File("stream.weir");
  ASSERT_TRUE(SaveProgram(ToyStreamProgram(2, 3, 4), options.program).ok());
  options.initialize = true;
  auto tokens = [&](const std::string& name, int begin, int end) {
    HostTensor tensor({"tokens", ElementType::kI32, {2, end - begin}});
    for (int64_t i = 0; i < tensor.spec().NumElements(); ++i) {
      tensor.As<int32_t>()[i] = (i % (end - begin) + begin) % 4;
    }
    EXPECT_TRUE(WriteSafetensors(File(name), {tensor}, {}).ok());
    return File(name);
  };
  StreamRequest whole{tokens("whole", 0, 11), File("whole_out"), /*all_outputs=*/true, "", ""};
  ASSERT_TRUE(StreamProgram(options, whole).ok());
  StreamRequest head{tokens("head", 0, 5), "", false, "", File("state")};
  absl::StatusOr<std::string> report = StreamProgram(options, head);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_NE(report->find("stream: 5 tokens of 2 rows in "), std::string::npos) << *report;
  EXPECT_NE(report->find("stands at token 5 with 40 bytes of state"), std::string::npos) << *report;
  StreamRequest tail{tokens("tail", 5, 11), File("tail_out"), false, File("state"), ""};
  ASSERT_TRUE(StreamProgram(options, tail).ok());
  HostTensor all = SafetensorsFile::Open(File("whole_out"))->Read("output").value();
  HostTensor last = SafetensorsFile::Open(File("tail_out"))->Read("output").value();
  EXPECT_EQ(last.spec().ToString(), "output: tensor<2x1x4xf32>");
  for (int64_t j = 0; j < 4; ++j) EXPECT_EQ(last.Number(4 + j), all.Number((11 + 10) * 4 + j));

  tail.inputs = "";
  EXPECT_EQ(StreamProgram(options, tail).status().message(),
            "--stream reads tokens: tensor<2x1xi32> of any second extent; name a file of inputs "
            "with --inputs");
  options.machine_isa = "mmx";
  EXPECT_FALSE(StreamProgram(options, whole).ok());
}

TEST_F(RunnerTest, DescribesPrograms) {
  std::string text = DescribeProgram(ToyProgram(2, 3, 4));
  EXPECT_NE(text.find("eval: 1 launches, arena of 0 bytes\n  input  tokens: tensor<2x3xi32>\n"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("  parameter bigram.weight: tensor<4x4xf32>\n"), std::string::npos) << text;
}

}  // namespace
}  // namespace weir::runtime
