// The conformance test as a test program, for authors: every argument is a plugin's file.
//
//   weir_plugin_test(name = "retention_test", plugin = ":retention.so")
#include <iostream>

#include "gtest/gtest.h"
#include "runtime/plugin/check_plugin.h"

namespace weir::runtime {
namespace {

class ConformanceTest : public ::testing::Test {
 public:
  explicit ConformanceTest(std::string file) : file_(std::move(file)) {}

  void TestBody() override {
    const PluginReport report = CheckPlugin(file_);
    EXPECT_TRUE(report.ok());
    std::cout << report.ToString();
  }

 private:
  const std::string file_;
};

}  // namespace
}  // namespace weir::runtime

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  if (argc < 2) {
    std::cerr << "usage: " << argv[0] << " PLUGIN...\n";
    return 1;
  }
  for (int i = 1; i < argc; ++i) {
    const std::string file = argv[i];
    testing::RegisterTest(
        "ConformanceTest", file.c_str(), nullptr, nullptr, __FILE__, __LINE__,
        [file]() -> testing::Test* { return new weir::runtime::ConformanceTest(file); });
  }
  return RUN_ALL_TESTS();
}
