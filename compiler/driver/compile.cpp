// weir compile: any level of a model on its way to machine code, or the program as a file.

#include <algorithm>
#include <cstdio>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "llvm/Support/raw_ostream.h"

#include "compiler/conversion/cpu/compile_kernel.h"
#include "compiler/driver/command.h"
#include "compiler/driver/flags.h"
#include "compiler/driver/load.h"
#include "compiler/driver/program.h"
#include "compiler/driver/stream.h"
#include "compiler/transforms/plan.h"

namespace weir {

namespace {

/// In the order of the compiler.
const char* const kLevels[] = {"expanded",  "specialized", "sequence", "differentiated",
                               "optimized", "dispatched",  "planned",  "tiled",
                               "kernels",   "llvm",        "asm"};

int levelNumber(const std::string& name) {
  auto it = std::find(std::begin(kLevels), std::end(kLevels), name);
  return it == std::end(kLevels) ? -1 : static_cast<int>(it - std::begin(kLevels));
}

/// Where the building of entry points stops for one of kLevels.
Level buildLevel(const std::string& name) {
  if (name == "expanded") return Level::Expanded;
  if (name == "specialized") return Level::Specialized;
  if (name == "sequence") return Level::Sequence;
  if (name == "differentiated") return Level::Differentiated;
  return Level::Optimized;
}

void printModule(mlir::ModuleOp module) {
  std::string text;
  llvm::raw_string_ostream(text) << module << "\n";
  std::fputs(text.c_str(), stdout);
}

using Metadata = std::map<std::string, std::string>;

/// The vocabulary that a program for streams carries: that of --checkpoint, or of the data if they
/// are given; a program can do without.
absl::StatusOr<runtime::Vocabulary> vocabularyIfKnown(Workspace& workspace,
                                                      const LoadedModel& loaded) {
  std::string checkpoint = absl::GetFlag(FLAGS_checkpoint);
  if (!checkpoint.empty() || (isGiven("data") && loaded.experiment))
    return vocabularyOf(workspace, loaded, checkpoint);
  return runtime::Vocabulary();
}

absl::StatusOr<ProgramSource> streamEntryPoints(Workspace& workspace, const LoadedModel& loaded,
                                                Level level, Metadata& metadata) {
  absl::StatusOr<StreamSettings> settings = streamSettings(loaded);
  if (!settings.ok()) return settings.status();
  if (absl::GetFlag(FLAGS_batch) > 0) settings->batch = absl::GetFlag(FLAGS_batch);
  settings->chunk = absl::GetFlag(FLAGS_chunk);
  settings->segments = absl::GetFlag(FLAGS_segments);
  settings->stopAfter = level;
  absl::StatusOr<runtime::Vocabulary> vocabulary = vocabularyIfKnown(workspace, loaded);
  if (!vocabulary.ok()) return vocabulary.status();
  metadata = streamMetadata(loaded, *vocabulary);
  return streamSource(workspace, loaded, *settings);
}

/// The entry points of `train`, `run` or `stream`, and what their program says of itself.
absl::StatusOr<ProgramSource> entryPoints(Workspace& workspace, const LoadedModel& loaded,
                                          Level level, Metadata& metadata) {
  std::string entry = absl::GetFlag(FLAGS_entry);
  if (entry.empty()) entry = loaded.experiment ? "train" : "run";
  metadata = {{"experiment", loaded.text()}};
  if (entry == "stream") return streamEntryPoints(workspace, loaded, level, metadata);
  if (entry == "train") {
    // A level can be shown without the data; a program says which byte each token stands for.
    bool isProgram = !absl::GetFlag(FLAGS_emit).empty();
    absl::StatusOr<std::unique_ptr<runtime::Task>> task =
        isProgram ? makeTask(workspace, loaded) : makeTaskOrRandom(workspace, loaded);
    if (!task.ok()) return task.status();
    (*task)->spec().text.AddTo(&metadata);
    return trainingSource(workspace, loaded, **task, /*evaluateOnly=*/false, level);
  }
  if (entry != "run")
    return absl::InvalidArgumentError(
        absl::StrCat("--entry can't be '", entry, "': there are train, run and stream"));
  RunSettings settings;
  int64_t batch = absl::GetFlag(FLAGS_batch), length = absl::GetFlag(FLAGS_length);
  auto shapes = inputShapes(loaded, batch > 0 ? batch : 1, length > 0 ? length : 128);
  if (!shapes.ok()) return shapes.status();
  absl::StatusOr<Precision> precision = precisionFlag();
  if (!precision.ok()) return precision.status();
  settings.inputShapes = *std::move(shapes);
  settings.precision = *precision;
  settings.gradients = true;
  settings.stopAfter = level;
  return runSource(workspace, loaded, settings);
}

/// The code of the kernels that are launched, as text.
absl::Status printKernels(Workspace& workspace, mlir::ModuleOp module, const ModulePlan& plan,
                          const std::string& level) {
  absl::StatusOr<std::vector<IsaLevel>> levels = isaLevels();
  if (!levels.ok()) return levels.status();
  KernelText text = level == "tiled"     ? KernelText::Tiled
                    : level == "kernels" ? KernelText::Emitted
                    : level == "llvm"    ? KernelText::LlvmIr
                                         : KernelText::Assembly;
  std::string wanted = absl::GetFlag(FLAGS_kernel);
  std::set<std::string> seen;
  for (const PlannedEntry& entry : plan.entries) {
    for (const PlannedLaunch& launch : entry.launches) {
      LaunchOp op = launch.op;
      std::string name = op.getKernel().str();
      if (!seen.insert(name).second || (!wanted.empty() && name != wanted)) continue;
      auto kernel = module.lookupSymbol<mlir::func::FuncOp>(name);
      mlir::FailureOr<std::string> printed = printKernel(kernel, levels->front(), text);
      if (mlir::failed(printed)) return workspace.failed();
      std::printf("%s\n", printed->c_str());
    }
  }
  if (!wanted.empty() && seen.count(wanted) == 0)
    return absl::NotFoundError(
        absl::StrCat("there is no kernel '", wanted, "'; there are ", absl::StrJoin(seen, ", ")));
  return absl::OkStatus();
}

absl::Status printLevel(Workspace& workspace, const LoadedModel& loaded, const std::string& level) {
  int number = levelNumber(level);
  if (number == 0) {
    printModule(*loaded.expanded);
    return absl::OkStatus();
  }
  Metadata unused;
  absl::StatusOr<ProgramSource> source = entryPoints(workspace, loaded, buildLevel(level), unused);
  if (!source.ok()) return source.status();
  auto module = source->module();
  if (!module.ok()) return module.status();
  if (number >= levelNumber("dispatched")) {
    if (absl::Status status = formKernels(workspace, **module); !status.ok()) return status;
  }
  if (number <= levelNumber("dispatched")) {
    printModule(**module);
    return absl::OkStatus();
  }
  mlir::FailureOr<ModulePlan> plan = planModule(**module);
  if (mlir::failed(plan)) return workspace.failed();
  if (level != "planned") return printKernels(workspace, **module, *plan, level);
  printModule(**module);
  return absl::OkStatus();
}

absl::Status emitProgram(Workspace& workspace, const LoadedModel& loaded) {
  std::string out = absl::GetFlag(FLAGS_out);
  if (out.empty())
    return absl::InvalidArgumentError("--emit=program needs --out=FILE, where the program goes");
  absl::StatusOr<std::vector<IsaLevel>> levels = isaLevels();
  if (!levels.ok()) return levels.status();
  Metadata metadata;
  absl::StatusOr<ProgramSource> source = entryPoints(workspace, loaded, Level::Optimized, metadata);
  if (!source.ok()) return source.status();
  CompileTimes times;
  absl::StatusOr<runtime::Program> program =
      compileSource(workspace, *source, *levels, std::move(metadata), &times);
  if (!program.ok()) return program.status();
  if (absl::Status status = runtime::SaveProgram(*program, out); !status.ok()) return status;
  std::printf("%s: %s\n", out.c_str(), times.str().c_str());
  printTiming();
  return absl::OkStatus();
}

absl::Status run(const Arguments& arguments) {
  std::string level = absl::GetFlag(FLAGS_stop_after), emit = absl::GetFlag(FLAGS_emit);
  if (level.empty() == emit.empty())
    return absl::InvalidArgumentError(
        "'weir compile' needs either --stop-after=LEVEL, to print a level, or --emit=program");
  if (!emit.empty() && emit != "program")
    return absl::InvalidArgumentError(
        absl::StrCat("--emit can't be '", emit, "': there is program"));
  if (!level.empty() && levelNumber(level) < 0)
    return absl::InvalidArgumentError(absl::StrCat(
        "--stop-after can't be '", level, "': the levels are ", absl::StrJoin(kLevels, ", ")));
  absl::StatusOr<std::unique_ptr<Workspace>> workspace = Workspace::create();
  if (!workspace.ok()) return workspace.status();
  absl::StatusOr<LoadedModel> loaded = loadModel(**workspace, arguments[0]);
  if (!loaded.ok()) return loaded.status();
  return emit.empty() ? printLevel(**workspace, *loaded, level) : emitProgram(**workspace, *loaded);
}

}  // namespace

Command compileCommand() {
  return {
      "compile",
      "MODEL --stop-after=LEVEL | --emit=program --out=FILE",
      "shows any level of a model down to assembly, or saves the program",
      "Without an experiment in the file, or with --entry=run, it compiles `run` and\n"
      "`gradients` for --batch and --length. --entry=stream makes a program that goes on token by\n"
      "token: `reset`, `step` and, for --chunk tokens at once, `prefill`, for --batch rows (1);\n"
      "with --checkpoint or --data it also knows which byte each token stands for.",
      "weir compile models/selective_copy_mingru.mlir --stop-after=expanded\n"
      "weir compile models/selective_copy_mingru.mlir --stop-after=asm --isa=avx512\n"
      "weir compile models/selective_copy_mingru.mlir --emit=program --isa=avx2,avx512 "
      "--out=copy.weir\n"
      "weir compile runs/shakespeare/experiment.mlir --entry=stream --emit=program "
      "--checkpoint=runs/shakespeare/best.safetensors --out=shakespeare.weir",
      {"stop_after", "emit",       "out",     "entry",    "kernel",     "batch",
       "length",     "chunk",      "context", "segments", "checkpoint", "precision",
       "set",        "steps",      "seed",    "data",     "isa",        "matrix_chunk",
       "plugin",     "experiment", "model",   "timing",   "cache"},
      1,
      1,
      run};
}

}  // namespace weir
