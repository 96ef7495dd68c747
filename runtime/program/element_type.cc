#include "runtime/program/element_type.h"

namespace weir::runtime {
namespace {

struct TypeInfo {
  absl::string_view name;
  int64_t bytes;
};

// Indexed by ElementType.
constexpr TypeInfo kTypes[kNumElementTypes] = {
    {"f64", 8}, {"f32", 4}, {"bf16", 2}, {"i64", 8}, {"i32", 4}, {"ui8", 1}, {"i1", 1},
};

}  // namespace

int64_t ElementBytes(ElementType type) { return kTypes[static_cast<int>(type)].bytes; }

absl::string_view ElementTypeName(ElementType type) { return kTypes[static_cast<int>(type)].name; }

std::optional<ElementType> ParseElementType(absl::string_view name) {
  for (int i = 0; i < kNumElementTypes; ++i) {
    if (kTypes[i].name == name) return static_cast<ElementType>(i);
  }
  return std::nullopt;
}

}  // namespace weir::runtime
