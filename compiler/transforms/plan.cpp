// Plans a module's entry points. One entry point: plan_entry.cpp. The arena: plan_arena.cpp.

#include "compiler/transforms/plan.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

#include "compiler/transforms/plan_flatten.h"
#include "compiler/transforms/plan_pass.h"

namespace weir {

#define GEN_PASS_DEF_PLAN
#include "compiler/transforms/plan_pass.h.inc"

using namespace mlir;

static std::string describe(const runtime::BufferRef& ref) {
  static constexpr const char* kNames[] = {"input ", "output ", "variable ", "constant ", "arena"};
  std::string text = kNames[static_cast<int>(ref.space)];
  if (ref.space != runtime::Space::kArena) text += std::to_string(ref.index);
  if (ref.byte_offset != 0 || ref.space == runtime::Space::kArena)
    text += " + " + std::to_string(ref.byte_offset);
  return text;
}

FailureOr<ModulePlan> planModule(ModuleOp module) {
  SymbolTable symbols(module);
  PlanKernels kernels(symbols);
  ModulePlan plan;
  Builder b(module.getContext());
  for (auto function : llvm::to_vector(module.getOps<func::FuncOp>())) {
    if (!function->hasAttr(host::kEntryAttr)) continue;
    if (failed(flattenCalls(function, symbols))) return failure();
    FailureOr<PlannedEntry> entry = planEntry(function, symbols, kernels, plan.shared);
    if (failed(entry)) return failure();
    function->setAttr("weir.arena_bytes", b.getI64IntegerAttr(entry->arenaBytes));
    function->setAttr("weir.arena_lower_bound", b.getI64IntegerAttr(entry->arenaLowerBound));
    for (PlannedLaunch& launch : entry->launches) {
      SmallVector<Attribute> words;
      for (const runtime::BufferRef& ref : launch.buffers)
        words.push_back(b.getStringAttr(describe(ref)));
      launch.op.setBuffersAttr(b.getArrayAttr(words));
    }
    plan.entries.push_back(std::move(*entry));
  }
  if (plan.entries.empty())
    return module.emitError() << "has no entry point (a function with " << host::kEntryAttr << ")";
  return std::move(plan);
}

namespace {

struct Plan : impl::PlanBase<Plan> {
  using PlanBase::PlanBase;
  void runOnOperation() override {
    if (failed(planModule(getOperation()))) signalPassFailure();
  }
};

}  // namespace
}  // namespace weir
