#include "compiler/driver/program.h"

#include <chrono>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "mlir/Pass/PassManager.h"

#include "compiler/cache/cache_key.h"
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

namespace {

/// Loaded::expanded, or the module of another expansion.
class Expanded {
 public:
  static absl::StatusOr<Expanded> create(Workspace& workspace, const LoadedModel& loaded,
                                         ExpandFor what) {
    Expanded result;
    result.module_ = *loaded.expanded;
    if (!what.segments && !what.start) return result;
    absl::StatusOr<OwningOpRef<ModuleOp>> expanded = expand(workspace, loaded, what);
    if (!expanded.ok()) return expanded.status();
    result.own_ = std::make_shared<OwningOpRef<ModuleOp>>(*std::move(expanded));
    result.module_ = **result.own_;
    return result;
  }
  ModuleOp module() const { return module_; }

 private:
  // Shared, so that functions that keep it can be copied.
  std::shared_ptr<OwningOpRef<ModuleOp>> own_;
  ModuleOp module_;
};

/// How an experiment trains. What is trained on is up to the program's caller, and so is the seed.
std::string identityOf(ExperimentOp experiment) {
  OwningOpRef<ExperimentOp> copy(experiment.clone());
  copy->setSeed(1);
  copy->getTask().erase();
  std::string text;
  llvm::raw_string_ostream stream(text);
  copy->print(stream, OpPrintingFlags().useLocalScope().printGenericOpForm());
  return text;
}

}  // namespace

std::string identityOf(ModuleOp module) {
  std::string text;
  llvm::raw_string_ostream stream(text);
  module.print(stream, OpPrintingFlags().printGenericOpForm());
  return text;
}

absl::StatusOr<ProgramSource> trainingSource(Workspace& workspace, const LoadedModel& loaded,
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
  absl::StatusOr<Expanded> expanded =
      Expanded::create(workspace, loaded, {spec.segments.has_value(), carriesState(experiment)});
  if (!expanded.ok()) return expanded.status();
  ProgramSource source;
  source.identity = absl::StrCat("train ", settings.batch, " ", settings.time, " ",
                                 settings.vocabulary, " ", evaluateOnly, " ", fuse, "\n",
                                 identityOf(experiment), "\n", identityOf(expanded->module()));
  source.module = [&workspace, experiment, settings,
                   expanded = *expanded]() -> absl::StatusOr<OwningOpRef<ModuleOp>> {
    FailureOr<OwningOpRef<ModuleOp>> module =
        buildTrainingModule(expanded.module(), experiment, settings);
    if (failed(module)) return workspace.failed();
    return std::move(*module);
  };
  return source;
}

absl::StatusOr<OwningOpRef<ModuleOp>> trainingModule(Workspace& workspace,
                                                     const LoadedModel& loaded,
                                                     const runtime::Task& task, bool evaluateOnly,
                                                     Level stopAfter, bool fuse) {
  absl::StatusOr<ProgramSource> source =
      trainingSource(workspace, loaded, task, evaluateOnly, stopAfter, fuse);
  if (!source.ok()) return source.status();
  return source->module();
}

absl::StatusOr<ProgramSource> runSource(Workspace& workspace, const LoadedModel& loaded,
                                        const RunSettings& settings, bool segments) {
  absl::StatusOr<Expanded> expanded = Expanded::create(workspace, loaded, {segments, false});
  if (!expanded.ok()) return expanded.status();
  ProgramSource source;
  source.identity =
      absl::StrCat("run ", stringifyPrecision(settings.precision).str(), " ", settings.gradients,
                   " ", settings.separate, " ", settings.stepContext.value_or(-1), "\n");
  std::map<std::string, std::string> shapes;
  for (const auto& shape : settings.inputShapes)
    shapes[shape.getKey().str()] = absl::StrJoin(shape.getValue(), "x");
  absl::StrAppend(&source.identity, absl::StrJoin(shapes, " ", absl::PairFormatter("=")), "\n",
                  identityOf(expanded->module()));
  source.module = [&workspace, settings,
                   expanded = *expanded]() -> absl::StatusOr<OwningOpRef<ModuleOp>> {
    FailureOr<OwningOpRef<ModuleOp>> module = buildRunModule(expanded.module(), settings);
    if (failed(module)) return workspace.failed();
    return std::move(*module);
  };
  return source;
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
  if (isFromCache)
    return absl::StrFormat("%d kernels from the cache in %.2f s", program.kernels, seconds);
  std::string known;
  if (program.kernelsFromCache > 0)
    known = absl::StrCat(program.kernelsFromCache, " from the cache; ");
  return absl::StrFormat(
      "%d kernels compiled in %.1f s (%slowering %.1f, plan %.1f, code %.1f, link %.1f)",
      program.kernels, seconds, known, lowerSeconds, program.planSeconds, program.compileSeconds,
      program.linkSeconds);
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
  options.cache = workspace.cache();
  options.metadata = std::move(metadata);
  FailureOr<runtime::Program> program = buildProgram(module, options, &times->program);
  if (failed(program)) return workspace.failed();
  times->seconds += secondsSince(start);
  return std::move(*program);
}

namespace {

std::string keyOf(const ProgramSource& source, const std::vector<IsaLevel>& levels) {
  CacheKey key("program");
  key.add(source.identity);
  for (IsaLevel level : levels) key.add(CpuTarget{level}.name());
  return key.str();
}

/// The program, if the cache has it.
std::optional<runtime::Program> cachedProgram(Cache& cache, const std::string& key) {
  Phase phase("read the cache");
  std::optional<std::string> bytes = cache.find(key);
  if (!bytes) return std::nullopt;
  absl::StatusOr<runtime::Program> program = runtime::ParseProgram(*bytes, cache.directory());
  return program.ok() ? std::optional(*std::move(program)) : std::nullopt;
}

}  // namespace

absl::StatusOr<runtime::Program> compileSource(Workspace& workspace, const ProgramSource& source,
                                               const std::vector<IsaLevel>& levels,
                                               std::map<std::string, std::string> metadata,
                                               CompileTimes* times) {
  auto start = std::chrono::steady_clock::now();
  CompileTimes unused;
  if (!times) times = &unused;
  Cache* cache = workspace.cache();
  std::string key = cache ? keyOf(source, levels) : "";
  std::optional<runtime::Program> known = cache ? cachedProgram(*cache, key) : std::nullopt;
  if (known) {
    times->isFromCache = true;
    times->program.kernels = static_cast<int64_t>(known->kernels.size());
    times->seconds += secondsSince(start);
    known->metadata.insert(metadata.begin(), metadata.end());
    return *std::move(known);
  }
  absl::StatusOr<OwningOpRef<ModuleOp>> module = source.module();
  if (!module.ok()) return module.status();
  absl::StatusOr<ProgramSource::Facts> facts = ProgramSource::Facts();
  if (source.facts) facts = source.facts(**module);
  if (!facts.ok()) return facts.status();
  double before = secondsSince(start);
  times->lowerSeconds += before;
  times->seconds += before;
  absl::StatusOr<runtime::Program> program =
      compileModule(workspace, **module, levels, *std::move(facts), times);
  if (!program.ok()) return program.status();
  if (cache) cache->insert(key, runtime::SerializeProgram(*program));
  program->metadata.insert(metadata.begin(), metadata.end());
  return program;
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

absl::StatusOr<RunningProgram> startSource(Workspace& workspace, const ProgramSource& source,
                                           CompileTimes* times,
                                           std::map<std::string, std::string> metadata) {
  absl::StatusOr<std::vector<IsaLevel>> levels = isaLevels();
  if (!levels.ok()) return levels.status();
  absl::StatusOr<runtime::Program> program =
      compileSource(workspace, source, *levels, std::move(metadata), times);
  if (!program.ok()) return program.status();
  return startProgram(*std::move(program));
}

}  // namespace weir
