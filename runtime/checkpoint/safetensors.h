// Safetensors files (https://huggingface.co/docs/safetensors): named dense tensors behind a JSON
// header.
//
//   absl::StatusOr<SafetensorsFile> file = SafetensorsFile::Open("model.safetensors");
//   const SafetensorsEntry* weight = file->Find("layer.0.weight");
//
// A file is:  u64 header bytes | JSON {name: {"dtype", "shape", "data_offsets": [begin, end]},
// "__metadata__": {k: text}} | data. Nothing of a file is trusted: a truncated or corrupt one is an
// error that names the file and the tensor. As in the reference implementation the tensors must
// cover the data without holes or overlaps.
#ifndef WEIR_RUNTIME_CHECKPOINT_SAFETENSORS_H_
#define WEIR_RUNTIME_CHECKPOINT_SAFETENSORS_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "runtime/base/file.h"
#include "runtime/program/program.h"
#include "runtime/program/tensor.h"

namespace weir::runtime {

// A tensor of a file: `data` are its bytes, little-endian, row-major, and not aligned.
struct SafetensorsEntry {
  TensorSpec spec;
  absl::string_view data;
};

struct Safetensors {
  std::vector<SafetensorsEntry> entries;  // in the order of the data
  std::map<std::string, std::string> metadata;

  // Null if there is none of that name.
  const SafetensorsEntry* Find(absl::string_view name) const;
};

// Reads `bytes`, into which the result points. Messages begin with `origin`. Types that Weir lacks
// (F16, F8, ...) are Unimplemented; what the format forbids is InvalidArgument.
absl::StatusOr<Safetensors> ParseSafetensors(absl::string_view bytes, absl::string_view origin);

// A file, mapped.
class SafetensorsFile {
 public:
  static absl::StatusOr<SafetensorsFile> Open(const std::string& path);

  const std::vector<SafetensorsEntry>& entries() const { return contents_.entries; }
  const std::map<std::string, std::string>& metadata() const { return contents_.metadata; }
  const SafetensorsEntry* Find(absl::string_view name) const { return contents_.Find(name); }

  // A copy of a tensor. NotFound names the file.
  absl::StatusOr<HostTensor> Read(absl::string_view name) const;

 private:
  SafetensorsFile(std::string path, std::unique_ptr<MappedFile> file, Safetensors contents)
      : path_(std::move(path)), file_(std::move(file)), contents_(std::move(contents)) {}

  std::string path_;
  std::unique_ptr<MappedFile> file_;
  Safetensors contents_;
};

// Writes the tensors, in their order, under the names of their specs; whole or not at all. Names
// must be unique.
absl::Status WriteSafetensors(const std::string& path, absl::Span<const HostTensor> tensors,
                              const std::map<std::string, std::string>& metadata);

}  // namespace weir::runtime

#endif  // WEIR_RUNTIME_CHECKPOINT_SAFETENSORS_H_
