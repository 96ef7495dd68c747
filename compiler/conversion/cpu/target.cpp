#include "compiler/conversion/cpu/target.h"

namespace weir {

std::string CpuTarget::cpu() const {
  switch (level) {
    case IsaLevel::Avx2:
      return "haswell";
    case IsaLevel::Avx512:
      return "skylake-avx512";
    case IsaLevel::Amx:
      return "sapphirerapids";
  }
  return "";
}

// LLVM prefers 256-bit registers on these CPUs, which halves the rate of everything it widens or
// splits itself.
std::string CpuTarget::features() const { return level == IsaLevel::Avx2 ? "" : "-prefer-256-bit"; }

std::string CpuTarget::name() const {
  switch (level) {
    case IsaLevel::Avx2:
      return "avx2";
    case IsaLevel::Avx512:
      return "avx512";
    case IsaLevel::Amx:
      return "amx";
  }
  return "";
}

}  // namespace weir
