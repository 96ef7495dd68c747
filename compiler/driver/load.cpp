#include "compiler/driver/load.h"

#include <filesystem>
#include <set>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "llvm/Support/raw_ostream.h"

#include "compiler/driver/command.h"
#include "compiler/driver/costs.h"
#include "compiler/driver/flags.h"
#include "compiler/entry_points/programs.h"
#include "compiler/support/phase_times.h"
#include "compiler/transforms/expand.h"
#include "compiler/transforms/matrix_scan.h"
#include "runtime/data/random_tokens.h"

namespace weir {

using namespace mlir;

namespace {

using Overrides = SmallVector<std::pair<std::string, std::string>>;

/// What the flags change in the file. Short forms count after --set.
absl::StatusOr<Overrides> overridesFromFlags(bool hasExperiment) {
  Overrides overrides;
  for (const std::string& entry : absl::GetFlag(FLAGS_set)) {
    auto [key, value] = StringRef(entry).split('=');
    if (key.size() == entry.size() || key.empty())
      return absl::InvalidArgumentError(absl::StrCat("--set ", entry, ": write KEY=VALUE"));
    overrides.emplace_back(key.trim().str(), value.str());
  }
  if (isGiven("steps"))
    overrides.emplace_back("train.steps", absl::StrCat(absl::GetFlag(FLAGS_steps)));
  // Without an experiment the seed is that of initial values, which commands read from the flag.
  if (isGiven("seed") && hasExperiment)
    overrides.emplace_back("seed", absl::StrCat(absl::GetFlag(FLAGS_seed)));
  if (isGiven("data")) {
    // Absolute, so that the resolved experiment works from anywhere.
    std::string path = std::filesystem::absolute(absl::GetFlag(FLAGS_data)).lexically_normal();
    overrides.emplace_back("task.data", absl::StrCat("\"", path, "\""));
  }
  return overrides;
}

/// The op named `name`, or the only one; null if there is none and no name is asked for.
template <typename Kind>
absl::StatusOr<Kind> pick(ModuleOp module, const std::string& file, const std::string& name,
                          const char* what) {
  Kind found;
  for (Kind op : module.getOps<Kind>()) {
    if (!name.empty() && op.getSymName() != name) continue;
    if (found) {
      return absl::InvalidArgumentError(
          absl::StrCat(file, ": holds several ", what, "s, '@", found.getSymName().str(),
                       "' and '@", op.getSymName().str(), "': say which with --", what, "=NAME"));
    }
    found = op;
  }
  if (!found && !name.empty())
    return absl::NotFoundError(absl::StrCat(file, ": holds no ", what, " '@", name, "'"));
  return found;
}

absl::StatusOr<LoadedModel> resolve(Workspace& workspace, OwningOpRef<ModuleOp> module,
                                    const std::string& file, bool useFlags) {
  LoadedModel loaded;
  loaded.module = std::move(module);
  absl::StatusOr<ExperimentOp> experiment =
      pick<ExperimentOp>(*loaded.module, file, absl::GetFlag(FLAGS_experiment), "experiment");
  if (!experiment.ok()) return experiment.status();
  loaded.experiment = *experiment;
  std::string experimentName, modelName = absl::GetFlag(FLAGS_model);
  if (loaded.experiment) {
    experimentName = loaded.experiment.getSymName().str();
    if (modelName.empty()) modelName = loaded.experiment.getModel().str();
  }
  absl::StatusOr<ModelOp> model = pick<ModelOp>(*loaded.module, file, modelName, "model");
  if (!model.ok()) return model.status();
  loaded.model = *model;
  if (!loaded.model) return absl::InvalidArgumentError(absl::StrCat(file, ": holds no weir.model"));
  if (loaded.experiment && loaded.experiment.getModel() != loaded.model.getSymName())
    loaded.experiment = nullptr;

  absl::StatusOr<Overrides> overrides = Overrides();
  if (useFlags) overrides = overridesFromFlags(bool(loaded.experiment));
  if (!overrides.ok()) return overrides.status();
  if (failed(applyOverrides(*loaded.module, *overrides, experimentName, loaded.model.getSymName())))
    return workspace.failed();

  absl::StatusOr<OwningOpRef<ModuleOp>> expanded = expand(workspace, loaded, {});
  if (!expanded.ok()) return expanded.status();
  loaded.expanded = *std::move(expanded);
  Phase phase("check costs");
  if (failed(checkLinear(loaded.function()))) return workspace.failed();
  return loaded;
}

runtime::OptionValue toOption(Attribute value) {
  if (auto flag = dyn_cast<BoolAttr>(value)) return flag.getValue();
  if (auto whole = dyn_cast<IntegerAttr>(value)) return whole.getInt();
  if (auto real = dyn_cast<FloatAttr>(value)) return real.getValueAsDouble();
  if (auto text = dyn_cast<StringAttr>(value)) return text.getValue().str();
  std::string text;
  llvm::raw_string_ostream(text) << value;
  return text;
}

/// States are carried along streams: a task that can be read as such is, unless it is told
/// otherwise.
void readInOrder(const runtime::TaskRegistry& tasks, const std::string& name,
                 runtime::OptionMap& options) {
  absl::StatusOr<const runtime::TaskInfo*> info = tasks.Find(name);
  if (!info.ok()) return;
  for (const runtime::TaskOption& option : (*info)->options)
    if (option.name == "order") options.try_emplace("order", std::string("stream"));
}

/// Whether the task could say what its batches look like, but has no file to fill them from.
bool lacksData(const runtime::TaskRegistry& tasks, const std::string& name,
               const runtime::OptionMap& options) {
  absl::StatusOr<const runtime::TaskInfo*> info = tasks.Find(name);
  return info.ok() && (*info)->outline && options.count("data") == 0;
}

/// Random tokens for a task; a vocabulary that its data would decide is that of the model's output.
absl::StatusOr<std::unique_ptr<runtime::Task>> randomTask(const runtime::TaskRegistry& tasks,
                                                          const std::string& name,
                                                          const runtime::OptionMap& options,
                                                          func::FuncOp model) {
  absl::StatusOr<runtime::TaskSpec> spec = tasks.Outline(name, options);
  if (!spec.ok()) return spec.status();
  if (spec->vocabulary == 0) {
    auto type = dyn_cast<RankedTensorType>(model.getResultTypes().front());
    spec->vocabulary = type && type.getRank() > 0 ? type.getShape().back() : 0;
  }
  if (spec->vocabulary <= 0)
    return absl::InvalidArgumentError(
        absl::StrCat("the task '", name,
                     "' needs its data: neither it nor the model says how many tokens there "
                     "are"));
  return runtime::RandomTokens(*std::move(spec));
}

/// --matrix_chunk, for all scans that don't say it themselves. What is compiled follows from the
/// expanded module, and so does what the cache knows it by.
absl::Status applyMatrixChunk(ModuleOp module) {
  std::string flag = absl::GetFlag(FLAGS_matrix_chunk);
  if (flag == "auto") return absl::OkStatus();
  int64_t chunk;
  if (!absl::SimpleAtoi(flag, &chunk) || chunk < 0)
    return absl::InvalidArgumentError(
        absl::StrCat("--matrix_chunk can't be '", flag, "': it is auto or a number of tokens"));
  IntegerAttr tokens = Builder(module.getContext()).getI64IntegerAttr(chunk);
  module.walk([&](ScanOp scan) {
    if (!scan->hasAttr(kMatrixChunkAttr)) scan->setAttr(kMatrixChunkAttr, tokens);
  });
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<OwningOpRef<ModuleOp>> expand(Workspace& workspace, const LoadedModel& loaded,
                                             ExpandFor what) {
  Phase phase("expand");
  ExpansionOptions options;
  options.resolver = resolverFrom(workspace.registry());
  options.model = ModelOp(loaded.model).getSymName().str();
  options.segments = what.segments;
  options.start = what.start;
  FailureOr<OwningOpRef<ModuleOp>> expanded = expandModel(*loaded.module, options);
  if (failed(expanded)) return workspace.failed();
  if (absl::Status status = applyMatrixChunk(**expanded); !status.ok()) return status;
  return std::move(*expanded);
}

func::FuncOp LoadedModel::function() const { return *(*expanded).getOps<func::FuncOp>().begin(); }

std::string LoadedModel::text() const {
  OwningOpRef<ModuleOp> copy((*module).clone());
  for (Operation& op : llvm::make_early_inc_range(*copy->getBody())) {
    auto other = dyn_cast<ExperimentOp>(op);
    if (other && experiment && other.getSymName() != ExperimentOp(experiment).getSymName())
      op.erase();
  }
  std::string text;
  llvm::raw_string_ostream stream(text);
  // The module's own braces say nothing.
  for (Operation& op : *copy->getBody()) {
    op.print(stream);
    stream << "\n\n";
  }
  if (!text.empty()) text.pop_back();
  return text;
}

absl::StatusOr<LoadedModel> loadModel(Workspace& workspace, const std::string& file) {
  absl::StatusOr<OwningOpRef<ModuleOp>> module = workspace.parseFile(file);
  if (!module.ok()) return module.status();
  return resolve(workspace, *std::move(module), file, /*useFlags=*/true);
}

absl::StatusOr<LoadedModel> loadModelText(Workspace& workspace, const std::string& text,
                                          const std::string& name) {
  absl::StatusOr<OwningOpRef<ModuleOp>> module = workspace.parseText(text, name);
  if (!module.ok()) return module.status();
  return resolve(workspace, *std::move(module), name, /*useFlags=*/false);
}

namespace {

absl::StatusOr<std::unique_ptr<runtime::Task>> makeTask(const Workspace& workspace,
                                                        const LoadedModel& loaded,
                                                        bool mayBeRandom) {
  ExperimentOp experiment = loaded.experiment;
  if (!experiment) {
    return absl::FailedPreconditionError(
        "the file has no weir.experiment, which says what the model is trained on");
  }
  absl::StatusOr<runtime::TaskRegistry> tasks = workspace.tasks();
  if (!tasks.ok()) return tasks.status();
  Phase phase("task");
  TaskOp op = experiment.getTask();
  std::string name = op.getName().str();
  runtime::OptionMap options;
  for (NamedAttribute setting : experiment.getTaskSettings())
    options[setting.getName().str()] = toOption(setting.getValue());
  bool carries = carriesState(experiment);
  if (carries) readInOrder(*tasks, name, options);
  absl::StatusOr<std::unique_ptr<runtime::Task>> task =
      mayBeRandom && lacksData(*tasks, name, options)
          ? randomTask(*tasks, name, options, loaded.function())
          : tasks->Create(name, options);
  if (!task.ok()) {
    // With the place of the task in the file.
    op.emitError() << std::string(task.status().message());
    return reported();
  }
  if (carries && (*task)->spec().stream_batches == 0) {
    experiment.getTrain().emitError() << "state = \"carry\" needs a task whose batches continue "
                                         "one another, but those of the task '"
                                      << name << "' have nothing to do with each other";
    return reported();
  }
  return task;
}

}  // namespace

absl::StatusOr<std::unique_ptr<runtime::Task>> makeTask(const Workspace& workspace,
                                                        const LoadedModel& loaded) {
  return makeTask(workspace, loaded, /*mayBeRandom=*/false);
}

absl::StatusOr<std::unique_ptr<runtime::Task>> makeTaskOrRandom(const Workspace& workspace,
                                                                const LoadedModel& loaded) {
  return makeTask(workspace, loaded, /*mayBeRandom=*/true);
}

}  // namespace weir
