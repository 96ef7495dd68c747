#include "compiler/transforms/plan_arena.h"

#include <algorithm>
#include <functional>
#include <map>
#include <numeric>
#include <optional>

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

/// Places the requests in the given order.
static ArenaPlan placeInOrder(const std::vector<ArenaRequest>& requests,
                              const std::vector<size_t>& order) {
  ArenaPlan plan;
  plan.offsets.assign(requests.size(), 0);
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

ArenaPlan planArena(const std::vector<ArenaRequest>& requests) {
  // No one order is best for all graphs: the largest first, the longest-lived first, by both, as
  // they come.
  auto length = [&](size_t i) { return requests[i].last - requests[i].first + 1; };
  using Key = std::function<int64_t(size_t)>;
  const Key keys[] = {
      [&](size_t i) { return -requests[i].bytes; },
      [&](size_t i) { return -length(i); },
      [&](size_t i) { return -requests[i].bytes * length(i); },
      [&](size_t i) { return requests[i].first; },
      [&](size_t i) { return -requests[i].last; },
  };
  std::optional<ArenaPlan> best;
  int64_t lowerBound = mostAlive(requests);
  for (const Key& key : keys) {
    std::vector<size_t> order(requests.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
      int64_t x = key(a), y = key(b);
      return x != y ? x < y : requests[a].bytes > requests[b].bytes;
    });
    ArenaPlan plan = placeInOrder(requests, order);
    if (!best || plan.bytes < best->bytes) best = std::move(plan);
    if (best->bytes == lowerBound) break;
  }
  best->lowerBound = lowerBound;
  return *std::move(best);
}

}  // namespace weir
