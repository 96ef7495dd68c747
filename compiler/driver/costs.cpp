#include "compiler/driver/costs.h"

#include <algorithm>
#include <map>

#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/Interfaces/ViewLikeInterface.h"

#include "compiler/dialect/sequence_interfaces.h"

namespace weir {

using namespace mlir;

namespace {

/// Ops whose result is their operand's memory under another shape.
bool isRenaming(Operation* op) {
  return isa<tensor::CastOp, tensor::ExpandShapeOp, tensor::CollapseShapeOp, tensor::ExtractSliceOp,
             tensor::EmptyOp, tensor::DimOp>(op) ||
         op->hasTrait<OpTrait::ConstantLike>();
}

int degreeOf(const Cost& cost) {
  return std::max(
      {cost.flops.degreeInLength(), cost.bytes.degreeInLength(), cost.stateBytes.degreeInLength()});
}

bool isFree(const Cost& cost) {
  return cost.flops.isZero() && cost.bytes.isZero() && cost.stateBytes.isZero();
}

}  // namespace

Cost costOf(Operation* op) {
  if (auto known = dyn_cast<CostOpInterface>(op)) return known.cost();
  Cost cost;
  if (isRenaming(op) || op->hasTrait<OpTrait::IsTerminator>()) return cost;
  for (Value operand : op->getOperands()) {
    if (isa<RankedTensorType>(operand.getType()) && !matchPattern(operand, m_Constant()))
      cost.bytes += byteCount(operand.getType());
  }
  for (Type type : op->getResultTypes()) {
    if (!isa<RankedTensorType>(type)) continue;
    cost.bytes += byteCount(type);
    // Ops on shapes move numbers and make none.
    if (!isa_and_present<tensor::TensorDialect>(op->getDialect())) cost.flops += elementCount(type);
  }
  return cost;
}

std::vector<KindCost> costsByKind(func::FuncOp function) {
  std::vector<KindCost> kinds;
  std::map<std::string, size_t> places;
  for (Operation& op : function.getBody().front()) {
    Cost cost = costOf(&op);
    if (isFree(cost)) continue;
    std::string name = op.getName().getStringRef().str();
    auto [place, isNew] = places.try_emplace(name, kinds.size());
    if (isNew) kinds.push_back({name, 0, {}, 0});
    KindCost& kind = kinds[place->second];
    ++kind.count;
    kind.cost.flops += cost.flops;
    kind.cost.bytes += cost.bytes;
    kind.cost.stateBytes += cost.stateBytes;
    kind.cost.products += cost.products;
    kind.degree = std::max(kind.degree, degreeOf(cost));
  }
  return kinds;
}

Cost totalCost(const std::vector<KindCost>& kinds) {
  Cost total;
  for (const KindCost& kind : kinds) {
    total.flops += kind.cost.flops;
    total.bytes += kind.cost.bytes;
    total.stateBytes += kind.cost.stateBytes;
    total.products += kind.cost.products;
  }
  return total;
}

LogicalResult checkLinear(func::FuncOp function) {
  if (!function->hasAttr("weir.linear")) return success();
  for (Operation& op : function.getBody().front()) {
    Cost cost = costOf(&op);
    int degree = degreeOf(cost);
    if (degree <= 1) continue;
    bool isWork = cost.flops.degreeInLength() > 1;
    InFlightDiagnostic error = op.emitOpError();
    error << (isWork ? "takes " : "moves ") << (isWork ? cost.flops : cost.bytes).str()
          << (isWork ? " operations" : " bytes")
          << " (B: batch, T: length), which isn't linear in the length";
    error.attachNote(function.getLoc()) << "model '@" << function.getSymName()
                                        << "' is marked linear: leave the mark out, or the op";
    return failure();
  }
  return success();
}

}  // namespace weir
