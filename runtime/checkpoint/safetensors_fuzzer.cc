// libFuzzer: no bytes make the reader crash, read out of bounds, or accept a tensor that isn't all
// there.
//   ./bazelw run --config=fuzz //runtime/checkpoint:safetensors_fuzzer -- -max_total_time=600
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "runtime/checkpoint/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  absl::StatusOr<weir::runtime::Safetensors> file =
      weir::runtime::ParseSafetensors(bytes, "fuzzed");
  if (!file.ok()) return 0;
  volatile char sink = 0;
  for (const weir::runtime::SafetensorsEntry& entry : file->entries) {
    if (static_cast<int64_t>(entry.data.size()) != entry.spec.NumBytes()) std::abort();
    for (char c : entry.data) sink = sink + c;
  }
  return 0;
}
