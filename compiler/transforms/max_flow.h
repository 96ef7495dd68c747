// Maximum flow and minimum cut by Dinic's algorithm (E. A. Dinic, 1970).
//
//   MaxFlow flow(nodes);
//   flow.addEdge(from, to, capacity);
//   std::vector<bool> source = flow.minCut(s, t);   // true: on the side of s

#ifndef WEIR_COMPILER_TRANSFORMS_MAX_FLOW_H_
#define WEIR_COMPILER_TRANSFORMS_MAX_FLOW_H_

#include <cstddef>
#include <cstdint>
#include <vector>

namespace weir {

class MaxFlow {
 public:
  static constexpr int64_t kInfinite = int64_t{1} << 60;

  explicit MaxFlow(int nodes) : outgoing(nodes) {}

  /// Adds a directed edge; capacities are not negative. Parallel edges are allowed.
  void addEdge(int from, int to, int64_t capacity);

  /// Saturates the network and returns which nodes are still reachable from `source`: the smallest
  /// source side of a minimum cut. To be called once.
  std::vector<bool> minCut(int source, int sink);

  /// The value of the flow found by minCut.
  int64_t value() const { return flow; }

 private:
  struct Edge {
    int to;
    int64_t rest;  // capacity left
  };
  bool findLevels(int source, int sink);
  int64_t augment(int source, int sink);

  std::vector<Edge> edges;  // edge e and its reverse e ^ 1
  std::vector<std::vector<int>> outgoing;
  std::vector<int> level;
  std::vector<std::size_t> next;
  int64_t flow = 0;
};

}  // namespace weir

#endif  // WEIR_COMPILER_TRANSFORMS_MAX_FLOW_H_
