#include "compiler/transforms/plan_specs.h"

#include <cstring>

#include "llvm/ADT/StringSwitch.h"
#include "mlir/IR/DialectResourceBlobManager.h"

#include "compiler/transforms/op_kinds.h"

namespace weir {

using namespace mlir;
using runtime::ElementType;
using runtime::Role;

std::optional<ElementType> elementType(Type type) {
  if (type.isF64()) return ElementType::kF64;
  if (type.isF32()) return ElementType::kF32;
  if (type.isBF16()) return ElementType::kBF16;
  if (type.isInteger(64) || isa<IndexType>(type)) return ElementType::kI64;
  if (type.isInteger(32)) return ElementType::kI32;
  if (type.isInteger(8)) return ElementType::kU8;
  if (type.isInteger(1)) return ElementType::kBool;
  return std::nullopt;
}

FailureOr<runtime::TensorSpec> tensorSpec(func::FuncOp entry, StringAttr name, Type type) {
  auto tensor = dyn_cast<RankedTensorType>(type);
  std::optional<ElementType> element = tensor ? elementType(tensor.getElementType()) : std::nullopt;
  if (!element || !tensor.hasStaticShape()) {
    return entry.emitError()
           << "'" << name.getValue() << "' has the type " << type
           << ", but programs hold static tensors of f64, f32, bf16, i64, i32, i8 or i1";
  }
  return runtime::TensorSpec{
      name.str(), *element,
      std::vector<int64_t>(tensor.getShape().begin(), tensor.getShape().end())};
}

static Role roleFromName(StringRef name) {
  if (name == "rng") return Role::kCounter;
  if (name.starts_with("state.")) return Role::kState;
  if (name.starts_with(runtime::kPreparedVariables)) return Role::kPrepared;
  return name.starts_with("optimizer.") ? Role::kOptimizer : Role::kParameter;
}

FailureOr<int64_t> variableNumber(func::FuncOp entry, StringAttr name, StringAttr role, Type type,
                                  PlanShared& shared) {
  FailureOr<runtime::TensorSpec> spec = tensorSpec(entry, name, type);
  if (failed(spec)) return failure();
  auto known = shared.variableNumbers.find(name);
  if (known != shared.variableNumbers.end()) {
    const runtime::TensorSpec& other = shared.variables[known->second].spec;
    if (!SameLayout(*spec, other)) {
      return entry.emitError() << "the variable " << spec->ToString() << " is " << other.ToString()
                               << " elsewhere";
    }
  } else {
    known = shared.variableNumbers.try_emplace(name, shared.variables.size()).first;
    shared.variables.push_back({*spec, roleFromName(name)});
  }
  if (role) {
    auto value = llvm::StringSwitch<std::optional<Role>>(role.getValue())
                     .Case("parameter", Role::kParameter)
                     .Case("optimizer", Role::kOptimizer)
                     .Case("state", Role::kState)
                     .Case("counter", Role::kCounter)
                     .Case("prepared", Role::kPrepared)
                     .Case("other", Role::kOther)
                     .Default(std::nullopt);
    if (!value)
      return entry.emitError() << "variable '" << name.getValue() << "' has the unknown role "
                               << role;
    shared.variables[known->second].role = *value;
  }
  return known->second;
}

static void appendScalar(std::string& bytes, const llvm::APInt& value, int64_t size) {
  uint64_t bits =
      value.getBitWidth() == 1 ? value.getZExtValue() : value.zextOrTrunc(64).getZExtValue();
  bytes.append(reinterpret_cast<const char*>(&bits),
               size);  // little-endian, as every target of ours
}

FailureOr<std::string> constantBytes(arith::ConstantOp constant) {
  std::string bytes;
  auto append = [&](Attribute attribute, int64_t size) {
    if (auto integer = dyn_cast<IntegerAttr>(attribute)) {
      llvm::APInt value = integer.getValue();
      appendScalar(bytes, value.getBitWidth() > 1 ? value.sextOrTrunc(64) : value, size);
      return true;
    }
    if (auto number = dyn_cast<FloatAttr>(attribute)) {
      appendScalar(bytes, number.getValue().bitcastToAPInt(), size);
      return true;
    }
    return false;
  };
  auto tensor = dyn_cast<RankedTensorType>(constant.getType());
  if (!tensor) {
    if (append(constant.getValue(), byteSize(constant.getType()))) return bytes;
  } else if (auto dense = dyn_cast<DenseElementsAttr>(constant.getValue())) {
    int64_t size = byteSize(RankedTensorType::get({}, tensor.getElementType()));
    bytes.reserve(size * tensor.getNumElements());
    bool good = true;
    for (Attribute element : dense.getValues<Attribute>()) good = good && append(element, size);
    if (good) return bytes;
  } else if (auto resource = dyn_cast<DenseResourceElementsAttr>(constant.getValue())) {
    ArrayRef<char> data = resource.getRawHandle().getBlob() ? resource.getData() : ArrayRef<char>();
    if (static_cast<int64_t>(data.size()) == byteSize(tensor))
      return std::string(data.begin(), data.end());
  }
  return constant.emitOpError() << "is no constant that a program can hold";
}

}  // namespace weir
