// Tests of kernels on each level of instructions that this machine has.

#ifndef WEIR_COMPILER_CONVERSION_CPU_LEVEL_TEST_H_
#define WEIR_COMPILER_CONVERSION_CPU_LEVEL_TEST_H_

#include "compiler/conversion/cpu/kernel_runner.h"
#include "gtest/gtest.h"

namespace weir {

class LevelTest : public testing::TestWithParam<IsaLevel> {
 protected:
  void SetUp() override {
    if (GetParam() > hostLevel()) GTEST_SKIP() << "this machine lacks the instructions";
  }
};

}  // namespace weir

#endif  // WEIR_COMPILER_CONVERSION_CPU_LEVEL_TEST_H_
