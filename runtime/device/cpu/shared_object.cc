#include "runtime/device/cpu/shared_object.h"

#include <dlfcn.h>
#include <omp.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "runtime/base/file.h"

namespace weir::runtime {
namespace {

// Generated code needs no library by name: it calls functions of OpenMP and of libm that the
// process has. Where the runtime was itself opened with dlopen (as a module of a scripting
// language, say), those libraries are hidden from others until they are asked for like this.
void ShowLibraryOf(void* function) {
  Dl_info info;
  if (::dladdr(function, &info) == 0 || info.dli_fname == nullptr) return;
  ::dlopen(info.dli_fname, RTLD_NOW | RTLD_NOLOAD | RTLD_GLOBAL);
}

void ShowLibrariesOfKernels() {
  static const bool shown = [] {
    ShowLibraryOf(reinterpret_cast<void*>(&omp_get_max_threads));
    ShowLibraryOf(reinterpret_cast<void*>(static_cast<double (*)(double)>(&std::exp)));
    return true;
  }();
  static_cast<void>(shown);
}

}  // namespace

absl::StatusOr<std::unique_ptr<SharedObject>> SharedObject::Open(absl::string_view elf) {
  ShowLibrariesOfKernels();
  int fd = ::memfd_create("weir_kernels", MFD_CLOEXEC);
  if (fd < 0) return FileError(errno, "create", "memory file");
  absl::Cleanup close = [fd] { ::close(fd); };
  for (absl::string_view rest = elf; !rest.empty();) {
    ssize_t n = ::write(fd, rest.data(), std::min<size_t>(rest.size(), size_t{1} << 30));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return FileError(errno, "write", "memory file");
    rest.remove_prefix(n);
  }
  std::string path = absl::StrCat("/proc/self/fd/", fd);
  void* handle = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("cannot load the program's code: ", dlerror()));
  }
  std::move(close).Cancel();
  return std::unique_ptr<SharedObject>(new SharedObject(fd, std::move(path), handle));
}

SharedObject::~SharedObject() {
  ::dlclose(handle_);
  // The loader knows libraries by path. If it kept this one, the descriptor must stay open, or
  // another program's code that got the same number would be taken for it.
  void* kept = ::dlopen(path_.c_str(), RTLD_LAZY | RTLD_NOLOAD);
  if (kept == nullptr) {
    ::close(fd_);
  } else {
    ::dlclose(kept);
  }
}

void* SharedObject::Symbol(const std::string& name) const { return ::dlsym(handle_, name.c_str()); }

}  // namespace weir::runtime
