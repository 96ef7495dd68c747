// The border between forward and backward: a minimum cut, by bytes against FLOPs, in the way of
// functorch's min-cut rematerialization, with the cost of recomputing on the ops instead of a list
// of ops that are always recomputed.

#include "compiler/transforms/max_flow.h"
#include "compiler/transforms/op_kinds.h"
#include "llvm/ADT/STLExtras.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/TypeUtilities.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "mlir/Transforms/RegionUtils.h"

#include "compiler/transforms/partition_pass.h"

namespace weir {
#define GEN_PASS_DEF_PARTITION
#include "compiler/transforms/partition_pass.h.inc"
namespace {

using namespace mlir;

constexpr llvm::StringLiteral kBackward = "weir.backward";
constexpr int64_t kFlopsPerByte = 8;
constexpr int64_t kNever = MaxFlow::kInfinite;

int64_t elementsOf(Type type) {
  auto shaped = dyn_cast<ShapedType>(type);
  return shaped && shaped.hasStaticShape() ? shaped.getNumElements() : 1;
}

int64_t bytesOf(Type type) {
  Type element = getElementTypeOrSelf(type);
  int64_t bits = element.isIntOrFloat() ? element.getIntOrFloatBitWidth() : 64;
  return elementsOf(type) * std::max<int64_t>(1, bits / 8);
}

/// FLOPs of one scalar op.
int64_t flopsOf(Operation& op) {
  if (isa<arith::ConstantOp, linalg::IndexOp, linalg::YieldOp>(op)) return 0;
  if (isa<arith::DivFOp, math::SqrtOp, math::RsqrtOp>(op)) return 4;
  if (isa<arith::ArithDialect>(op.getDialect()) || isa<math::AbsFOp, math::FmaOp>(op)) return 1;
  return 16;
}

/// Whether a generic joins several operands along its sums: products, and what costs like them.
bool isProduct(linalg::GenericOp op) {
  if (op.getNumReductionLoops() == 0) return false;
  AffineMap first;
  for (OpOperand* input : op.getDpsInputOperands()) {
    AffineMap map = op.getMatchingIndexingMap(input);
    if (map.getNumResults() == 0) continue;
    if (first && map != first) return true;
    first = map;
  }
  return false;
}

/// What it costs to run the op again in backward; kNever where it must not be.
int64_t recomputeCost(Operation& op) {
  if (isa<arith::ConstantOp, tensor::EmptyOp, linalg::FillOp, tensor::ExtractSliceOp,
          tensor::ExpandShapeOp, tensor::CollapseShapeOp, tensor::CastOp>(op))
    return 0;
  if (isa<tensor::ConcatOp, tensor::InsertSliceOp>(op))
    return 2 * bytesOf(op.getResult(0).getType()) * kFlopsPerByte;
  if (auto generic = dyn_cast<linalg::GenericOp>(op)) {
    if (isProduct(generic)) return kNever;
    int64_t points = 1, flops = 0;
    for (int64_t extent : generic.getStaticLoopRanges()) {
      if (ShapedType::isDynamic(extent)) return kNever;
      points *= extent;
    }
    for (Operation& inner : *generic.getBody()) {
      if (!isMemoryEffectFree(&inner)) return kNever;
      flops += flopsOf(inner);
    }
    return points * flops;
  }
  bool elementwise =
      OpTrait::hasElementwiseMappableTraits(&op) || op.hasTrait<OpTrait::Elementwise>();
  if (elementwise && isMemoryEffectFree(&op))
    return elementsOf(op.getResult(0).getType()) * flopsOf(op);
  return kNever;
}

/// Operands of the op and what its regions read from outside.
SetVector<Value> usedBy(Operation& op) {
  SetVector<Value> used(op.operand_begin(), op.operand_end());
  getUsedValuesDefinedAbove(op.getRegions(), used);
  return used;
}

/// Whether what the op reads must lie in memory, whole: a kernel of its own, or the gradient of a
/// weight.
bool readsMemory(Operation& op) {
  if (isKernelRoot(&op)) return true;
  auto generic = dyn_cast<linalg::GenericOp>(op);
  return generic && isProduct(generic) && reducesOverRows(generic);
}

class Partitioner {
 public:
  Partitioner(func::FuncOp joint, bool recompute)
      : joint(joint), block(joint.front()), recompute(recompute) {}

  LogicalResult run();

 private:
  LogicalResult check();
  void cut();
  func::FuncOp createFunction(StringRef suffix);
  Value inBackward(Value value);
  void cloneIntoBackward(Operation* op);

  func::FuncOp joint;
  Block& block;
  bool recompute;
  DenseSet<Operation*> recomputed;        // forward ops on backward's side of the cut
  SetVector<Value> arguments, residuals;  // what backward is handed
  OpBuilder builder{joint.getContext()};
  IRMapping mapping;  // joint -> backward
  DenseMap<Value, Value> placeholders;
};

bool isBackward(Operation* op) { return op->hasAttr(kBackward); }

LogicalResult Partitioner::check() {
  for (Operation& op : block.without_terminator()) {
    if (isBackward(&op)) continue;
    for (Value value : usedBy(op)) {
      Operation* producer = value.getDefiningOp();
      auto argument = dyn_cast<BlockArgument>(value);
      bool cotangent = argument && joint.getArgAttr(argument.getArgNumber(), "weir.cotangent");
      if ((producer && isBackward(producer)) || cotangent)
        return op.emitOpError("of the forward direction reads a value of the backward one");
    }
  }
  return success();
}

void Partitioner::cut() {
  DenseMap<Operation*, int> opNodes;
  DenseMap<Value, int> valueNodes;
  int nodes = 2;
  constexpr int source = 0, sink = 1;
  for (Operation& op : block.without_terminator()) {
    if (isBackward(&op)) continue;
    opNodes[&op] = nodes++;
    for (Value result : op.getResults()) valueNodes[result] = nodes++;
  }
  // What lies in memory in any case: in forward, in backward if it is computed again.
  DenseSet<Value> storedInForward, storedInBackward;
  for (Operation& op : block.without_terminator()) {
    if (!readsMemory(op)) continue;
    SmallVector<Value> values(op.getOperands());
    while (!values.empty()) {
      Value value = values.pop_back_val();
      (isBackward(&op) ? storedInBackward : storedInForward).insert(value);
      Operation* producer = value.getDefiningOp();
      if (producer && isView(producer)) llvm::append_range(values, producer->getOperands());
    }
  }
  Operation* ret = block.getTerminator();
  DenseSet<Value> outputs;
  for (auto [i, value] : llvm::enumerate(ret->getOperands()))
    if (!joint.getResultAttr(i, "weir.gradient")) outputs.insert(value);

  MaxFlow flow(nodes);
  for (Operation& op : block.without_terminator()) {
    bool backward = isBackward(&op);
    for (Value value : usedBy(op)) {
      auto found = valueNodes.find(value);
      if (found == valueNodes.end()) continue;
      flow.addEdge(found->second, backward ? sink : opNodes.at(&op), kNever);
    }
    if (backward) continue;
    int64_t cost = recomputeCost(op);
    if (!recompute && cost > 0) cost = kNever;
    if (cost > 0 && cost != kNever)
      for (Value result : op.getResults())
        if (storedInBackward.contains(result)) cost += bytesOf(result.getType()) * kFlopsPerByte;
    flow.addEdge(source, opNodes.at(&op), cost);
    for (Value result : op.getResults()) {
      bool stored = outputs.contains(result) || storedInForward.contains(result);
      int64_t moves = stored ? 1 : 2;
      flow.addEdge(opNodes.at(&op), valueNodes.at(result),
                   moves * bytesOf(result.getType()) * kFlopsPerByte);
    }
  }
  for (auto [i, value] : llvm::enumerate(ret->getOperands()))
    if (auto found = valueNodes.find(value);
        found != valueNodes.end() && joint.getResultAttr(i, "weir.gradient"))
      flow.addEdge(found->second, sink, kNever);
  std::vector<bool> forward = flow.minCut(source, sink);
  for (auto [op, node] : opNodes)
    if (!forward[node]) recomputed.insert(op);
}

/// The value of the joint function as backward has it: handed over, or computed (again) at the
/// insertion point.
Value Partitioner::inBackward(Value value) {
  if (mapping.contains(value)) return mapping.lookup(value);
  Operation* producer = value.getDefiningOp();
  bool handed = !producer || (!isBackward(producer) && !recomputed.contains(producer));
  if (!handed) {
    cloneIntoBackward(producer);
    return mapping.lookup(value);
  }
  (producer ? residuals : arguments).insert(value);
  // Arguments of the function are created once their number is known; a cast stands in until then.
  Value placeholder =
      UnrealizedConversionCastOp::create(builder, value.getLoc(), value.getType(), ValueRange())
          .getResult(0);
  placeholders[value] = placeholder;
  mapping.map(value, placeholder);
  return placeholder;
}

/// Clones the op and, before it, whatever it needs that is recomputed. Iterative: chains are as
/// long as the model.
void Partitioner::cloneIntoBackward(Operation* op) {
  SmallVector<std::pair<Operation*, bool>> stack{{op, false}};
  while (!stack.empty()) {
    auto [current, ready] = stack.pop_back_val();
    if (current->getNumResults() && mapping.contains(current->getResult(0))) continue;
    SetVector<Value> used = usedBy(*current);
    if (!ready) {
      stack.push_back({current, true});
      for (Value value : llvm::reverse(used)) {
        Operation* producer = value.getDefiningOp();
        if (producer && recomputed.contains(producer) && !mapping.contains(value))
          stack.push_back({producer, false});
      }
      continue;
    }
    for (Value value : used) inBackward(value);
    builder.clone(*current, mapping)->removeAttr(kBackward);
  }
}

func::FuncOp Partitioner::createFunction(StringRef suffix) {
  OpBuilder outer(joint);
  auto type = outer.getFunctionType({}, {});
  auto func = func::FuncOp::create(outer, joint.getLoc(), (joint.getName() + suffix).str(), type);
  func.setVisibility(joint.getVisibility());
  for (NamedAttribute attr : joint->getDiscardableAttrs())
    func->setDiscardableAttr(attr.getName(), attr.getValue());
  func.addEntryBlock();
  return func;
}

LogicalResult Partitioner::run() {
  if (failed(check())) return failure();
  cut();
  auto ret = cast<func::ReturnOp>(block.getTerminator());
  MLIRContext* context = joint.getContext();
  StringAttr residualName = StringAttr::get(context, "weir.residual");
  auto residualAttrs = [&](unsigned i) {
    return DictionaryAttr::get(context, NamedAttribute(residualName, builder.getI64IntegerAttr(i)));
  };
  auto argumentAttrs = [&](Value value) {
    DictionaryAttr dictionary = joint.getArgAttrDict(cast<BlockArgument>(value).getArgNumber());
    return dictionary ? dictionary : DictionaryAttr::get(context);
  };
  auto resultAttrs = [&](unsigned i) {
    DictionaryAttr dictionary = joint.getResultAttrDict(i);
    return dictionary ? dictionary : DictionaryAttr::get(context);
  };
  func::FuncOp forward = createFunction("_forward"), backward = createFunction("_backward");

  // Backward: its own ops in their order, each preceded by what it needs again.
  Block& body = backward.front();
  builder.setInsertionPointToEnd(&body);
  for (Operation& op : block.without_terminator())
    if (isBackward(&op)) cloneIntoBackward(&op);
  SmallVector<Value> gradients;
  SmallVector<Type> types;
  SmallVector<DictionaryAttr> attrs;
  for (auto [i, value] : llvm::enumerate(ret.getOperands())) {
    if (!joint.getResultAttr(i, "weir.gradient")) continue;
    gradients.push_back(inBackward(value));
    types.push_back(value.getType());
    attrs.push_back(resultAttrs(i));
  }
  func::ReturnOp::create(builder, ret.getLoc(), gradients);
  SmallVector<Type> argTypes;
  SmallVector<DictionaryAttr> argAttrs;
  auto hand = [&](Value value, DictionaryAttr dictionary) {
    argTypes.push_back(value.getType());
    argAttrs.push_back(dictionary);
    Value placeholder = placeholders.lookup(value);
    BlockArgument argument = body.addArgument(value.getType(), value.getLoc());
    placeholder.replaceAllUsesWith(argument);
    placeholder.getDefiningOp()->erase();
  };
  SmallVector<Value> ordered = arguments.takeVector();
  auto isCotangent = [&](Value value) {
    return static_cast<bool>(
        joint.getArgAttr(cast<BlockArgument>(value).getArgNumber(), "weir.cotangent"));
  };
  llvm::sort(ordered, [](Value a, Value b) {
    return cast<BlockArgument>(a).getArgNumber() < cast<BlockArgument>(b).getArgNumber();
  });
  auto handArguments = [&](bool cotangents) {
    for (Value value : ordered)
      if (isCotangent(value) == cotangents) hand(value, argumentAttrs(value));
  };
  handArguments(false);
  for (auto [i, value] : llvm::enumerate(residuals)) hand(value, residualAttrs(i));
  handArguments(true);
  backward.setFunctionType(builder.getFunctionType(argTypes, types));
  backward.setAllArgAttrs(argAttrs);
  backward.setAllResultAttrs(attrs);

  // Forward: everything else, and the residuals.
  IRMapping forwardMapping;
  Block& forwardBody = forward.front();
  builder.setInsertionPointToEnd(&forwardBody);
  argTypes.clear();
  argAttrs.clear();
  for (BlockArgument argument : block.getArguments()) {
    if (isCotangent(argument)) continue;
    forwardMapping.map(argument, forwardBody.addArgument(argument.getType(), argument.getLoc()));
    argTypes.push_back(argument.getType());
    argAttrs.push_back(argumentAttrs(argument));
  }
  for (Operation& op : block.without_terminator())
    if (!isBackward(&op)) builder.clone(op, forwardMapping);
  SmallVector<Value> results;
  types.clear();
  attrs.clear();
  for (auto [i, value] : llvm::enumerate(ret.getOperands())) {
    if (joint.getResultAttr(i, "weir.gradient")) continue;
    results.push_back(forwardMapping.lookup(value));
    types.push_back(value.getType());
    attrs.push_back(resultAttrs(i));
  }
  for (auto [i, value] : llvm::enumerate(residuals)) {
    results.push_back(forwardMapping.lookup(value));
    types.push_back(value.getType());
    attrs.push_back(residualAttrs(i));
  }
  func::ReturnOp::create(builder, ret.getLoc(), results);
  forward.setFunctionType(builder.getFunctionType(argTypes, types));
  forward.setAllArgAttrs(argAttrs);
  forward.setAllResultAttrs(attrs);
  for (Operation& op : llvm::make_early_inc_range(llvm::reverse(forwardBody)))
    if (isOpTriviallyDead(&op)) op.erase();
  joint.erase();
  return success();
}

struct Partition : impl::PartitionBase<Partition> {
  using PartitionBase::PartitionBase;

  void runOnOperation() override {
    if (recompute != "none" && recompute != "cheap") {
      getOperation().emitError("weir-partition: recompute must be 'none' or 'cheap', not '")
          << recompute << "'";
      return signalPassFailure();
    }
    for (auto func : llvm::to_vector(getOperation().getOps<func::FuncOp>())) {
      if (func.isExternal() || !func.getBody().hasOneBlock()) continue;
      bool isJoint = false;
      for (unsigned i = 0; i < func.getNumResults(); ++i)
        isJoint |= static_cast<bool>(func.getResultAttr(i, "weir.gradient"));
      if (isJoint && failed(Partitioner(func, recompute == "cheap").run()))
        return signalPassFailure();
    }
  }
};

}  // namespace
}  // namespace weir
