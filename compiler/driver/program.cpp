#include "compiler/driver/program.h"

#include <chrono>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "mlir/Pass/PassManager.h"

#include "compiler/driver/bench/kernel_facts.h"
#include "compiler/driver/command.h"
#include "compiler/driver/flags.h"
#include "compiler/entry_points/arguments.h"
#include "compiler/pipelines/pipelines.h"
#include "compiler/support/phase_times.h"
#include "runtime/device/cpu/isa.h"

namespace weir {

using namespace mlir;

namespace {

double secondsSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

absl::StatusOr<std::vector<IsaLevel>> isaLevels() {
  std::vector<IsaLevel> levels;
  std::string names = absl::GetFlag(FLAGS_isa);
  if (names.empty()) {
    absl::StatusOr<std::string> best = runtime::ChooseIsaLevel("");
    if (!best.ok()) return best.status();
    names = *best;
  }
  for (absl::string_view name : absl::StrSplit(names, ',')) {
    bool found = false;
    for (IsaLevel level : {IsaLevel::Avx2, IsaLevel::Avx512, IsaLevel::Amx}) {
      if (CpuTarget{level}.name() != name) continue;
      levels.push_back(level);
      found = true;
    }
    if (!found)
      return absl::InvalidArgumentError(
          absl::StrCat("--isa can't be '", name, "': there are avx2, avx512 and amx"));
  }
  return levels;
}

absl::StatusOr<OwningOpRef<ModuleOp>> trainingModule(Workspace& workspace,
                                                     const LoadedModel& loaded,
                                                     const runtime::Task& task, bool evaluateOnly,
                                                     Level stopAfter, bool fuse) {
  const runtime::TaskSpec& spec = task.spec();
  if (spec.targets.shape.size() != 2)
    return absl::InvalidArgumentError(
        absl::StrCat("the task's targets must be batch x time, but are ", spec.targets.ToString()));
  TrainingSettings settings;
  settings.batch = spec.targets.shape[0];
  settings.time = spec.targets.shape[1];
  settings.vocabulary = spec.vocabulary;
  settings.evaluateOnly = evaluateOnly;
  settings.stopAfter = stopAfter;
  settings.fuse = fuse;
  ExperimentOp experiment = loaded.experiment;
  ExpandFor what;
  what.segments = spec.segments.has_value();
  what.start = carriesState(experiment);
  OwningOpRef<ModuleOp> own;
  if (what.segments || what.start) {
    absl::StatusOr<OwningOpRef<ModuleOp>> expanded = expand(workspace, loaded, what);
    if (!expanded.ok()) return expanded.status();
    own = *std::move(expanded);
  }
  FailureOr<OwningOpRef<ModuleOp>> module =
      buildTrainingModule(own ? *own : *loaded.expanded, experiment, settings);
  if (failed(module)) return workspace.failed();
  return std::move(*module);
}

absl::StatusOr<OwningOpRef<ModuleOp>> runModule(Workspace& workspace, const LoadedModel& loaded,
                                                const RunSettings& settings, bool segments) {
  OwningOpRef<ModuleOp> packed;
  if (segments) {
    absl::StatusOr<OwningOpRef<ModuleOp>> expanded = expand(workspace, loaded, {true, false});
    if (!expanded.ok()) return expanded.status();
    packed = *std::move(expanded);
  }
  FailureOr<OwningOpRef<ModuleOp>> module =
      buildRunModule(packed ? *packed : *loaded.expanded, settings);
  if (failed(module)) return workspace.failed();
  return std::move(*module);
}

absl::StatusOr<llvm::StringMap<SmallVector<int64_t>>> inputShapes(const LoadedModel& loaded,
                                                                  int64_t batch, int64_t length) {
  func::FuncOp function = loaded.function();
  llvm::StringMap<SmallVector<int64_t>> shapes;
  for (unsigned i = 0; i < function.getNumArguments(); ++i) {
    StringRef name = stringAttr(function.getArgAttr(i, kInputAttr));
    if (name.empty()) continue;
    auto type = dyn_cast<RankedTensorType>(function.getArgument(i).getType());
    if (!type) continue;
    SmallVector<int64_t> shape(type.getShape());
    for (auto [dim, size] : llvm::enumerate(shape)) {
      if (!ShapedType::isDynamic(size)) continue;
      if (dim > 1)
        return absl::InvalidArgumentError(absl::StrCat(
            "input '", name.str(), "' has an open feature size; write it in the model"));
      size = dim == 0 ? batch : length;
    }
    shapes[name] = shape;
  }
  return shapes;
}

absl::StatusOr<Precision> precisionFlag() {
  std::string name = absl::GetFlag(FLAGS_precision);
  std::optional<Precision> precision = symbolizePrecision(name);
  if (!precision)
    return absl::InvalidArgumentError(
        absl::StrCat("--precision can't be '", name, "': there are f32, bf16 and f64"));
  return *precision;
}

absl::Status formKernels(Workspace& workspace, ModuleOp module, bool separate) {
  Phase phase("form kernels");
  PassManager passes(&workspace.context());
  FormKernelsOptions options;
  options.separate = separate;
  addFormKernels(passes, options);
  if (failed(runPasses(passes, module))) return workspace.failed();
  bench::markParts(module);
  return absl::OkStatus();
}

std::string CompileTimes::str() const {
  return absl::StrFormat(
      "%d kernels compiled in %.1f s (lowering %.1f, plan %.1f, code %.1f, link %.1f)",
      program.kernels,
      lowerSeconds + program.planSeconds + program.compileSeconds + program.linkSeconds,
      lowerSeconds, program.planSeconds, program.compileSeconds, program.linkSeconds);
}

void printTiming() {
  if (PhaseTimes::enabled()) std::fputs(PhaseTimes::table().c_str(), stderr);
}

absl::StatusOr<runtime::Program> compileModule(Workspace& workspace, ModuleOp module,
                                               const std::vector<IsaLevel>& levels,
                                               std::map<std::string, std::string> metadata,
                                               CompileTimes* times) {
  auto start = std::chrono::steady_clock::now();
  if (absl::Status status = formKernels(workspace, module); !status.ok()) return status;
  CompileTimes unused;
  if (!times) times = &unused;
  times->lowerSeconds += secondsSince(start);
  ProgramOptions options;
  options.levels = levels;
  options.metadata = std::move(metadata);
  FailureOr<runtime::Program> program = buildProgram(module, options, &times->program);
  if (failed(program)) return workspace.failed();
  return std::move(*program);
}

absl::StatusOr<RunningProgram> startProgram(runtime::Program program) {
  Phase phase("load");
  RunningProgram running;
  absl::StatusOr<std::unique_ptr<runtime::CpuDevice>> device =
      runtime::CpuDevice::Create({absl::GetFlag(FLAGS_isa)});
  if (!device.ok()) return device.status();
  running.device = *std::move(device);
  int threads = absl::GetFlag(FLAGS_threads);
  if (threads < 0) return absl::InvalidArgumentError(absl::StrCat("--threads can't be ", threads));
  absl::StatusOr<std::unique_ptr<runtime::Session>> session =
      runtime::Session::Create(std::move(program), *running.device, {threads});
  if (!session.ok()) return session.status();
  running.session = *std::move(session);
  return running;
}

absl::StatusOr<RunningProgram> startModule(Workspace& workspace, ModuleOp module,
                                           CompileTimes* times,
                                           std::map<std::string, std::string> metadata) {
  absl::StatusOr<std::vector<IsaLevel>> levels = isaLevels();
  if (!levels.ok()) return levels.status();
  absl::StatusOr<runtime::Program> program =
      compileModule(workspace, module, *levels, std::move(metadata), times);
  if (!program.ok()) return program.status();
  return startProgram(*std::move(program));
}

}  // namespace weir
