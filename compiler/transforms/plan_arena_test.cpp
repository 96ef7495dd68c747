#include "compiler/transforms/plan_arena.h"

#include <random>

#include "gtest/gtest.h"

namespace weir {
namespace {

bool liveTogether(const ArenaRequest& a, const ArenaRequest& b) {
  return a.first <= b.last && b.first <= a.last;
}

void expectValid(const std::vector<ArenaRequest>& requests, const ArenaPlan& plan) {
  ASSERT_EQ(plan.offsets.size(), requests.size());
  EXPECT_GE(plan.bytes, plan.lowerBound);
  for (size_t i = 0; i < requests.size(); ++i) {
    EXPECT_EQ(plan.offsets[i] % kArenaAlignment, 0);
    EXPECT_GE(plan.offsets[i], 0);
    EXPECT_LE(plan.offsets[i] + requests[i].bytes, plan.bytes);
    for (size_t j = 0; j < i; ++j) {
      if (!liveTogether(requests[i], requests[j])) continue;
      bool apart = plan.offsets[i] + requests[i].bytes <= plan.offsets[j] ||
                   plan.offsets[j] + requests[j].bytes <= plan.offsets[i];
      EXPECT_TRUE(apart) << "requests " << i << " and " << j;
    }
  }
}

TEST(PlanArena, Nothing) {
  ArenaPlan plan = planArena({});
  EXPECT_EQ(plan.bytes, 0);
  EXPECT_EQ(plan.lowerBound, 0);
}

TEST(PlanArena, ReusesWhatIsDead) {
  ArenaPlan plan = planArena({{1024, 0, 1}, {1024, 2, 3}, {1024, 4, 5}});
  EXPECT_EQ(plan.bytes, 1024);
}

TEST(PlanArena, KeepsApartWhatMeetsInOneLaunch) {
  std::vector<ArenaRequest> requests = {{100, 0, 1}, {100, 1, 2}};
  ArenaPlan plan = planArena(requests);
  expectValid(requests, plan);
  EXPECT_EQ(plan.bytes, 256);
}

TEST(PlanArena, TakesTheTightestGap) {
  // Two gaps, of 192 and of 64 bytes, between three buffers that stay.
  std::vector<ArenaRequest> requests = {{640, 0, 9}, {192, 0, 3}, {576, 0, 9},
                                        {64, 0, 3},  {512, 0, 9}, {60, 5, 9}};
  ArenaPlan plan = planArena(requests);
  expectValid(requests, plan);
  EXPECT_EQ(plan.bytes, plan.lowerBound);
}

TEST(PlanArena, RandomGraphs) {
  std::mt19937 random(7);
  for (int graph = 0; graph < 50; ++graph) {
    int launches = 1 + static_cast<int>(random() % 120);
    std::vector<ArenaRequest> requests;
    for (int i = 0; i < launches; ++i) {
      // Mostly short lives, and some from the forward pass to the backward pass.
      int64_t last = random() % 4 == 0 ? 2 * launches - i : i + static_cast<int64_t>(random() % 6);
      requests.push_back({static_cast<int64_t>(random() % 100000), i, last});
    }
    ArenaPlan plan = planArena(requests);
    expectValid(requests, plan);
    EXPECT_LE(static_cast<double>(plan.bytes), 1.25 * static_cast<double>(plan.lowerBound) + 4096);
  }
}

}  // namespace
}  // namespace weir
