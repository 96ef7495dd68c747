#include "compiler/entry_points/model_functions.h"

#include <limits>

#include "compiler/dialect/dialect.h"
#include "compiler/dialect/linalg_builder.h"
#include "compiler/dialect/loss_ops.h"
#include "compiler/pipelines/pipelines.h"
#include "compiler/entry_points/arguments.h"
#include "compiler/support/phase_times.h"
#include "compiler/transforms/adamw.h"
#include "compiler/transforms/autocast_pass.h"
#include "compiler/transforms/differentiate_pass.h"
#include "compiler/transforms/fuse_loss_pass.h"
#include "compiler/transforms/partition_pass.h"
#include "compiler/transforms/specialize.h"
#include "llvm/ADT/StringSet.h"
#include "mlir/Pass/PassManager.h"

namespace weir {
using namespace mlir;

FailureOr<func::FuncOp> addSpecialized(ModuleOp module, func::FuncOp model,
                                       const SpecializedModel& settings) {
  Phase phase("specialize");
  func::FuncOp function = model.clone();
  function.setName(settings.name);
  function.setPublic();
  module.push_back(function);
  if (failed(specializeFunction(
          function, {settings.batch, settings.time, settings.precision == Precision::F64,
                     settings.isTraining})))
    return failure();
  return function;
}

LogicalResult checkVocabulary(func::FuncOp objective, int64_t vocabulary) {
  WalkResult result = objective.walk([&](CrossEntropyOp loss) {
    int64_t classes = shapeOf(loss.getLogits()).back();
    if (classes >= vocabulary) return WalkResult::advance();
    objective.emitError() << "gives logits of " << classes << " classes, but the task has "
                          << vocabulary;
    return WalkResult::interrupt();
  });
  return failure(result.wasInterrupted());
}

LogicalResult runSequencePipeline(ModuleOp module, const SequenceSettings& settings) {
  Phase phase("simplify");
  PassManager passes(module.getContext());
  if (settings.precision == Precision::Bf16) passes.addNestedPass<func::FuncOp>(createAutocast());
  if (settings.fuse && settings.logits != "stored") {
    FuseLossOptions options;
    if (settings.logits == "recomputed") {
      options.minBytes = 0;
      options.operationsPerByte = std::numeric_limits<double>::infinity();
    }
    passes.addNestedPass<func::FuncOp>(createFuseLoss(options));
  }
  addSimplify(passes, settings.fuse, settings.precision == Precision::Bf16);
  return runPasses(passes, module);
}

LogicalResult runDifferentiation(ModuleOp module, DifferentiationKind kind) {
  Phase phase("differentiate");
  PassManager passes(module.getContext());
  DifferentiateOptions options;
  if (kind == DifferentiationKind::Cotangents) {
    options.inputs = true;
    options.seed = "cotangents";
  } else if (kind == DifferentiationKind::Window) {
    options.seed = "states";
    options.result = "loss_sum";
  }
  passes.addNestedPass<func::FuncOp>(createDifferentiate(options));
  passes.addPass(createPartition());
  return runPasses(passes, module);
}

SmallVector<unsigned> parameterGradients(ModuleOp module) {
  auto forward = module.lookupSymbol<func::FuncOp>("train_forward");
  auto backward = module.lookupSymbol<func::FuncOp>("train_backward");
  llvm::StringSet<> parameters;
  for (unsigned i = 0; i < forward.getNumArguments(); ++i)
    parameters.insert(stringAttr(forward.getArgAttr(i, kParamAttr)));
  SmallVector<unsigned> gradients;
  for (unsigned i = 0; i < backward.getNumResults(); ++i)
    if (parameters.erase(stringAttr(backward.getResultAttr(i, kGradientAttr))))
      gradients.push_back(i);
  return gradients;
}

LogicalResult addOptimizer(ModuleOp module, ExperimentOp experiment) {
  Phase phase("optimizer");
  FailureOr<AdamWSettings> settings = readAdamWSettings(experiment);
  if (failed(settings)) return failure();
  auto backward = module.lookupSymbol<func::FuncOp>("train_backward");
  if (!backward) return module.emitError() << "has nothing to train: no parameter reaches the loss";
  SmallVector<OptimizedParameter> parameters;
  for (unsigned i : parameterGradients(module))
    parameters.push_back({stringAttr(backward.getResultAttr(i, kGradientAttr)).str(),
                          cast<RankedTensorType>(backward.getResultTypes()[i])});
  buildAdamW(module, "train_optimizer", parameters, *settings);
  bool hasWindows = getNumber(experiment.getTrain().getSettings(), "windows", 1) > 1;
  if (settings->accumulate > 1 || hasWindows)
    buildAccumulate(module, "train_accumulate", parameters);
  return success();
}

}  // namespace weir
