#include "runtime/program/tensor.h"

#include <cmath>
#include <cstring>

namespace weir::runtime {
namespace {

// To the nearest, ties to even; NaN stays NaN.
uint16_t ToBf16(double value) {
  float single = static_cast<float>(value);
  if (std::isnan(single)) return 0x7fc0;
  uint32_t bits;
  std::memcpy(&bits, &single, sizeof(bits));
  return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

}  // namespace

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

void HostTensor::SetNumber(int64_t i, double value) {
  switch (spec_.type) {
    case ElementType::kF64:
      As<double>()[i] = value;
      break;
    case ElementType::kF32:
      As<float>()[i] = static_cast<float>(value);
      break;
    case ElementType::kBF16:
      As<uint16_t>()[i] = ToBf16(value);
      break;
    case ElementType::kI64:
      As<int64_t>()[i] = static_cast<int64_t>(value);
      break;
    case ElementType::kI32:
      As<int32_t>()[i] = static_cast<int32_t>(value);
      break;
    case ElementType::kU8:
    case ElementType::kBool:
      As<uint8_t>()[i] = static_cast<uint8_t>(value);
      break;
  }
}

}  // namespace weir::runtime
