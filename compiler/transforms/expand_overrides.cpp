// `--set key=value`: what the command line changes in an experiment and its model.

#include "compiler/transforms/expand.h"

#include <cmath>
#include <cstdlib>

#include "compiler/dialect/experiment_ops.h"
#include "compiler/dialect/model_ops.h"
#include "mlir/AsmParser/AsmParser.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/Verifier.h"

using namespace mlir;

namespace weir {

namespace {

/// The op of type `Kind` named `name`, or the only one. Null without a message if there is none and
/// no name.
template <typename Kind>
FailureOr<Kind> find(ModuleOp module, StringRef name, StringRef what) {
  Kind found;
  for (Kind op : module.getOps<Kind>()) {
    if (!name.empty() && op.getSymName() != name) continue;
    if (found) {
      module.emitError() << "the file has several " << what << "s, '@" << found.getSymName()
                         << "' and '@" << op.getSymName() << "': say which";
      return failure();
    }
    found = op;
  }
  if (!found && !name.empty()) {
    module.emitError() << "the file has no " << what << " '@" << name << "'";
    return failure();
  }
  return found;
}

/// `3`, `1e-3`, `true`, `[0.9, 0.99]` or a word, with or without quotes.
Attribute parseValue(MLIRContext* context, StringRef text) {
  Builder builder(context);
  text = text.trim();
  int64_t whole;
  if (!text.getAsInteger(10, whole)) return builder.getI64IntegerAttr(whole);
  double real;
  if (!text.getAsDouble(real) && std::isfinite(real)) return builder.getF64FloatAttr(real);
  if (text.starts_with("[") && text.ends_with("]")) {
    SmallVector<StringRef> parts;
    SmallVector<Attribute> elements;
    text.drop_front().drop_back().split(parts, ',', -1, /*KeepEmpty=*/false);
    for (StringRef part : parts) elements.push_back(parseValue(context, part));
    return builder.getArrayAttr(elements);
  }
  if (text == "true" || text == "false") return builder.getBoolAttr(text == "true");
  if (text.size() >= 2 && text.starts_with("\"") && text.ends_with("\""))
    text = text.drop_front().drop_back();
  return builder.getStringAttr(text);
}

/// Verifies `op`, and says which override made it wrong.
LogicalResult verifyAfter(Operation* op, StringRef key, StringRef value) {
  std::string message;
  {
    ScopedDiagnosticHandler handler(op->getContext(), [&](Diagnostic& diagnostic) {
      if (message.empty()) message = diagnostic.str();
      return success();
    });
    if (succeeded(verify(op))) return success();
  }
  return op->emitError() << "--set " << key << "=" << value << ": " << message;
}

template <typename Part>
LogicalResult setSetting(Part part, StringRef setting, StringRef key, StringRef text) {
  Attribute value = parseValue(part.getContext(), text);
  // A whole number where there was a fraction is that fraction, and a list of one word is a list.
  Attribute before = part.getSettings().get(setting);
  if (auto whole = dyn_cast<IntegerAttr>(value); whole && isa_and_nonnull<FloatAttr>(before))
    value = Builder(part.getContext()).getF64FloatAttr(static_cast<double>(whole.getInt()));
  NamedAttrList settings(part.getSettings());
  settings.set(setting, value);
  part.setSettingsAttr(settings.getDictionary(part.getContext()));
  return verifyAfter(part, key, text);
}

LogicalResult setOfExperiment(ExperimentOp experiment, StringRef key, StringRef text) {
  if (key == "seed") {
    int64_t seed;
    if (text.getAsInteger(10, seed))
      return experiment.emitError() << "--set seed=" << text << ": must be a whole number";
    experiment.setSeed(seed);
    return success();
  }
  if (key == "precision") {
    auto precision = symbolizePrecision(text);
    if (!precision)
      return experiment.emitError()
             << "--set precision=" << text << ": must be one of f32, bf16, f64";
    experiment.setPrecision(*precision);
    return success();
  }
  auto [part, setting] = key.split('.');
  if (part == "task") return setSetting(experiment.getTask(), setting, key, text);
  if (part == "optimizer") return setSetting(experiment.getOptimizer(), setting, key, text);
  if (part == "train") return setSetting(experiment.getTrain(), setting, key, text);
  ScheduleOp schedule = experiment.getSchedule();
  if (!schedule)
    return experiment.emitError() << "--set " << key << "=" << text
                                  << ": this experiment has no 'weir.schedule'";
  return setSetting(schedule, setting, key, text);
}

bool hasOption(ModelOp model, StringRef key) {
  return llvm::any_of(model.getBody().getOps<ConfigOp>(),
                      [&](ConfigOp config) { return config.getName() == key; });
}

LogicalResult setOfModel(ModelOp model, StringRef key, StringRef text) {
  for (ConfigOp config : model.getBody().getOps<ConfigOp>()) {
    if (config.getName() != key) continue;
    std::string error;
    Attribute value = config.convert(parseValue(model.getContext(), text), error);
    if (!value) return config.emitError() << "--set " << key << "=" << text << ": " << error;
    config.getSizeOperandsMutable().clear();
    config.removeDefaultSizeAttr();
    config.setDefaultValueAttr(value);
    return success();
  }
  InFlightDiagnostic error = model.emitError();
  error << "--set " << key << "=" << text << ": model '@" << model.getSymName()
        << "' has no option '" << key << "'";
  auto configs = model.getBody().getOps<ConfigOp>();
  if (configs.empty()) {
    error << ", and no others";
  } else {
    error << "; it has ";
    llvm::interleaveComma(configs, error, [&](ConfigOp config) { error << config.describe(); });
  }
  return error;
}

bool isOfExperiment(StringRef key) {
  StringRef part = key.split('.').first;
  bool isPart = part == "task" || part == "optimizer" || part == "schedule" || part == "train";
  return key == "seed" || key == "precision" || (isPart && part.size() + 1 < key.size());
}

}  // namespace

LogicalResult applyOverrides(ModuleOp module,
                             ArrayRef<std::pair<std::string, std::string>> overrides,
                             StringRef experimentName, StringRef modelName) {
  if (overrides.empty()) return success();
  FailureOr<ExperimentOp> experiment = find<ExperimentOp>(module, experimentName, "experiment");
  if (failed(experiment)) return failure();
  std::string name = modelName.str();
  if (name.empty() && *experiment) name = experiment->getModel().str();
  for (const auto& [key, value] : overrides) {
    if (isOfExperiment(key)) {
      if (!*experiment)
        return module.emitError() << "--set " << key << "=" << value
                                  << ": the file has no experiment";
      if (failed(setOfExperiment(*experiment, key, value))) return failure();
      continue;
    }
    FailureOr<ModelOp> model = find<ModelOp>(module, name, "model");
    if (failed(model)) return failure();
    if (!*model)
      return module.emitError() << "--set " << key << "=" << value << ": the file has no model";
    bool isOfTask = *experiment && experiment->getModel() == model->getSymName() &&
                    !hasOption(*model, key) && experiment->getTask().getSettings().contains(key);
    if (failed(isOfTask ? setSetting(experiment->getTask(), key, key, value)
                        : setOfModel(*model, key, value)))
      return failure();
  }
  return success();
}

}  // namespace weir
