#include "runtime/plugin/registry.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "runtime/base/file.h"
#include "runtime/plugin/layer_text.h"

namespace weir::runtime {
namespace {

namespace fs = std::filesystem;

// The file's identity, so that the same file by two paths is one.
std::string CanonicalPath(const std::string& file) {
  std::error_code error;
  fs::path path = fs::canonical(file, error);
  return error ? file : path.string();
}

absl::Status TakenTwice(absl::string_view kind, absl::string_view name, absl::string_view first,
                        absl::string_view second) {
  return absl::AlreadyExistsError(
      absl::StrCat("the ", kind, " '", name, "' is defined by both ", first, " and ", second));
}

template <typename Entry>
absl::StatusOr<const Entry*> Find(const std::map<std::string, Entry, std::less<>>& entries,
                                  absl::string_view kind, absl::string_view name) {
  auto entry = entries.find(std::string(name));
  if (entry != entries.end()) return &entry->second;
  std::string known = absl::StrJoin(
      entries, ", ", [](std::string* out, const auto& pair) { out->append(pair.first); });
  if (known.empty()) known = "none; is WEIR_PLUGIN_PATH or --plugin set?";
  return absl::NotFoundError(
      absl::StrCat("there is no ", kind, " named '", name, "'; known: ", known));
}

// The first path of `candidates` that is a directory; empty if there is none.
std::string FirstDirectory(const std::vector<fs::path>& candidates) {
  for (const fs::path& candidate : candidates) {
    std::error_code error;
    if (fs::is_directory(candidate, error)) return candidate.lexically_normal().string();
  }
  return "";
}

std::string Environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// The name of this repository's folder in Bazel's runfiles (see WORKSPACE).
constexpr char kWorkspace[] = "weir";

}  // namespace

absl::Status Registry::AddDirectory(const std::string& directory) {
  std::error_code error;
  if (!fs::is_directory(directory, error)) {
    return absl::NotFoundError(absl::StrCat("plugin directory '", directory, "' doesn't exist"));
  }
  std::vector<std::string> files;
  const auto list = [&error](const fs::path& path) {
    std::vector<fs::path> entries;
    fs::directory_iterator iterator(path, error), end;
    for (; !error && iterator != end; iterator.increment(error)) entries.push_back(*iterator);
    std::sort(entries.begin(), entries.end());
    return entries;
  };
  const std::vector<fs::path> entries = list(directory);
  if (error) {
    return absl::PermissionDeniedError(
        absl::StrCat("cannot read plugin directory '", directory, "': ", error.message()));
  }
  for (const fs::path& entry : entries) {
    const std::string name = entry.filename().string();
    if (absl::StartsWith(name, ".")) continue;
    std::error_code kind_error;
    if (fs::is_directory(entry, kind_error)) {
      for (const char* extension : {".mlir", ".so"}) {
        const fs::path file = entry / (name + extension);
        if (fs::exists(file, kind_error)) files.push_back(file.string());
      }
    } else if (entry.extension() == ".mlir" || entry.extension() == ".so") {
      files.push_back(entry.string());
    }
  }
  for (const std::string& file : files) {
    absl::Status status = AddFile(file);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status Registry::AddFile(const std::string& file) {
  const std::string canonical = CanonicalPath(file);
  if (files_.count(canonical) > 0) return absl::OkStatus();
  if (absl::EndsWith(file, ".mlir")) {
    absl::StatusOr<std::string> text = ReadFile(file);
    if (!text.ok()) return text.status();
    absl::Status status = AddText(*std::move(text), file);
    if (!status.ok()) return status;
  } else {
    absl::StatusOr<LoadedPlugin> plugin = LoadPlugin(file);
    if (!plugin.ok()) return plugin.status();
    absl::Status status = Add(*std::move(plugin));
    if (!status.ok()) return status;
  }
  files_.insert(canonical);
  return absl::OkStatus();
}

absl::Status Registry::AddText(std::string text, const std::string& source) {
  absl::StatusOr<std::vector<LayerText>> found = FindLayers(text);
  if (!found.ok()) {
    return absl::InvalidArgumentError(absl::StrCat(source, ": ", found.status().message()));
  }
  if (found->empty()) {
    return absl::InvalidArgumentError(absl::StrCat(source, ": defines no weir.layer"));
  }
  // Look at all names first: a text is added whole or not at all.
  std::set<std::string> names;
  for (const LayerText& layer : *found) {
    auto taken = layers_.find(layer.name);
    if (taken != layers_.end()) {
      return TakenTwice("layer", layer.name, taken->second.source,
                        absl::StrCat(source, ":", layer.line));
    }
    if (!names.insert(layer.name).second) {
      return TakenTwice("layer", layer.name, source, absl::StrCat(source, ":", layer.line));
    }
  }
  auto ir = std::make_shared<const std::string>(std::move(text));
  for (LayerText& layer : *found) {
    layers_[layer.name] = {layer.name, ir, source, layer.line, std::move(layer.doc)};
  }
  return absl::OkStatus();
}

absl::Status Registry::AddPlugin(const WeirPlugin* plugin, const std::string& source) {
  absl::StatusOr<LoadedPlugin> loaded = ReadPlugin(plugin, source);
  if (!loaded.ok()) return loaded.status();
  return Add(*std::move(loaded));
}

absl::Status Registry::Add(LoadedPlugin plugin) {
  const std::string& file = plugin.file;
  for (const LoadedPlugin& other : plugins_) {
    if (other.name == plugin.name) return TakenTwice("plugin", plugin.name, other.file, file);
  }
  for (const PluginLayer& layer : plugin.layers) {
    auto taken = layers_.find(layer.name);
    if (taken != layers_.end()) {
      return TakenTwice("layer", layer.name, taken->second.source, file);
    }
  }
  for (const PluginKernel& kernel : plugin.kernels) {
    auto taken = kernels_.find(kernel.name);
    if (taken != kernels_.end()) {
      return TakenTwice("kernel", kernel.name, taken->second.source, file);
    }
  }
  for (const PluginTask& task : plugin.tasks) {
    auto taken = tasks_.find(task.name);
    if (taken != tasks_.end()) return TakenTwice("task", task.name, taken->second.source, file);
  }
  for (const PluginLayer& layer : plugin.layers) {
    // The loader has checked that this finds exactly one.
    absl::StatusOr<std::vector<LayerText>> found = FindLayers(layer.ir);
    if (!found.ok()) return found.status();
    layers_[layer.name] = {layer.name, std::make_shared<const std::string>(layer.ir), file,
                           found->front().line, layer.doc};
  }
  for (const PluginKernel& kernel : plugin.kernels) kernels_[kernel.name] = {kernel, file};
  for (const PluginTask& task : plugin.tasks) tasks_[task.name] = {task, file};
  plugins_.push_back(std::move(plugin));
  return absl::OkStatus();
}

absl::StatusOr<const RegisteredLayer*> Registry::FindLayer(absl::string_view name) const {
  return Find(layers_, "layer", name);
}

absl::StatusOr<const RegisteredKernel*> Registry::FindKernel(absl::string_view name) const {
  return Find(kernels_, "kernel", name);
}

absl::StatusOr<const RegisteredTask*> Registry::FindTask(absl::string_view name) const {
  return Find(tasks_, "task", name);
}

std::vector<std::string> DefaultPluginPath() {
  std::vector<std::string> path;
  std::vector<fs::path> candidates;
  std::error_code error;
  const fs::path executable = fs::read_symlink("/proc/self/exe", error);
  if (!error) {
    candidates.push_back(executable.parent_path() / "plugins");
    candidates.push_back(executable.parent_path() / "../share/weir/plugins");
  }
  // Set by Bazel for tests, and by the programs it starts for others. Before the executable's own
  // runfiles: Bazel brings those up to date only when the executable itself is asked for, not when
  // a test that runs it is.
  for (const char* variable : {"RUNFILES_DIR", "TEST_SRCDIR"}) {
    const std::string runfiles = Environment(variable);
    if (!runfiles.empty()) candidates.push_back(fs::path(runfiles) / kWorkspace / "plugins");
  }
  if (!error) candidates.push_back(executable.string() + ".runfiles/" + kWorkspace + "/plugins");
  const std::string own = FirstDirectory(candidates);
  if (!own.empty()) path.push_back(own);
  const std::string variable = Environment("WEIR_PLUGIN_PATH");
  for (absl::string_view directory : absl::StrSplit(variable, ':', absl::SkipEmpty())) {
    path.emplace_back(directory);
  }
  return path;
}

absl::StatusOr<Registry> LoadRegistry(const std::vector<std::string>& directories,
                                      const std::vector<std::string>& files) {
  std::vector<std::string> path = DefaultPluginPath();
  path.insert(path.end(), directories.begin(), directories.end());
  Registry registry;
  for (const std::string& directory : path) {
    absl::Status status = registry.AddDirectory(directory);
    if (!status.ok()) return status;
  }
  for (const std::string& file : files) {
    absl::Status status = registry.AddFile(file);
    if (!status.ok()) return status;
  }
  return registry;
}

}  // namespace weir::runtime
