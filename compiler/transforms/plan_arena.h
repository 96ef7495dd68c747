// Offsets in one arena for buffers that live at different times.
//
//   ArenaPlan plan = planArena({{/*bytes=*/4096, /*first=*/0, /*last=*/3}, ...});
//   plan.offsets[0];

#ifndef WEIR_COMPILER_TRANSFORMS_PLAN_ARENA_H_
#define WEIR_COMPILER_TRANSFORMS_PLAN_ARENA_H_

#include <cstdint>
#include <vector>

namespace weir {

/// Memory from launch `first` to launch `last`, both included.
struct ArenaRequest {
  int64_t bytes = 0;
  int64_t first = 0;
  int64_t last = 0;
};

struct ArenaPlan {
  /// One per request, a multiple of kArenaAlignment.
  std::vector<int64_t> offsets;
  int64_t bytes = 0;
  /// The most that is alive at any one time: no plan can do with less.
  int64_t lowerBound = 0;
};

inline constexpr int64_t kArenaAlignment = 64;

/// Places each request into the tightest gap among what lives at the same time, in several orders,
/// and keeps the best.
ArenaPlan planArena(const std::vector<ArenaRequest>& requests);

}  // namespace weir

#endif  // WEIR_COMPILER_TRANSFORMS_PLAN_ARENA_H_
