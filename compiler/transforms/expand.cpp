// The pass weir-expand; the work is in expander.cpp.

#include "compiler/transforms/expand.h"

#include "llvm/Support/FileSystem.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"

#include "compiler/dialect/dialect.h"
#include "compiler/dialect/experiment_ops.h"
#include "compiler/dialect/model_ops.h"
#include "compiler/transforms/expand_pass.h"
#include "runtime/plugin/registry.h"

namespace weir {

#define GEN_PASS_DEF_EXPAND
#include "compiler/transforms/expand_pass.h.inc"

using namespace mlir;

LayerResolver resolverFrom(const runtime::Registry& registry) {
  return [&registry](StringRef name, std::string& error) -> FailureOr<LayerSource> {
    auto layer = registry.FindLayer(absl::string_view(name.data(), name.size()));
    if (!layer.ok()) {
      error = std::string(layer.status().message());
      return failure();
    }
    return LayerSource{*(*layer)->ir, (*layer)->source};
  };
}

namespace {

struct Expand : impl::ExpandBase<Expand> {
  using ExpandBase::ExpandBase;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    std::vector<std::string> directories, files;
    for (const std::string& path : plugins)
      (llvm::sys::fs::is_directory(path) ? directories : files).push_back(path);
    auto registry = runtime::LoadRegistry(directories, files);
    if (!registry.ok()) {
      module.emitError() << std::string(registry.status().message());
      return signalPassFailure();
    }
    SmallVector<std::pair<std::string, std::string>> overrides;
    for (const std::string& entry : set) {
      auto [key, value] = StringRef(entry).split('=');
      overrides.emplace_back(key.str(), value.str());
    }
    ExpansionOptions options;
    options.resolver = resolverFrom(*registry);
    options.model = model;
    options.segments = segments;
    options.start = start;
    if (failed(applyOverrides(module, overrides, "", model))) return signalPassFailure();
    FailureOr<OwningOpRef<ModuleOp>> expanded = expandModel(module, options);
    if (failed(expanded)) return signalPassFailure();
    for (Operation& op : llvm::make_early_inc_range(*module.getBody()))
      if (isa<LayerOp, ModelOp, ExperimentOp>(op)) op.erase();
    module.getBody()->getOperations().splice(module.getBody()->end(),
                                             (*expanded)->getBody()->getOperations());
  }
};

}  // namespace

}  // namespace weir
