// Layers, tasks and native kernels by name, wherever they come from: .mlir files, plugins' shared
// libraries, or the program itself. All look alike to the user.
//
//   Registry registry;
//   for (const std::string& directory : DefaultPluginPath()) {
//     if (auto status = registry.AddDirectory(directory); !status.ok()) return status;
//   }
//   if (auto status = registry.AddFile(absl::GetFlag(FLAGS_plugin)); !status.ok()) return status;
//   absl::StatusOr<const RegisteredLayer*> layer = registry.FindLayer("mingru");
//   parse((*layer)->ir);  // the compiler's matter: the registry doesn't know MLIR
//
// A name that is taken twice is an error that names both files. Not thread-safe while adding;
// reading from several threads is fine.
#ifndef WEIR_RUNTIME_PLUGIN_REGISTRY_H_
#define WEIR_RUNTIME_PLUGIN_REGISTRY_H_

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/plugin/loader.h"
#include "runtime/plugin/weir_plugin.h"

namespace weir::runtime {

struct RegisteredLayer {
  std::string name;
  // A module's text that defines the layer, and perhaps others of the same file. Shared by them, so
  // that equal pointers mean the same text.
  std::shared_ptr<const std::string> ir;
  std::string source;  // the file's name, as messages show it
  int line = 0;        // in `ir`, from 1; of the `weir.layer`
  std::string doc;
};

struct RegisteredKernel {
  PluginKernel kernel;
  std::string source;
};

struct RegisteredTask {
  PluginTask task;
  std::string source;
};

class Registry {
 public:
  // Every `*.mlir` and `*.so` of the directory, and `<name>/<name>.mlir` and `<name>/<name>.so` of
  // its subdirectories (what else lies in a layer's folder is its own business). In sorted order.
  // NotFound if there is no such directory.
  absl::Status AddDirectory(const std::string& directory);

  // One plugin: a .mlir file, or else a shared library. A file that is already there is skipped.
  absl::Status AddFile(const std::string& file);

  // The layers of a module's text; `source` is what messages call it. At least one.
  absl::Status AddText(std::string text, const std::string& source);

  // A plugin that is linked into the program.
  absl::Status AddPlugin(const WeirPlugin* plugin, const std::string& source);

  // NotFound, with the names that are there, for a name that isn't. Pointers stay valid as long as
  // the registry.
  absl::StatusOr<const RegisteredLayer*> FindLayer(absl::string_view name) const;
  absl::StatusOr<const RegisteredKernel*> FindKernel(absl::string_view name) const;
  absl::StatusOr<const RegisteredTask*> FindTask(absl::string_view name) const;

  // Sorted by name.
  const std::map<std::string, RegisteredLayer, std::less<>>& layers() const { return layers_; }
  const std::map<std::string, RegisteredKernel, std::less<>>& kernels() const { return kernels_; }
  const std::map<std::string, RegisteredTask, std::less<>>& tasks() const { return tasks_; }

  // The shared libraries that were added, in order.
  const std::vector<LoadedPlugin>& plugins() const { return plugins_; }

 private:
  absl::Status Add(LoadedPlugin plugin);

  std::map<std::string, RegisteredLayer, std::less<>> layers_;
  std::map<std::string, RegisteredKernel, std::less<>> kernels_;
  std::map<std::string, RegisteredTask, std::less<>> tasks_;
  std::vector<LoadedPlugin> plugins_;
  std::set<std::string> files_;  // canonical paths of the files added
};

// Where plugins are looked for without being told: the `plugins` folder that comes with the program
// (next to the executable, in ../share/weir/, or in Bazel's runfiles), then the directories of the
// environment's WEIR_PLUGIN_PATH, separated by colons. The folder that comes with the program is
// left out if there is none; directories of WEIR_PLUGIN_PATH are not, so that a typing error shows.
std::vector<std::string> DefaultPluginPath();

// The registry of a program: the default path, then `directories`, then `files`.
absl::StatusOr<Registry> LoadRegistry(const std::vector<std::string>& directories,
                                      const std::vector<std::string>& files);

}  // namespace weir::runtime

#endif  // WEIR_RUNTIME_PLUGIN_REGISTRY_H_
