#ifndef WEIR_RUNTIME_PROGRAM_ELEMENT_TYPE_H_
#define WEIR_RUNTIME_PROGRAM_ELEMENT_TYPE_H_

#include <cstdint>
#include <optional>

#include "absl/strings/string_view.h"

namespace weir::runtime {

// The element types a program's tensors can have. The values are part of the file format.
enum class ElementType : uint8_t {
  kF64 = 0,
  kF32 = 1,
  kBF16 = 2,
  kI64 = 3,
  kI32 = 4,
  kU8 = 5,
  kBool = 6,  // one byte, 0 or 1
};
inline constexpr int kNumElementTypes = 7;

// Bytes of one element.
int64_t ElementBytes(ElementType type);

// "f32", "bf16", "i64", ... (`kBool` is "i1").
absl::string_view ElementTypeName(ElementType type);

// The inverse of ElementTypeName; nothing for a name it doesn't know.
std::optional<ElementType> ParseElementType(absl::string_view name);

}  // namespace weir::runtime

#endif  // WEIR_RUNTIME_PROGRAM_ELEMENT_TYPE_H_
