#include "compiler/support/phase_times.h"

#include <gtest/gtest.h>

#include <thread>

namespace weir {
namespace {

TEST(PhaseTimes, NestsByThreadAndCounts) {
  {
    Phase before("before");
  }
  PhaseTimes::enable();
  auto work = [] {
    Phase kernel("kernel");
    for (int i = 0; i < 3; ++i) Phase emit("emit");
  };
  {
    Phase outer("outer");
    work();
    std::thread([&] { Phase helper("kernel", outer); }).join();
  }
  std::thread(work).join();
  std::thread(work).join();
  std::string table = PhaseTimes::table();
  EXPECT_EQ(table.find("before"), std::string::npos) << "recorded before it was enabled";
  // Inside of `outer` on this thread and on one that works for it, on its own on the others.
  EXPECT_NE(table.find("      1  outer\n"), std::string::npos) << table;
  EXPECT_NE(table.find("      2    kernel\n"), std::string::npos) << table;
  EXPECT_NE(table.find("      3      emit\n"), std::string::npos) << table;
  EXPECT_NE(table.find("      2  kernel\n"), std::string::npos) << table;
  EXPECT_NE(table.find("      6    emit\n"), std::string::npos) << table;
  EXPECT_NE(table.find("total\n"), std::string::npos) << table;
}

}  // namespace
}  // namespace weir
