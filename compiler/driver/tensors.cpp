#include "compiler/driver/tensors.h"

#include <cmath>
#include <cstring>
#include <limits>

#include "absl/strings/str_cat.h"

#include "compiler/dialect/sizes.h"
#include "compiler/entry_points/arguments.h"

namespace weir {

using runtime::ElementType;
using runtime::HostTensor;
using runtime::TensorSpec;

namespace {

bool isFloat(ElementType type) {
  return type == ElementType::kF64 || type == ElementType::kF32 || type == ElementType::kBF16;
}

uint16_t toBf16(double value) {
  float single = static_cast<float>(value);
  uint32_t bits;
  std::memcpy(&bits, &single, sizeof bits);
  if (std::isnan(single)) return 0x7fc0;
  return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

/// The whole numbers that an integer type has.
bool fits(ElementType type, double value) {
  switch (type) {
    case ElementType::kI32:
      return value >= std::numeric_limits<int32_t>::min() &&
             value <= std::numeric_limits<int32_t>::max();
    case ElementType::kU8:
      return value >= 0 && value <= 255;
    case ElementType::kBool:
      return value == 0 || value == 1;
    default:
      return std::abs(value) <= 9007199254740992.0;  // 2^53: beyond it doubles skip numbers
  }
}

absl::Status inFile(const absl::Status& status, const std::string& path) {
  return absl::Status(status.code(), absl::StrCat(path, ": ", status.message()));
}

}  // namespace

void setNumber(HostTensor& tensor, int64_t i, double value) {
  switch (tensor.spec().type) {
    case ElementType::kF64:
      tensor.As<double>()[i] = value;
      break;
    case ElementType::kF32:
      tensor.As<float>()[i] = static_cast<float>(value);
      break;
    case ElementType::kBF16:
      tensor.As<uint16_t>()[i] = toBf16(value);
      break;
    case ElementType::kI64:
      tensor.As<int64_t>()[i] = static_cast<int64_t>(value);
      break;
    case ElementType::kI32:
      tensor.As<int32_t>()[i] = static_cast<int32_t>(value);
      break;
    case ElementType::kU8:
    case ElementType::kBool:
      tensor.As<uint8_t>()[i] = static_cast<uint8_t>(value);
      break;
  }
}

HostTensor filledTensor(const TensorSpec& spec, double value) {
  HostTensor tensor(spec);
  for (int64_t i = 0; i < spec.NumElements(); ++i) setNumber(tensor, i, value);
  return tensor;
}

absl::StatusOr<HostTensor> convertTensor(const HostTensor& value, const TensorSpec& spec) {
  if (runtime::SameLayout(value.spec(), spec)) return renamed(value, spec.name);
  bool sameKind = isFloat(value.spec().type) == isFloat(spec.type);
  if (value.spec().shape != spec.shape || !sameKind)
    return absl::InvalidArgumentError(
        absl::StrCat("tensor ", value.spec().ToString(), " doesn't fit ", spec.ToString()));
  HostTensor converted(spec);
  for (int64_t i = 0; i < spec.NumElements(); ++i) {
    double number = value.Number(i);
    if (!isFloat(spec.type) && !fits(spec.type, number))
      return absl::InvalidArgumentError(absl::StrCat("tensor ", value.spec().ToString(), " holds ",
                                                     number, ", which ", spec.ToString(),
                                                     " can't"));
    setNumber(converted, i, number);
  }
  return converted;
}

absl::StatusOr<double> initialStateValue(mlir::func::FuncOp model, const std::string& state) {
  for (unsigned i = 0; i < model.getNumArguments(); ++i) {
    if (stringAttr(model.getArgAttr(i, kStateAttr)) != state) continue;
    std::string error;
    auto init = Initializer::parse(stringAttr(model.getArgAttr(i, kInitAttr), "zeros"), error);
    if (mlir::failed(init)) return absl::InvalidArgumentError(error);
    if (init->kind == "zeros") return 0.0;
    if (init->kind == "ones") return 1.0;
    if (init->kind == "constant" && init->value) return *init->value;
    return absl::InvalidArgumentError(
        absl::StrCat("state '", state, "' starts as ", init->str(), ": give it in --inputs"));
  }
  return absl::NotFoundError(absl::StrCat("the model has no state '", state, "'"));
}

absl::Status loadParameters(runtime::Session& session, const std::string& path) {
  absl::StatusOr<runtime::SafetensorsFile> file = runtime::SafetensorsFile::Open(path);
  if (!file.ok()) return file.status();
  for (const runtime::Variable& variable : session.program().variables) {
    if (variable.role != runtime::Role::kParameter) continue;
    absl::StatusOr<HostTensor> value = file->Read(variable.spec.name);
    if (!value.ok()) return value.status();
    absl::StatusOr<HostTensor> converted = convertTensor(*value, variable.spec);
    if (!converted.ok()) return inFile(converted.status(), path);
    if (absl::Status status = session.WriteVariable(variable.spec.name, *converted); !status.ok())
      return inFile(status, path);
  }
  return absl::OkStatus();
}

HostTensor renamed(const HostTensor& tensor, const std::string& name) {
  TensorSpec spec = tensor.spec();
  spec.name = name;
  HostTensor copy(spec);
  std::memcpy(copy.bytes().data(), tensor.bytes().data(), tensor.bytes().size());
  return copy;
}

}  // namespace weir
