#ifndef WEIR_RUNTIME_DEVICE_CPU_SHARED_OBJECT_H_
#define WEIR_RUNTIME_DEVICE_CPU_SHARED_OBJECT_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace weir::runtime {

// An ELF shared object opened from memory, closed with the object.
class SharedObject {
 public:
  // The object must be whole: the dynamic loader maps it without checking sizes.
  static absl::StatusOr<std::unique_ptr<SharedObject>> Open(absl::string_view elf);
  ~SharedObject();
  SharedObject(const SharedObject&) = delete;
  SharedObject& operator=(const SharedObject&) = delete;

  // Null if there is none of that name.
  void* Symbol(const std::string& name) const;

 private:
  SharedObject(int fd, std::string path, void* handle)
      : fd_(fd), path_(std::move(path)), handle_(handle) {}

  int fd_;
  std::string path_;
  void* handle_;
};

}  // namespace weir::runtime

#endif  // WEIR_RUNTIME_DEVICE_CPU_SHARED_OBJECT_H_
