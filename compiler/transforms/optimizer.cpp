#include "compiler/transforms/adamw.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringSet.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

#include "compiler/transforms/optimizer_pass.h"

namespace weir {
#define GEN_PASS_DEF_OPTIMIZER
#include "compiler/transforms/optimizer_pass.h.inc"
namespace {

using namespace mlir;

struct Optimizer : impl::OptimizerBase<Optimizer> {
  using OptimizerBase::OptimizerBase;

  FailureOr<AdamWSettings> findSettings() {
    auto experiments = getOperation().getOps<ExperimentOp>();
    if (!experiments.empty()) return readAdamWSettings(*experiments.begin());
    AdamWSettings settings;
    settings.lr = lr;
    settings.beta1 = beta1;
    settings.beta2 = beta2;
    settings.eps = eps;
    settings.weightDecay = weightDecay;
    settings.noDecay.assign(noDecay.begin(), noDecay.end());
    settings.schedule = schedule;
    settings.warmup = warmup;
    settings.steps = steps;
    settings.finalScale = finalScale;
    if (clip != 0.0) settings.clip = clip;
    settings.clipsEachParameter = clipKind == "local";
    settings.accumulate = accumulate;
    std::string problem = findProblem(settings);
    if (clipKind != "global" && clipKind != "local") problem = "clip-kind must be global or local";
    if (problem.empty()) return settings;
    getOperation().emitError("weir-optimizer: ") << problem;
    return failure();
  }

  void runOnOperation() override {
    ModuleOp module = getOperation();
    FailureOr<AdamWSettings> settings = findSettings();
    if (failed(settings)) return signalPassFailure();
    llvm::StringSet<> paths;
    for (auto func : module.getOps<func::FuncOp>())
      for (unsigned i = 0; i < func.getNumArguments(); ++i)
        if (auto path = func.getArgAttrOfType<StringAttr>(i, "weir.param"))
          paths.insert(path.getValue());
    for (auto func : llvm::to_vector(module.getOps<func::FuncOp>())) {
      SmallVector<OptimizedParameter> parameters;
      for (unsigned i = 0; i < func.getNumResults(); ++i) {
        auto path = func.getResultAttrOfType<StringAttr>(i, "weir.gradient");
        if (!path || !paths.contains(path.getValue())) continue;
        auto type = dyn_cast<RankedTensorType>(func.getResultTypes()[i]);
        if (!type || !type.hasStaticShape() ||
            !(type.getElementType().isF32() || type.getElementType().isF64())) {
          func.emitError("the gradient of '")
              << path.getValue() << "' is no static tensor of f32 or f64";
          return signalPassFailure();
        }
        parameters.push_back({path.str(), type});
      }
      StringRef base = func.getName();
      base.consume_back("_backward");
      if (parameters.empty() || module.lookupSymbol((base + "_optimizer").str())) continue;
      buildAdamW(module, (base + "_optimizer").str(), parameters, *settings);
      if (settings->accumulate > 1)
        buildAccumulate(module, (base + "_accumulate").str(), parameters);
    }
  }
};

}  // namespace
}  // namespace weir
