#include "runtime/base/checksum.h"

#include <cstring>

namespace weir::runtime {

// FNV-1a over 8-byte words, then over the rest.
uint64_t Checksum(absl::string_view bytes, uint64_t seed) {
  uint64_t hash = seed;
  auto mix = [&](uint64_t word) { hash = (hash ^ word) * 0x100000001b3u, hash ^= hash >> 29; };
  mix(bytes.size());
  for (; bytes.size() >= 8; bytes.remove_prefix(8)) {
    uint64_t word;
    std::memcpy(&word, bytes.data(), 8);
    mix(word);
  }
  for (char c : bytes) mix(static_cast<unsigned char>(c));
  return hash;
}

}  // namespace weir::runtime
