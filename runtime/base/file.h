// Files: read whole, mapped, and written whole or not at all.
#ifndef WEIR_RUNTIME_BASE_FILE_H_
#define WEIR_RUNTIME_BASE_FILE_H_

#include <cstddef>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace weir::runtime {

// The status of errno value `error` for `path`: "cannot open 'x': No such file or directory".
absl::Status FileError(int error, absl::string_view action, const std::string& path);

absl::StatusOr<std::string> ReadFile(const std::string& path);

bool FileExists(const std::string& path);

// Creates a directory and its parents; fine if it is there.
absl::Status MakeDirectories(const std::string& path);

// Writes the pieces to a temporary file next to `path`, syncs it, and renames it: readers see the
// old file or the new one, whole, whenever the process dies.
absl::Status WriteFileAtomically(const std::string& path,
                                 absl::Span<const absl::string_view> pieces);

// A file mapped for reading.
class MappedFile {
 public:
  static absl::StatusOr<std::unique_ptr<MappedFile>> Open(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  absl::string_view bytes() const { return bytes_; }

 private:
  explicit MappedFile(absl::string_view bytes) : bytes_(bytes) {}
  absl::string_view bytes_;
};

}  // namespace weir::runtime

#endif  // WEIR_RUNTIME_BASE_FILE_H_
