#include "runtime/device/cpu/shared_object.h"

#include <dlfcn.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "runtime/base/file.h"

namespace weir::runtime {

absl::StatusOr<std::unique_ptr<SharedObject>> SharedObject::Open(absl::string_view elf) {
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
