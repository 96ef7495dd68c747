// libFuzzer: no bytes make the search for layers or the look at a shared library crash or read out
// of bounds, and what they find keeps their promises.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "runtime/plugin/layer_text.h"
#include "runtime/plugin/loader.h"
#include "runtime/plugin/plugin_task.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  auto layers = weir::runtime::FindLayers(bytes);
  if (layers.ok()) {
    for (const weir::runtime::LayerText& layer : *layers) {
      if (!weir::runtime::IsValidName(layer.name) || layer.line < 1) std::abort();
    }
  }
  auto options = weir::runtime::ParseTaskOptions(bytes);
  if (options.ok() && options->size() > size) std::abort();

  // Only the look that comes before dlopen: code that is no code can't be made safe to run.
  weir::runtime::CheckSharedObjectBytes(bytes, "fuzzed").IgnoreError();
  return 0;
}
