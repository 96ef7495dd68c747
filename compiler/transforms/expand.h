// From a model to one function: layers by name become IR, options and sizes become numbers,
// parameters, states and random streams get their names.
//
//   ExpansionOptions options;
//   options.resolver = resolverFrom(registry);
//   FailureOr<OwningOpRef<ModuleOp>> expanded = expandModel(module, options);

#ifndef WEIR_COMPILER_TRANSFORMS_EXPAND_H_
#define WEIR_COMPILER_TRANSFORMS_EXPAND_H_

#include <functional>
#include <string>
#include <utility>

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"

namespace weir {

namespace runtime {
class Registry;
}  // namespace runtime

/// The text in which a layer is defined, perhaps among others, and the file it comes from (for
/// messages).
struct LayerSource {
  std::string text;
  std::string file;
};

/// Finds a layer by name; on failure `error` says why, in a sentence.
using LayerResolver =
    std::function<mlir::FailureOr<LayerSource>(llvm::StringRef name, std::string& error)>;

/// The layers of a registry, which must live as long as the resolver.
LayerResolver resolverFrom(const runtime::Registry& registry);

struct ExpansionOptions {
  LayerResolver resolver;
  /// The model's name; empty stands for the only model there is.
  std::string model;
  /// Whether the function takes segment ids (`weir.segments`, tensor<?x?xi32>) and the position of
  /// its first token
  /// (`weir.start`, tensor<i64>), which are then bound to every op that mixes along time.
  bool segments = false;
  bool start = false;
};

/// A new module with one function, named as the model: arguments are the inputs (`weir.input =
/// "x"`), the parameters
/// (`weir.param = "layer.0.in.weight"`, `weir.init = "normal(0.02)"`), the states (`weir.state`,
/// `weir.init`), the random counter (`weir.rng`, tensor<2xi64>: seed, step) if something is random,
/// then segments and start; results are the outputs (`weir.output = "0"`) and the states' next
/// values (`weir.state`). Batch and time are open, all else is static. A model marked `linear`
/// gives a function with the attribute `weir.linear`. Errors are diagnostics.
mlir::FailureOr<mlir::OwningOpRef<mlir::ModuleOp>> expandModel(mlir::ModuleOp module,
                                                               const ExpansionOptions& options);

/// Changes defaults and settings in place, as `--set key=value` does: `task.length`,
/// `optimizer.lr`, `schedule.warmup`, `train.steps`, `precision`, `seed` of the experiment, or the
/// name of an option of the model. What is left is the resolved experiment. `experiment` and
/// `model` may be empty where there is only one. Errors name the key.
mlir::LogicalResult applyOverrides(mlir::ModuleOp module,
                                   llvm::ArrayRef<std::pair<std::string, std::string>> overrides,
                                   llvm::StringRef experiment = "", llvm::StringRef model = "");

}  // namespace weir

#endif  // WEIR_COMPILER_TRANSFORMS_EXPAND_H_
