#include "compiler/transforms/plan_flatten.h"

#include "mlir/IR/IRMapping.h"

namespace weir {

using namespace mlir;

static LogicalResult inlineCalls(Block& block, SymbolTable& symbols,
                                 SmallVectorImpl<func::FuncOp>& callers) {
  for (Operation& op : llvm::make_early_inc_range(block)) {
    auto call = dyn_cast<func::CallOp>(op);
    if (!call) continue;
    auto callee = symbols.lookup<func::FuncOp>(call.getCallee());
    if (!callee || callee.isExternal() || !callee.getBody().hasOneBlock()) {
      return call.emitError() << "calls '" << call.getCallee()
                              << "', which has no straight-line body";
    }
    if (llvm::is_contained(callers, callee)) {
      return call.emitError() << "calls '" << call.getCallee() << "', which calls itself";
    }
    callers.push_back(callee);
    if (failed(inlineCalls(callee.getBody().front(), symbols, callers))) return failure();
    callers.pop_back();

    OpBuilder b(call);
    IRMapping mapping;
    mapping.map(callee.getArguments(), call.getOperands());
    Block& body = callee.getBody().front();
    for (Operation& inner : body.without_terminator()) b.clone(inner, mapping);
    for (auto [result, value] : llvm::zip(call.getResults(), body.getTerminator()->getOperands())) {
      result.replaceAllUsesWith(mapping.lookupOrDefault(value));
    }
    call.erase();
  }
  return success();
}

LogicalResult flattenCalls(func::FuncOp entry, SymbolTable& symbols) {
  if (!entry.getBody().hasOneBlock()) {
    return entry.emitError("an entry point must be a straight line of launches");
  }
  SmallVector<func::FuncOp> callers = {entry};
  return inlineCalls(entry.getBody().front(), symbols, callers);
}

}  // namespace weir
