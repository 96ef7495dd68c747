#include "runtime/training/progress.h"

#include <cstdio>
#include <string>

#include "gtest/gtest.h"
#include "runtime/base/file.h"

namespace weir::runtime {
namespace {

TEST(Progress, NumbersForPeople) {
  EXPECT_EQ(HumanBytes(17), "17 B");
  EXPECT_EQ(HumanBytes(1536), "1.50 KiB");
  EXPECT_EQ(HumanBytes(70.0 * (1 << 20)), "70.0 MiB");
  EXPECT_EQ(HumanBytes(3.0 * (1 << 30)), "3.00 GiB");
  EXPECT_EQ(HumanCount(999), "999");
  EXPECT_EQ(HumanCount(999.6), "1.00k");
  EXPECT_EQ(HumanCount(123456), "123k");
  EXPECT_EQ(HumanCount(2.5e6), "2.50M");
  EXPECT_EQ(HumanDuration(59.4), "59s");
  EXPECT_EQ(HumanDuration(61), "1m01s");
  EXPECT_EQ(HumanDuration(3 * 3600 + 125), "3h02m");
  EXPECT_EQ(HumanDuration(1e300), "?");
}

TEST(Progress, PlainLinesInAFile) {
  std::string path = testing::TempDir() + "/progress.txt";
  std::FILE* file = std::fopen(path.c_str(), "w");
  {
    Progress progress(file, 100);
    MetricsRecord record;
    record.step = 1;
    record.loss = 2.5;
    record.tokens_per_second = 1234;
    progress.Step(record, 90);
    record.step = 2;
    progress.Step(record, 89);  // too soon after the first
    record.accuracy = 0.5;
    record.sequence_accuracy = 0.25;
    record.seconds = 7;
    progress.Evaluation(record, true);
  }
  std::fclose(file);
  std::string text = ReadFile(path).value();
  EXPECT_EQ(text.substr(0, 41), "step 1/100  loss 2.5000  1.23k tokens/s  ");
  EXPECT_NE(text.find("1m30s left\nstep 2/100  held out: loss 2.5000  accuracy 50.00%  sequences "
                      "25.00%  best so far  (7s)\n"),
            std::string::npos)
      << text;
}

}  // namespace
}  // namespace weir::runtime
