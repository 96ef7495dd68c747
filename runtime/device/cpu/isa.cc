#include "runtime/device/cpu/isa.h"

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace weir::runtime {
namespace {

constexpr absl::string_view kLevels[] = {"amx", "avx512", "avx2"};

bool HasAmxInstructions() {
  unsigned eax, ebx, ecx, edx;
  if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) return false;
  bool bf16_tiles = (edx >> 22) & 1, tiles = (edx >> 24) & 1;
  if (!__get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx)) return false;
  bool avx512_bf16 = (eax >> 5) & 1;
  return bf16_tiles && tiles && avx512_bf16;
}

// Linux keeps the 8 KiB of tile registers from processes that haven't asked.
bool RequestTilePermission() {
  constexpr int kArchReqXcompPerm = 0x1023;
  constexpr int kXfeatureXtiledata = 18;
  return ::syscall(SYS_arch_prctl, kArchReqXcompPerm, kXfeatureXtiledata) == 0;
}

std::vector<std::string> Detect() {
  std::vector<std::string> levels;
  // __builtin_cpu_supports also asks whether the kernel saves the registers.
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return levels;
  levels.push_back("avx2");
  if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
      !__builtin_cpu_supports("avx512vl") || !__builtin_cpu_supports("avx512dq")) {
    return levels;
  }
  levels.insert(levels.begin(), "avx512");
  if (HasAmxInstructions() && RequestTilePermission()) levels.insert(levels.begin(), "amx");
  return levels;
}

}  // namespace

const std::vector<std::string>& SupportedIsaLevels() {
  static const auto& levels = *new std::vector<std::string>(Detect());
  return levels;
}

absl::StatusOr<std::vector<std::string>> UsableIsaLevels(absl::string_view forced,
                                                         absl::string_view machine) {
  std::vector<std::string> usable = SupportedIsaLevels();
  if (usable.empty()) {
    return absl::FailedPreconditionError("this CPU has no AVX2; Weir needs at least that");
  }
  for (absl::string_view level : {forced, machine}) {
    if (!level.empty() &&
        std::find(std::begin(kLevels), std::end(kLevels), level) == std::end(kLevels)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "'", level, "' is no instruction-set level: ", absl::StrJoin(kLevels, ", ")));
    }
  }
  // The levels are in order, so those beyond `machine` are in front of it. A machine that lacks
  // `machine` stays what it is.
  auto last = std::find(usable.begin(), usable.end(), machine);
  if (last != usable.end()) usable.erase(usable.begin(), last);
  if (forced.empty()) return usable;
  if (std::find(usable.begin(), usable.end(), forced) == usable.end()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "this machine can't run ", forced, " code; it can run ", absl::StrJoin(usable, ", ")));
  }
  return std::vector<std::string>{std::string(forced)};
}

absl::StatusOr<std::string> ChooseIsaLevel(absl::string_view forced) {
  absl::StatusOr<std::vector<std::string>> usable = UsableIsaLevels(forced, "");
  if (!usable.ok()) return usable.status();
  return usable->front();
}

}  // namespace weir::runtime
