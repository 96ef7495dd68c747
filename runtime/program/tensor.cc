#include "runtime/program/tensor.h"

#include <cstring>

namespace weir::runtime {

double HostTensor::Number(int64_t i) const {
  switch (spec_.type) {
    case ElementType::kF64:
      return As<double>()[i];
    case ElementType::kF32:
      return As<float>()[i];
    case ElementType::kBF16: {
      uint32_t bits = static_cast<uint32_t>(As<uint16_t>()[i]) << 16;
      float value;
      std::memcpy(&value, &bits, sizeof(value));
      return value;
    }
    case ElementType::kI64:
      return static_cast<double>(As<int64_t>()[i]);
    case ElementType::kI32:
      return As<int32_t>()[i];
    case ElementType::kU8:
    case ElementType::kBool:
      return As<uint8_t>()[i];
  }
  return 0;
}

}  // namespace weir::runtime
