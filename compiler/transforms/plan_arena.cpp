#include "compiler/transforms/plan_arena.h"

#include <algorithm>
#include <map>
#include <numeric>

namespace weir {

static int64_t alignUp(int64_t bytes) {
  return (bytes + kArenaAlignment - 1) / kArenaAlignment * kArenaAlignment;
}

static int64_t mostAlive(const std::vector<ArenaRequest>& requests) {
  std::map<int64_t, int64_t> change;
  for (const ArenaRequest& request : requests) {
    change[request.first] += alignUp(request.bytes);
    change[request.last + 1] -= alignUp(request.bytes);
  }
  int64_t alive = 0, most = 0;
  for (auto [time, bytes] : change) most = std::max(most, alive += bytes);
  return most;
}

ArenaPlan planArena(const std::vector<ArenaRequest>& requests) {
  ArenaPlan plan;
  plan.offsets.assign(requests.size(), 0);
  plan.lowerBound = mostAlive(requests);

  std::vector<size_t> order(requests.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    if (requests[a].bytes != requests[b].bytes) return requests[a].bytes > requests[b].bytes;
    if (requests[a].first != requests[b].first) return requests[a].first < requests[b].first;
    return a < b;
  });

  // Placed requests by offset.
  std::vector<size_t> placed;
  for (size_t i : order) {
    const ArenaRequest& request = requests[i];
    int64_t size = alignUp(request.bytes);
    int64_t end = 0, best = -1, bestGap = 0;
    for (size_t j : placed) {
      if (requests[j].last < request.first || requests[j].first > request.last) continue;
      int64_t gap = plan.offsets[j] - end;
      if (gap >= size && (best < 0 || gap < bestGap)) {
        best = end;
        bestGap = gap;
      }
      end = std::max(end, plan.offsets[j] + alignUp(requests[j].bytes));
    }
    plan.offsets[i] = best < 0 ? end : best;
    plan.bytes = std::max(plan.bytes, plan.offsets[i] + size);
    auto after = std::upper_bound(placed.begin(), placed.end(), i, [&](size_t a, size_t b) {
      return plan.offsets[a] < plan.offsets[b];
    });
    placed.insert(after, i);
  }
  return plan;
}

}  // namespace weir
