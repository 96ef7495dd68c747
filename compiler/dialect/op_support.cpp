#include "compiler/dialect/op_support.h"

#include <cmath>

#include "compiler/dialect/linalg_builder.h"
#include "compiler/dialect/sizes.h"
#include "mlir/IR/TypeUtilities.h"

namespace weir {
using namespace mlir;

RankedTensorType withFeatures(Type type, int64_t features, Type element) {
  auto tensor = cast<RankedTensorType>(type);
  SmallVector<int64_t> shape(tensor.getShape());
  shape.back() = features;
  return RankedTensorType::get(shape, element ? element : tensor.getElementType());
}

int64_t featuresOf(Type type) { return cast<RankedTensorType>(type).getShape().back(); }

std::string linearInit(int64_t fanIn) {
  return "uniform(" + formatNumber(1 / std::sqrt(static_cast<double>(fanIn))) + ")";
}

std::string weightInit(std::optional<StringRef> init, StringRef fallback, int64_t fanIn) {
  StringRef chosen = init.value_or(fallback);
  return chosen == "linear" ? linearInit(fanIn) : chosen.str();
}

LogicalResult requireStatic(Operation* op, int64_t size, StringRef what) {
  if (!ShapedType::isDynamic(size)) return success();
  return op->emitOpError() << "cannot size its parameters: the " << what << " is not known";
}

Cost streamingCost(Operation* op, double flopsPerResult) {
  Cost cost;
  for (Type type : op->getOperandTypes()) cost.bytes += byteCount(type);
  for (Type type : op->getResultTypes()) cost.bytes += byteCount(type);
  if (op->getNumResults())
    cost.flops = elementCount(op->getResult(0).getType()) * Polynomial(flopsPerResult);
  return cost;
}

LogicalResult requireDecomposable(Operation* op, bool bound) {
  if (!bound) return op->emitOpError() << "has no parameters or sizes yet: run weir-expand first";
  if (!hasStaticShapes(op))
    return op->emitOpError() << "has no static shape yet: run weir-specialize first";
  return success();
}

bool compatible(TypeRange inferred, TypeRange actual) {
  if (failed(verifyCompatibleShapes(inferred, actual))) return false;
  for (auto [a, b] : llvm::zip(inferred, actual))
    if (getElementTypeOrSelf(a) != getElementTypeOrSelf(b)) return false;
  return true;
}

}  // namespace weir
