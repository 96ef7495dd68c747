#include "compiler/transforms/infer_types.h"

#include "compiler/dialect/sequence_interfaces.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/Interfaces/CastInterfaces.h"
#include "mlir/Interfaces/InferTypeOpInterface.h"

using namespace mlir;

namespace weir {

static bool isStatic(Type type) {
  auto shaped = dyn_cast<ShapedType>(type);
  return !shaped || (shaped.hasRank() && shaped.hasStaticShape());
}

LogicalResult inferResultTypes(Operation* op) {
  if (op->getNumResults() == 0) return success();
  if (auto infer = dyn_cast<InferTypeOpInterface>(op)) {
    SmallVector<Type> types;
    if (failed(infer.inferReturnTypes(op->getContext(), op->getLoc(), op->getOperands(),
                                      op->getAttrDictionary(), op->getPropertiesStorage(),
                                      op->getRegions(), types)))
      return op->emitOpError() << "can't infer its result types from operands of types "
                               << op->getOperandTypes();
    if (types.size() != op->getNumResults())
      return op->emitOpError() << "has " << op->getNumResults() << " results, but " << types.size()
                               << " follow from its operands";
    for (auto [result, type] : llvm::zip(op->getResults(), types)) result.setType(type);
    return success();
  }
  bool isElementwise = op->hasTrait<OpTrait::Elementwise>() || isa<CastOpInterface>(op);
  auto shaped = llvm::find_if(op->getOperandTypes(), llvm::IsaPred<RankedTensorType>);
  if (isElementwise && shaped != op->getOperandTypes().end()) {
    for (Value result : op->getResults())
      if (auto type = dyn_cast<RankedTensorType>(result.getType()))
        result.setType(cast<RankedTensorType>(*shaped).clone(type.getElementType()));
    return success();
  }
  if (llvm::all_of(op->getResultTypes(), isStatic)) return success();
  return op->emitOpError()
         << "can't infer its result types from its operands, and so can't be in a layer";
}

FailureOr<Operation*> cloneWithInference(
    OpBuilder& builder, Operation* op, IRMapping& mapping, Location loc,
    llvm::function_ref<LogicalResult(Operation*)> cloneInner,
    llvm::function_ref<LogicalResult(Operation*)> beforeInference) {
  auto regionArguments = dyn_cast<RegionArgumentsOpInterface>(op);
  Operation* clone = regionArguments ? op->cloneWithoutRegions(mapping) : op->clone(mapping);
  clone->setLoc(loc);
  builder.insert(clone);
  if (regionArguments) {
    for (auto [index, region] : llvm::enumerate(op->getRegions())) {
      if (region.empty()) continue;
      if (!region.hasOneBlock()) {
        op->emitOpError() << "has a region of several blocks";
        return failure();
      }
      SmallVector<Type> types = cast<RegionArgumentsOpInterface>(clone).regionArgumentTypes(
          index, clone->getOperandTypes());
      if (types.size() != region.getNumArguments()) {
        op->emitOpError() << "has a region with " << region.getNumArguments()
                          << " arguments, but its operands make " << types.size();
        return failure();
      }
      OpBuilder::InsertionGuard guard(builder);
      Block* block = builder.createBlock(&clone->getRegion(index));
      for (auto [argument, type] : llvm::zip(region.getArguments(), types))
        mapping.map(argument, block->addArgument(type, argument.getLoc()));
      for (Operation& inner : region.front())
        if (failed(cloneInner(&inner))) return failure();
    }
  }
  if (failed(beforeInference(clone)) || failed(inferResultTypes(clone))) return failure();
  // A cast to the type that the operand has now says nothing any more.
  if (isa<CastOpInterface>(clone) && clone->getNumOperands() == 1 &&
      clone->getOperandTypes() == clone->getResultTypes()) {
    mapping.map(op->getResult(0), clone->getOperand(0));
    clone->erase();
    return static_cast<Operation*>(nullptr);
  }
  for (auto [from, to] : llvm::zip(op->getResults(), clone->getResults())) mapping.map(from, to);
  return clone;
}

}  // namespace weir
