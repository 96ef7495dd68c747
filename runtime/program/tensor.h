#ifndef WEIR_RUNTIME_PROGRAM_TENSOR_H_
#define WEIR_RUNTIME_PROGRAM_TENSOR_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "runtime/program/program.h"

namespace weir::runtime {

// A dense tensor in the host's memory.
class HostTensor {
 public:
  // The scalar 0.
  HostTensor() : HostTensor(TensorSpec()) {}
  // Zeros.
  explicit HostTensor(TensorSpec spec) : spec_(std::move(spec)), bytes_(spec_.NumBytes()) {}

  const TensorSpec& spec() const { return spec_; }
  void Rename(std::string name) { spec_.name = std::move(name); }
  absl::Span<char> bytes() { return absl::MakeSpan(bytes_); }
  absl::Span<const char> bytes() const { return bytes_; }

  // The elements as T, whose size must be the element's.
  template <typename T>
  absl::Span<T> As() {
    return absl::MakeSpan(reinterpret_cast<T*>(bytes_.data()), bytes_.size() / sizeof(T));
  }
  template <typename T>
  absl::Span<const T> As() const {
    return absl::MakeConstSpan(reinterpret_cast<const T*>(bytes_.data()),
                               bytes_.size() / sizeof(T));
  }

  // Element `i` of any type as a double.
  double Number(int64_t i) const;
  // Sets element `i` of any type: bf16 rounds to the nearest, integers drop the fraction.
  void SetNumber(int64_t i, double value);

 private:
  TensorSpec spec_;
  std::vector<char> bytes_;
};

}  // namespace weir::runtime

#endif  // WEIR_RUNTIME_PROGRAM_TENSOR_H_
