#include "compiler/transforms/max_flow.h"

#include <algorithm>
#include <queue>

namespace weir {

void MaxFlow::addEdge(int from, int to, int64_t capacity) {
  outgoing[from].push_back(edges.size());
  edges.push_back({to, capacity});
  outgoing[to].push_back(edges.size());
  edges.push_back({from, 0});
}

bool MaxFlow::findLevels(int source, int sink) {
  level.assign(outgoing.size(), -1);
  level[source] = 0;
  std::queue<int> queue;
  queue.push(source);
  while (!queue.empty()) {
    int node = queue.front();
    queue.pop();
    for (int e : outgoing[node]) {
      if (edges[e].rest == 0 || level[edges[e].to] >= 0) continue;
      level[edges[e].to] = level[node] + 1;
      queue.push(edges[e].to);
    }
  }
  return level[sink] >= 0;
}

/// Finds one path of increasing level and fills it; 0 if there is none left. Iterative: paths are
/// as long as the model is deep.
int64_t MaxFlow::augment(int source, int sink) {
  std::vector<int> path;
  int node = source;
  while (true) {
    if (node == sink) {
      int64_t amount = kInfinite;
      for (int e : path) amount = std::min(amount, edges[e].rest);
      for (int e : path) {
        edges[e].rest -= amount;
        edges[e ^ 1].rest += amount;
      }
      return amount;
    }
    bool advanced = false;
    for (size_t& i = next[node]; i < outgoing[node].size(); ++i) {
      int e = outgoing[node][i];
      if (edges[e].rest == 0 || level[edges[e].to] != level[node] + 1) continue;
      path.push_back(e);
      node = edges[e].to;
      advanced = true;
      break;
    }
    if (advanced) continue;
    if (path.empty()) return 0;
    // A dead end: step back and go past the edge that led here.
    node = edges[path.back() ^ 1].to;
    path.pop_back();
    ++next[node];
  }
}

std::vector<bool> MaxFlow::minCut(int source, int sink) {
  while (findLevels(source, sink)) {
    next.assign(outgoing.size(), 0);
    while (int64_t amount = augment(source, sink)) flow += amount;
  }
  std::vector<bool> reachable(outgoing.size());
  for (size_t i = 0; i < reachable.size(); ++i) reachable[i] = level[i] >= 0;
  return reachable;
}

}  // namespace weir
