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

TEST_F(RunnerTest, DescribesPrograms) {
  std::string text = DescribeProgram(ToyProgram(2, 3, 4));
  EXPECT_NE(text.find("eval: 1 launches, arena of 0 bytes\n  input  tokens: tensor<2x3xi32>\n"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("  parameter bigram.weight: tensor<4x4xf32>\n"), std::string::npos) << text;
}

}  // namespace
}  // namespace weir::runtime
