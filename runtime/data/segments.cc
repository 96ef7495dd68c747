#include "runtime/data/segments.h"

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"

namespace weir::runtime {

absl::Status CheckSegments(absl::Span<const int32_t> ids, int64_t length) {
  absl::flat_hash_map<int32_t, int64_t> ends;  // the last place of each run that is over
  const auto size = static_cast<int64_t>(ids.size());
  for (int64_t row = 0; row * length < size; ++row) {
    absl::Span<const int32_t> id = ids.subspan(row * length, length);
    ends.clear();
    for (int64_t t = 1; t < static_cast<int64_t>(id.size()); ++t) {
      if (id[t] == id[t - 1]) continue;
      ends.emplace(id[t - 1], t - 1);
      auto before = ends.find(id[t]);
      if (before == ends.end()) continue;
      return absl::InvalidArgumentError(
          absl::StrCat("row ", row, ": the segment id ", id[t], " at position ", t,
                       " comes back, its document ended at position ", before->second,
                       "; each document of a row needs an id of its own"));
    }
  }
  return absl::OkStatus();
}

}  // namespace weir::runtime
