// Opens a plugin's shared library and checks everything the host will rely on.
//
//   absl::StatusOr<LoadedPlugin> plugin = LoadPlugin("plugins/retention.so");
//   if (!plugin.ok()) return plugin.status();  // "plugins/retention.so: needs a newer Weir: ..."
//
// A broken library is an error with the file's name and never takes the host down: the file is
// looked at before the dynamic loader maps it, since a truncated one would kill the process.
#ifndef WEIR_RUNTIME_PLUGIN_LOADER_H_
#define WEIR_RUNTIME_PLUGIN_LOADER_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/plugin/weir_plugin.h"

namespace weir::runtime {

struct PluginLayer {
  std::string name, ir, doc;
};

struct PluginKernel {
  std::string name;
  WeirKernelFunction function = nullptr;
  std::string vjp_name, step_name;  // empty: none
};

struct PluginTask {
  std::string name, doc, options;
  WeirTask functions = {};  // a copy; fields that the plugin's struct lacks are zero
};

// A plugin's content, checked and copied: names are valid and unique in the plugin, required fields
// are there, each layer's text defines that layer and no other.
struct LoadedPlugin {
  std::string file;
  std::string name, version_text, description;
  std::vector<PluginLayer> layers;
  std::vector<PluginKernel> kernels;
  std::vector<PluginTask> tasks;
};

// Whether `file` is a whole 64-bit ELF shared object for this machine.
absl::Status CheckSharedObject(const std::string& file);
// The same for the bytes of a file; `file` is its name in messages.
absl::Status CheckSharedObjectBytes(absl::string_view bytes, const std::string& file);

// Opens `file` (RTLD_NOW, RTLD_LOCAL; never closed) and asks it what it holds. Errors name the
// file.
absl::StatusOr<LoadedPlugin> LoadPlugin(const std::string& file);

// The same for a plugin that is already in the process. `plugin` may be null (which is refused).
// `file` is where it came from, for messages.
absl::StatusOr<LoadedPlugin> ReadPlugin(const WeirPlugin* plugin, const std::string& file);

}  // namespace weir::runtime

#endif  // WEIR_RUNTIME_PLUGIN_LOADER_H_
