#include "runtime/base/human.h"

#include <sys/resource.h>

#include <cmath>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace weir::runtime {

std::string HumanBytes(double bytes) {
  const char* const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  int unit = 0;
  for (; bytes >= 1024 && unit < 4; ++unit) bytes /= 1024;
  return absl::StrFormat("%.*f %s",
                         bytes < 10 && unit > 0    ? 2
                         : bytes < 100 && unit > 0 ? 1
                                                   : 0,
                         bytes, units[unit]);
}

std::string HumanCount(double count) {
  const char* const units[] = {"", "k", "M", "G", "T"};
  int unit = 0;
  for (; count >= 999.5 && unit < 4; ++unit) count /= 1000;
  return absl::StrFormat("%.*f%s",
                         unit == 0     ? 0
                         : count < 10  ? 2
                         : count < 100 ? 1
                                       : 0,
                         count, units[unit]);
}

std::string HumanDuration(double seconds) {
  if (!(seconds < 1e9)) return "?";
  auto total = static_cast<int64_t>(std::llround(seconds));
  if (total < 60) return absl::StrCat(total, "s");
  if (total < 3600) return absl::StrFormat("%dm%02ds", total / 60, total % 60);
  return absl::StrFormat("%dh%02dm", total / 3600, total / 60 % 60);
}

double PeakMemoryBytes() {
  struct rusage usage;
  return getrusage(RUSAGE_SELF, &usage) == 0 ? usage.ru_maxrss * 1024.0 : 0;
}

}  // namespace weir::runtime
