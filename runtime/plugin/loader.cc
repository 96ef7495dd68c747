#include "runtime/plugin/loader.h"

#include <dlfcn.h>
#include <elf.h>

#include <algorithm>
#include <climits>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "runtime/base/file.h"
#include "runtime/plugin/layer_text.h"

namespace weir::runtime {
namespace {

#if defined(__x86_64__)
constexpr int kMachine = EM_X86_64;
#elif defined(__aarch64__)
constexpr int kMachine = EM_AARCH64;
#else
#error "Unknown machine: add its ELF number."
#endif

// The size up to and including the last field of version 1: what every struct must have.
#define WEIR_MINIMUM_SIZE(Type, last_field) \
  (offsetof(Type, last_field) + sizeof(static_cast<Type*>(nullptr)->last_field))
constexpr size_t kPluginSize = WEIR_MINIMUM_SIZE(WeirPlugin, task_count);
constexpr size_t kLayerSize = WEIR_MINIMUM_SIZE(WeirLayer, doc);
constexpr size_t kKernelSize = WEIR_MINIMUM_SIZE(WeirKernel, step_name);
constexpr size_t kTaskSize = WEIR_MINIMUM_SIZE(WeirTask, destroy);
#undef WEIR_MINIMUM_SIZE

// More than this in one plugin is a count that was never set.
constexpr size_t kMaxCount = 1 << 16;

absl::Status Refuse(const std::string& file, absl::string_view reason) {
  return absl::InvalidArgumentError(absl::StrCat(file, ": ", reason));
}

// Copies a struct that may be longer or shorter than ours; fields it lacks are zero.
template <typename T>
absl::Status CopySized(const std::string& file, const T* source, size_t minimum,
                       absl::string_view what, T* copy) {
  if (source == nullptr) return Refuse(file, absl::StrCat(what, " is a null pointer"));
  size_t size;
  std::memcpy(&size, source, sizeof(size));
  if (size < minimum) {
    return Refuse(file, absl::StrCat(what, " has struct_size ", size, ", but ", minimum,
                                     " bytes are needed: set it to sizeof the struct"));
  }
  *copy = T();
  std::memcpy(copy, source, std::min(size, sizeof(T)));
  return absl::OkStatus();
}

std::string Text(const char* text) { return text == nullptr ? "" : text; }

// The checks on names are the same for layers, kernels and tasks.
class NameChecker {
 public:
  NameChecker(const std::string& file, absl::string_view kind) : file_(file), kind_(kind) {}

  absl::Status Add(const char* name, size_t index) {
    if (name == nullptr) {
      return Refuse(file_, absl::StrCat("the name of ", kind_, " ", index, " is null"));
    }
    if (!IsValidName(name)) {
      return Refuse(file_, absl::StrCat(kind_, " ", index, " has the name '", name,
                                        "'; a name is made of letters, digits, '_', '$', '.', '-'"
                                        " and begins with a letter, '_' or '$'"));
    }
    if (!names_.insert(name).second) {
      return Refuse(file_, absl::StrCat("defines the ", kind_, " '", name, "' twice"));
    }
    return absl::OkStatus();
  }

 private:
  const std::string& file_;
  absl::string_view kind_;
  std::set<std::string> names_;
};

absl::Status CheckCount(const std::string& file, absl::string_view kind, const void* array,
                        size_t count) {
  if (count > kMaxCount) {
    return Refuse(file, absl::StrCat("claims to hold ", count, " ", kind, "s"));
  }
  if (count > 0 && array == nullptr) {
    return Refuse(file, absl::StrCat("holds ", count, " ", kind, "s, but their array is null"));
  }
  return absl::OkStatus();
}

// Reads an array of a plugin: copies each item, checks its name, and hands it to `read`.
template <typename T, typename Read>
absl::Status ReadItems(const std::string& file, absl::string_view kind, const T* const* items,
                       size_t count, size_t minimum, Read read) {
  absl::Status status = CheckCount(file, kind, items, count);
  NameChecker names(file, kind);
  for (size_t i = 0; status.ok() && i < count; ++i) {
    T item;
    status = CopySized(file, items[i], minimum, absl::StrCat(kind, " ", i), &item);
    if (status.ok()) status = names.Add(item.name, i);
    if (status.ok()) status = read(item);
  }
  return status;
}

absl::Status ReadLayer(const WeirLayer& layer, LoadedPlugin& result) {
  const std::string& file = result.file;
  const std::string what = absl::StrCat("layer '", layer.name, "': ");
  if (layer.ir == nullptr) return Refuse(file, absl::StrCat(what, "its IR text is null"));
  absl::StatusOr<std::vector<LayerText>> found = FindLayers(layer.ir);
  if (!found.ok()) return Refuse(file, absl::StrCat(what, found.status().message()));
  if (found->size() != 1 || found->front().name != layer.name) {
    std::string defined;
    for (const LayerText& text : *found) absl::StrAppend(&defined, " @", text.name);
    return Refuse(file,
                  absl::StrCat(what, "its IR text must define weir.layer @", layer.name,
                               " and no other; it defines", defined.empty() ? " none" : defined));
  }
  std::string doc = layer.doc == nullptr ? found->front().doc : layer.doc;
  result.layers.push_back({layer.name, layer.ir, std::move(doc)});
  return absl::OkStatus();
}

absl::Status ReadKernel(const WeirKernel& kernel, LoadedPlugin& result) {
  if (kernel.function == nullptr) {
    return Refuse(result.file, absl::StrCat("kernel '", kernel.name, "': its function is null"));
  }
  result.kernels.push_back(
      {kernel.name, kernel.function, Text(kernel.vjp_name), Text(kernel.step_name)});
  return absl::OkStatus();
}

// Gradients and steps may be named before the kernels that they are.
absl::Status CheckKernelReferences(const LoadedPlugin& plugin) {
  std::set<absl::string_view> names;
  for (const PluginKernel& kernel : plugin.kernels) names.insert(kernel.name);
  for (const PluginKernel& kernel : plugin.kernels) {
    for (const std::string* other : {&kernel.vjp_name, &kernel.step_name}) {
      if (other->empty() || names.count(*other) > 0) continue;
      return Refuse(plugin.file,
                    absl::StrCat("kernel '", kernel.name, "' names '", *other, "' as its ",
                                 other == &kernel.vjp_name ? "gradient" : "step",
                                 ", but the plugin has no such kernel"));
    }
  }
  return absl::OkStatus();
}

absl::Status ReadTask(const WeirTask& task, LoadedPlugin& result) {
  const char* missing = task.create == nullptr       ? "create"
                        : task.vocabulary == nullptr ? "vocabulary"
                        : task.length == nullptr     ? "length"
                        : task.fill == nullptr       ? "fill"
                                                     : nullptr;
  if (missing != nullptr) {
    return Refuse(result.file,
                  absl::StrCat("task '", task.name, "': its function '", missing, "' is null"));
  }
  result.tasks.push_back({task.name, Text(task.doc), Text(task.options), task});
  return absl::OkStatus();
}

absl::Status ReadContents(const WeirPlugin& plugin, LoadedPlugin& result) {
  const std::string& file = result.file;
  absl::Status status = ReadItems(file, "layer", plugin.layers, plugin.layer_count, kLayerSize,
                                  [&](const WeirLayer& layer) { return ReadLayer(layer, result); });
  if (!status.ok()) return status;
  status = ReadItems(file, "kernel", plugin.kernels, plugin.kernel_count, kKernelSize,
                     [&](const WeirKernel& kernel) { return ReadKernel(kernel, result); });
  if (!status.ok()) return status;
  status = CheckKernelReferences(result);
  if (!status.ok()) return status;
  return ReadItems(file, "task", plugin.tasks, plugin.task_count, kTaskSize,
                   [&](const WeirTask& task) { return ReadTask(task, result); });
}

}  // namespace

absl::Status CheckSharedObject(const std::string& file) {
  absl::StatusOr<std::unique_ptr<MappedFile>> mapped = MappedFile::Open(file);
  if (!mapped.ok()) return mapped.status();
  return CheckSharedObjectBytes((*mapped)->bytes(), file);
}

absl::Status CheckSharedObjectBytes(absl::string_view bytes, const std::string& file) {
  Elf64_Ehdr header;
  if (bytes.size() < SELFMAG || std::memcmp(bytes.data(), ELFMAG, SELFMAG) != 0) {
    return Refuse(file, "is not a shared library (no ELF header)");
  }
  if (bytes.size() < sizeof(header)) return Refuse(file, "is truncated (inside its ELF header)");
  std::memcpy(&header, bytes.data(), sizeof(header));
  if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB ||
      header.e_machine != kMachine) {
    return Refuse(file, "was built for another machine");
  }
  if (header.e_type != ET_DYN) {
    return Refuse(file, "is an ELF file, but not a shared library: link it with -shared");
  }
  const uint64_t size = bytes.size();
  const auto inside = [size](uint64_t offset, uint64_t length) {
    return offset <= size && length <= size - offset;
  };
  const uint64_t program_headers = uint64_t{header.e_phnum} * sizeof(Elf64_Phdr);
  if (header.e_phentsize != sizeof(Elf64_Phdr) || !inside(header.e_phoff, program_headers) ||
      !inside(header.e_shoff, uint64_t{header.e_shnum} * header.e_shentsize)) {
    return Refuse(file, "is truncated or damaged: its ELF headers point outside the file");
  }
  for (int i = 0; i < header.e_phnum; ++i) {
    Elf64_Phdr segment;
    std::memcpy(&segment, bytes.data() + header.e_phoff + i * sizeof(segment), sizeof(segment));
    if (!inside(segment.p_offset, segment.p_filesz)) {
      return Refuse(file, "is truncated or damaged: a segment lies outside the file");
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<LoadedPlugin> LoadPlugin(const std::string& file) {
  absl::Status status = CheckSharedObject(file);
  if (!status.ok()) return status;
  // dlopen looks a name without a slash up on the system's path.
  std::unique_ptr<char, decltype(&std::free)> path(realpath(file.c_str(), nullptr), &std::free);
  void* library = dlopen(path == nullptr ? file.c_str() : path.get(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* reason = dlerror();
    return Refuse(file, absl::StrCat("the dynamic loader says: ", Text(reason)));
  }
  // From here on the library stays, also when it is refused: its destructors may not expect
  // otherwise.
  void* symbol = dlsym(library, WEIR_PLUGIN_QUERY_SYMBOL);
  if (symbol == nullptr) {
    return Refuse(file, "doesn't export " WEIR_PLUGIN_QUERY_SYMBOL
                        " (see weir_plugin.h): is it a Weir plugin?");
  }
  const auto query = reinterpret_cast<WeirPluginQueryFunction>(symbol);
  const WeirPlugin* plugin = query(WEIR_PLUGIN_VERSION);
  if (plugin == nullptr) {
    return Refuse(file, absl::StrCat("needs a newer Weir: this one knows plugins up to version ",
                                     WEIR_PLUGIN_VERSION));
  }
  return ReadPlugin(plugin, file);
}

absl::StatusOr<LoadedPlugin> ReadPlugin(const WeirPlugin* plugin, const std::string& file) {
  if (plugin == nullptr) return Refuse(file, "the plugin is a null pointer");
  // Size and version come first in every version; nothing else is read before they are right.
  size_t size;
  std::memcpy(&size, plugin, sizeof(size));
  if (size < offsetof(WeirPlugin, version) + sizeof(plugin->version)) {
    return Refuse(file, absl::StrCat("its WeirPlugin has struct_size ", size,
                                     ", too small to hold a version"));
  }
  const uint32_t version = plugin->version;
  if (version > WEIR_PLUGIN_VERSION) {
    return Refuse(file, absl::StrCat("is of plugin version ", version,
                                     ", newer than this Weir, which knows versions ",
                                     WEIR_PLUGIN_VERSION_MIN, " to ", WEIR_PLUGIN_VERSION));
  }
  if (version < WEIR_PLUGIN_VERSION_MIN) {
    return Refuse(file, absl::StrCat("is of plugin version ", version,
                                     ", too old for this Weir, which knows versions ",
                                     WEIR_PLUGIN_VERSION_MIN, " to ", WEIR_PLUGIN_VERSION));
  }
  WeirPlugin copy;
  absl::Status status = CopySized(file, plugin, kPluginSize, "its WeirPlugin", &copy);
  if (!status.ok()) return status;
  if (copy.name == nullptr) return Refuse(file, "the plugin's name is null");
  if (!IsValidName(copy.name)) {
    return Refuse(file, absl::StrCat("the plugin's name '", copy.name, "' is not a valid name"));
  }
  LoadedPlugin result;
  result.file = file;
  result.name = copy.name;
  result.version_text = Text(copy.version_text);
  result.description = Text(copy.description);
  status = ReadContents(copy, result);
  if (!status.ok()) return status;
  return result;
}

}  // namespace weir::runtime
