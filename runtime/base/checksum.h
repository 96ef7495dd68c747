#ifndef WEIR_RUNTIME_BASE_CHECKSUM_H_
#define WEIR_RUNTIME_BASE_CHECKSUM_H_

#include <cstdint>

#include "absl/strings/string_view.h"

namespace weir::runtime {

inline constexpr uint64_t kChecksumSeed = 0xcbf29ce484222325u;

// A hash of the bytes and of `seed`, which may be the hash of what came before. The same on all
// machines and part of file formats. It is there for accidents, not for attackers.
uint64_t Checksum(absl::string_view bytes, uint64_t seed = kChecksumSeed);

}  // namespace weir::runtime

#endif  // WEIR_RUNTIME_BASE_CHECKSUM_H_
