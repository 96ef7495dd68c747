#include "compiler/transforms/max_flow.h"

#include <random>

#include "gtest/gtest.h"

namespace weir {
namespace {

TEST(MaxFlowTest, TextbookNetwork) {
  // Cormen et al., Introduction to Algorithms, figure 26.1: the maximum is 23.
  MaxFlow flow(6);
  flow.addEdge(0, 1, 16);
  flow.addEdge(0, 2, 13);
  flow.addEdge(1, 3, 12);
  flow.addEdge(2, 1, 4);
  flow.addEdge(2, 4, 14);
  flow.addEdge(3, 2, 9);
  flow.addEdge(3, 5, 20);
  flow.addEdge(4, 3, 7);
  flow.addEdge(4, 5, 4);
  EXPECT_EQ(flow.minCut(0, 5), (std::vector<bool>{true, true, true, false, true, false}));
  EXPECT_EQ(flow.value(), 23);
}

TEST(MaxFlowTest, DisconnectedSinkCutsNothing) {
  MaxFlow flow(3);
  flow.addEdge(0, 1, MaxFlow::kInfinite);
  EXPECT_EQ(flow.minCut(0, 2), (std::vector<bool>{true, true, false}));
  EXPECT_EQ(flow.value(), 0);
}

TEST(MaxFlowTest, MatchesTheBestOfAllCuts) {
  std::mt19937 generator(3);
  for (int trial = 0; trial < 50; ++trial) {
    int nodes = 8;
    std::vector<std::vector<int64_t>> capacity(nodes, std::vector<int64_t>(nodes, 0));
    MaxFlow flow(nodes);
    for (int i = 0; i < 24; ++i) {
      int from = generator() % nodes, to = generator() % nodes;
      if (from == to) continue;
      int64_t c = generator() % 20;
      capacity[from][to] += c;
      flow.addEdge(from, to, c);
    }
    auto cost = [&](auto inSource) {
      int64_t sum = 0;
      for (int i = 0; i < nodes; ++i)
        for (int j = 0; j < nodes; ++j)
          if (inSource(i) && !inSource(j)) sum += capacity[i][j];
      return sum;
    };
    int64_t best = MaxFlow::kInfinite;
    for (int mask = 0; mask < (1 << nodes); ++mask)
      if ((mask & 1) && !(mask & (1 << (nodes - 1))))
        best = std::min(best, cost([&](int i) { return (mask >> i & 1) != 0; }));
    std::vector<bool> side = flow.minCut(0, nodes - 1);
    EXPECT_EQ(flow.value(), best);
    EXPECT_EQ(cost([&](int i) { return static_cast<bool>(side[i]); }), best);
  }
}

}  // namespace
}  // namespace weir
