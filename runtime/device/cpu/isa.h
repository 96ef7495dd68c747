// The instruction-set levels that CPU code is compiled for, and what this machine has.
#ifndef WEIR_RUNTIME_DEVICE_CPU_ISA_H_
#define WEIR_RUNTIME_DEVICE_CPU_ISA_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace weir::runtime {

// The levels this CPU and its kernel support, best first: of "amx", "avx512", "avx2". "avx512"
// means F, BW, VL and DQ; "amx" means that and AVX512-BF16, AMX-TILE, AMX-BF16 and the kernel's
// permission to use the tile registers, which this call asks for.
const std::vector<std::string>& SupportedIsaLevels();

// The level to use: the best one, or `forced` if it isn't empty. An error if there is none, if
// `forced` is no level, or if this machine lacks it.
absl::StatusOr<std::string> ChooseIsaLevel(absl::string_view forced);

// The levels that code may be chosen from, best first: those of this machine, or `forced` alone.
// If `machine` isn't empty, it is as if the machine had no level beyond it. Errors as above.
absl::StatusOr<std::vector<std::string>> UsableIsaLevels(absl::string_view forced,
                                                         absl::string_view machine);

}  // namespace weir::runtime

#endif  // WEIR_RUNTIME_DEVICE_CPU_ISA_H_
