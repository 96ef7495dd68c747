#include "compiler/transforms/dispatch_outline.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Linalg/Transforms/Transforms.h"
#include "mlir/IR/IRMapping.h"

#include "compiler/dialect/dispatch_ops.h"
#include "compiler/transforms/dispatch_access.h"
#include "compiler/transforms/op_kinds.h"
#include "compiler/transforms/sweeps.h"

namespace weir {

using namespace mlir;

namespace {

bool isCloned(Value value) {
  Operation* op = value.getDefiningOp();
  return op && isClonedIntoKernels(op);
}

/// What crosses the border of a group.
struct Border {
  llvm::SetVector<Value> arguments;
  llvm::SetVector<Value> results;
  /// Views that the host needs as well: it applies them to results of the kernel.
  SmallVector<Operation*> hostViews;
};

Border findBorder(const DispatchGroup& group) {
  Border border;
  llvm::SetVector<Operation*> inside(group.ops.begin(), group.ops.end());
  std::function<void(Value)> read = [&](Value value) {
    Operation* definition = value.getDefiningOp();
    if (definition && inside.contains(definition)) return;
    if (!isCloned(value)) {
      border.arguments.insert(value);
      return;
    }
    for (Value operand : definition->getOperands()) read(operand);
  };
  for (Operation* op : group.ops) {
    for (Value value : valuesRead(op)) read(value);
  }
  // Last first, so that a view of a view asks for what it needs before its source is looked at.
  llvm::SetVector<Value> needed;
  for (Operation* op : llvm::reverse(group.ops)) {
    auto usedOutside = [&](Value result) {
      return needed.contains(result) || llvm::any_of(result.getUsers(), [&](Operation* user) {
               return !inside.contains(group.ops[0]->getBlock()->findAncestorOpInBlock(*user));
             });
    };
    if (isView(op)) {
      if (!usedOutside(op->getResult(0))) continue;
      border.hostViews.push_back(op);
      needed.insert(op->operand_begin(), op->operand_end());
    } else {
      for (Value result : llvm::reverse(op->getResults())) {
        if (usedOutside(result)) border.results.insert(result);
      }
    }
  }
  SmallVector<Value> results = border.results.takeVector();
  border.results.insert(results.rbegin(), results.rend());
  std::reverse(border.hostViews.begin(), border.hostViews.end());
  return border;
}

/// A word on what the kernel does, for whoever reads a profile.
StringRef kindOf(const DispatchGroup& group) {
  StringRef kind = "elementwise";
  for (Operation* op : group.ops) {
    if (isKernelRoot(op)) return op->getName().stripDialect();
    if (isPartOfSweep(op)) return "sweep";
    auto generic = dyn_cast<linalg::GenericOp>(op);
    if (!generic) continue;
    if (isContraction(generic)) return reducesOverRows(generic) ? "outer_product" : "product";
    if (generic.getNumReductionLoops() > 0)
      kind = reducesOverRows(generic) && group.ops.size() == 1 ? "sum" : "rows";
  }
  return kind;
}

/// The row dimensions become the first loops of every op.
void putRowsFirst(linalg::GenericOp op, ArrayRef<int> rowLoops, RewriterBase& rewriter) {
  SmallVector<unsigned> order(rowLoops.begin(), rowLoops.end());
  for (unsigned loop = 0; loop < op.getNumLoops(); ++loop) {
    if (!llvm::is_contained(rowLoops, static_cast<int>(loop))) order.push_back(loop);
  }
  if (llvm::is_sorted(order)) return;
  rewriter.setInsertionPoint(op);
  FailureOr<linalg::GenericOp> interchanged = linalg::interchangeGenericOp(rewriter, op, order);
  if (failed(interchanged)) return;
  // Indices come out as maps of all of them, which name one.
  interchanged->walk([&](affine::AffineApplyOp apply) {
    SmallVector<Value> index;
    if (succeeded(rewriter.tryFold(apply, index))) rewriter.replaceOp(apply, index);
  });
}

func::FuncOp buildKernel(const DispatchGroup& group, const Border& border, RewriterBase& rewriter) {
  OpBuilder::InsertionGuard guard(rewriter);
  Location loc = group.ops[0]->getLoc();
  auto types = [](const llvm::SetVector<Value>& values) {
    return llvm::map_to_vector(values, [](Value value) { return value.getType(); });
  };
  auto type = rewriter.getFunctionType(types(border.arguments), types(border.results));
  auto kernel = func::FuncOp::create(loc, ("k_" + kindOf(group)).str(), type);
  kernel.setPrivate();
  kernel->setAttr(kKernelAttr, rewriter.getUnitAttr());
  kernel->setAttr(kRowRankAttr, rewriter.getI64IntegerAttr(group.rowRank));

  Block* body = kernel.addEntryBlock();
  rewriter.setInsertionPointToEnd(body);
  IRMapping mapping;
  for (auto [value, argument] : llvm::zip(border.arguments, body->getArguments()))
    mapping.map(value, argument);
  std::function<void(Value)> bring = [&](Value value) {
    if (mapping.contains(value) || !isCloned(value)) return;
    for (Value operand : value.getDefiningOp()->getOperands()) bring(operand);
    rewriter.clone(*value.getDefiningOp(), mapping);
  };
  SmallVector<std::pair<linalg::GenericOp, Operation*>> generics;
  for (Operation* op : group.ops) {
    for (Value value : valuesRead(op)) bring(value);
    Operation* clone = rewriter.clone(*op, mapping);
    if (auto generic = dyn_cast<linalg::GenericOp>(clone)) generics.push_back({generic, op});
  }
  func::ReturnOp::create(rewriter, loc, llvm::map_to_vector(border.results, [&](Value value) {
                           return mapping.lookup(value);
                         }));
  for (auto [generic, op] : generics) {
    auto rows = group.rowLoops.find(op);
    if (rows != group.rowLoops.end()) putRowsFirst(generic, rows->second, rewriter);
  }
  return kernel;
}

}  // namespace

void outlineGroup(const DispatchGroup& group, SymbolTable& symbols, RewriterBase& rewriter) {
  Operation* terminator = group.ops[0]->getBlock()->getTerminator();
  if (group.isHost || isView(group.ops[0])) {
    for (Operation* op : group.ops) {
      if (op != terminator) rewriter.moveOpBefore(op, terminator);
    }
    return;
  }
  Border border = findBorder(group);
  func::FuncOp kernel = buildKernel(group, border, rewriter);
  symbols.insert(kernel);

  rewriter.setInsertionPoint(terminator);
  auto launch =
      LaunchOp::create(rewriter, group.ops[0]->getLoc(), kernel.getResultTypes(),
                       SymbolRefAttr::get(kernel), border.arguments.getArrayRef(), ArrayAttr());
  DenseMap<Value, StringRef> reasons;
  for (auto& [operand, why] : group.apart) reasons.try_emplace(operand->get(), why);
  SmallVector<StringRef> apart =
      llvm::map_to_vector(border.arguments, [&](Value value) { return reasons.lookup(value); });
  if (!llvm::all_of(apart, [](StringRef why) { return why.empty(); }))
    launch->setAttr(host::kApartAttr, rewriter.getStrArrayAttr(apart));
  IRMapping mapping;
  for (auto [value, result] : llvm::zip(border.results, launch.getResults()))
    mapping.map(value, result);
  for (Operation* view : border.hostViews) rewriter.clone(*view, mapping);
  for (Operation* op : group.ops) {
    for (Value result : op->getResults()) {
      if (Value replacement = mapping.lookupOrNull(result))
        rewriter.replaceAllUsesWith(result, replacement);
    }
  }
  for (Operation* op : llvm::reverse(group.ops)) rewriter.eraseOp(op);
}

}  // namespace weir
