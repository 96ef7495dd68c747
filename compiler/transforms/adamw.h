// The optimizer as IR: a function of gradients, parameters and moments (see optimizer.td for what
// it computes).
//
//   FailureOr<AdamWSettings> settings = readAdamWSettings(experiment);
//   func::FuncOp step = buildAdamW(module, "lm_optimizer", {{"tok.weight", type}}, *settings);

#ifndef WEIR_COMPILER_TRANSFORMS_ADAMW_H_
#define WEIR_COMPILER_TRANSFORMS_ADAMW_H_

#include <optional>
#include <string>
#include <vector>

#include "compiler/dialect/experiment_ops.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace weir {

/// Settings for the parameters whose path matches one of the patterns (`*` stands for any text).
struct ParameterGroup {
  std::vector<std::string> patterns;
  double lrScale = 1.0;
  std::optional<double> weightDecay;  // absent: the optimizer's
};

struct AdamWSettings {
  double lr = 1e-3, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weightDecay = 0.01;
  std::vector<std::string> noDecay;
  std::vector<ParameterGroup> groups;  // the last one that matches counts
  std::string schedule = "constant";
  int64_t warmup = 0, steps = 0;
  double finalScale = 0.0;
  std::optional<double> clip;
  bool clipsEachParameter = false;
  int64_t accumulate = 1;
};

/// Fails, after a diagnostic at the op, on another optimizer than adamw.
mlir::FailureOr<AdamWSettings> readAdamWSettings(ExperimentOp experiment);

/// The first thing wrong with the settings; empty if nothing is.
std::string findProblem(const AdamWSettings& settings);

struct OptimizedParameter {
  std::string path;
  mlir::RankedTensorType type;  // static, f32 or f64
};

/// Adds the function to `module`: (gradients, parameters, first and second moments, rng, loss) ->
/// (parameters, moments, rng, gradient_norm, learning_rate, finite). Where the loss or the norm of
/// all gradients isn't finite (`finite` is 0 then), nothing changes: the step can be run again to
/// find out why, and what is saved is good. The settings have no problem.
mlir::func::FuncOp buildAdamW(mlir::ModuleOp module, llvm::StringRef name,
                              llvm::ArrayRef<OptimizedParameter> parameters,
                              const AdamWSettings& settings);

/// Adds `@name(sums, gradients) -> (sums)`.
mlir::func::FuncOp buildAccumulate(mlir::ModuleOp module, llvm::StringRef name,
                                   llvm::ArrayRef<OptimizedParameter> parameters);

}  // namespace weir

#endif  // WEIR_COMPILER_TRANSFORMS_ADAMW_H_
