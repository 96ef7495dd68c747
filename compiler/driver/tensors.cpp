#include "compiler/driver/tensors.h"

#include <cmath>
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

HostTensor filledTensor(const TensorSpec& spec, double value) {
  HostTensor tensor(spec);
  for (int64_t i = 0; i < spec.NumElements(); ++i) tensor.SetNumber(i, value);
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
    converted.SetNumber(i, number);
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
