// weir train: the compiled step, run on a task's batches.

#include <algorithm>
#include <cstdio>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

#include "compiler/driver/command.h"
#include "compiler/driver/diagnose.h"
#include "compiler/driver/flags.h"
#include "compiler/driver/load.h"
#include "compiler/driver/program.h"
#include "runtime/training/loop.h"
#include "runtime/training/progress.h"

namespace weir {

namespace {

absl::StatusOr<runtime::TrainingOptions> trainingOptions(const LoadedModel& loaded) {
  runtime::TrainingOptions options;
  ExperimentOp experiment = loaded.experiment;
  options.seed = static_cast<int64_t>(experiment.getSeed());
  mlir::DictionaryAttr settings = experiment.getTrain().getSettings();
  auto whole = [&](llvm::StringRef name, int64_t otherwise) {
    return static_cast<int64_t>(getNumber(settings, name, static_cast<double>(otherwise)));
  };
  options.steps = whole("steps", 0);
  options.eval_every = whole("eval_every", options.eval_every);
  options.patience = whole("patience", options.patience);
  options.log_every = whole("log_every", options.log_every);
  options.checkpoint_seconds =
      getNumber(settings, "checkpoint_seconds", options.checkpoint_seconds);
  options.directory = absl::GetFlag(FLAGS_out);
  options.resume = absl::GetFlag(FLAGS_resume);
  options.experiment = loaded.text();
  options.progress = absl::GetFlag(FLAGS_quiet) ? nullptr : stderr;
  if (options.resume && options.directory.empty())
    return absl::InvalidArgumentError("--resume needs --out, the folder of the run to go on with");
  return options;
}

std::string accuracies(const runtime::EvaluationResult& result) {
  std::string text;
  if (result.accuracy) absl::StrAppendFormat(&text, ", accuracy %.2f %%", *result.accuracy * 100);
  if (result.sequence_accuracy)
    absl::StrAppendFormat(&text, ", whole sequences %.2f %%", *result.sequence_accuracy * 100);
  return text;
}

void report(const runtime::TrainingResult& result, const runtime::TrainingOptions& options) {
  const char* how = result.interrupted     ? "interrupted"
                    : result.stopped_early ? "stopped for lack of gain"
                                           : "done";
  std::printf("%s after %lld steps, %s", how, static_cast<long long>(result.steps),
              runtime::HumanDuration(result.seconds).c_str());
  if (result.last_evaluation) {
    std::printf("; held-out loss %.4f%s", result.last_evaluation->loss,
                accuracies(*result.last_evaluation).c_str());
  }
  if (result.best_loss)
    std::printf("; best loss %.4f at step %lld", *result.best_loss,
                static_cast<long long>(result.best_step));
  std::printf("\n");
  if (!options.directory.empty()) std::printf("%s\n", options.directory.c_str());
}

/// The time of each kernel of an entry point.
class Profile {
 public:
  void watch(runtime::Session& session) {
    session.SetObserver([this](const runtime::LaunchTime& time) {
      Times& times = kernels_[{std::string(time.entry_point), std::string(time.kernel)}];
      times.seconds += time.seconds;
      ++times.launches;
      total_ += time.seconds;
    });
  }

  void print() const {
    std::vector<std::pair<Key, Times>> sorted(kernels_.begin(), kernels_.end());
    std::stable_sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) {
      return a.second.seconds > b.second.seconds;
    });
    std::printf("%8s %7s %9s  kernel\n", "seconds", "share", "launches");
    for (const auto& [key, times] : sorted)
      std::printf("%8.3f %5.1f %% %9lld  %s of %s\n", times.seconds, 100 * times.seconds / total_,
                  static_cast<long long>(times.launches), key.second.c_str(), key.first.c_str());
  }

 private:
  using Key = std::pair<std::string, std::string>;  // entry point, kernel
  struct Times {
    double seconds = 0;
    int64_t launches = 0;
  };
  std::map<Key, Times> kernels_;
  double total_ = 0;
};

absl::Status run(const Arguments& arguments) {
  absl::StatusOr<std::unique_ptr<Workspace>> workspace = Workspace::create();
  if (!workspace.ok()) return workspace.status();
  absl::StatusOr<LoadedModel> loaded = loadModel(**workspace, arguments[0]);
  if (!loaded.ok()) return loaded.status();
  absl::StatusOr<std::unique_ptr<runtime::Task>> task = makeTask(**workspace, *loaded);
  if (!task.ok()) return task.status();
  absl::StatusOr<runtime::TrainingOptions> options = trainingOptions(*loaded);
  if (!options.ok()) return options.status();

  auto source = trainingSource(**workspace, *loaded, **task, /*evaluateOnly=*/false);
  if (!source.ok()) return source.status();
  CompileTimes times;
  absl::StatusOr<RunningProgram> program = startSource(**workspace, *source, &times);
  if (!program.ok()) return program.status();
  if (options->progress) std::fprintf(options->progress, "%s\n", times.str().c_str());
  printTiming();

  options->explain = [&](absl::Span<const runtime::HostTensor> inputs) {
    absl::StatusOr<std::string> found =
        findFirstNonFinite(**workspace, *loaded, **task, *program->session, inputs);
    return found.ok() ? *found : std::string(found.status().message());
  };
  Profile profile;
  if (absl::GetFlag(FLAGS_profile)) profile.watch(*program->session);
  absl::StatusOr<runtime::TrainingResult> result =
      runtime::Train(*program->session, **task, *options);
  if (!result.ok()) return result.status();
  report(*result, *options);
  if (absl::GetFlag(FLAGS_profile)) profile.print();
  if (!result->interrupted) return absl::OkStatus();
  return absl::CancelledError(
      options->directory.empty() ? "interrupted" : "interrupted; --resume goes on from here");
}

}  // namespace

Command trainCommand() {
  return {"train",
          "MODEL [--out=DIR]",
          "trains the model of a file as its experiment says",
          "DIR receives metrics.jsonl, experiment.mlir (all settings, repeats the run),\n"
          "checkpoint.safetensors (to go on from with --resume) and best.safetensors.",
          "weir train models/selective_copy_mingru.mlir --out=runs/copy --steps=2000\n"
          "weir train models/shakespeare_mingru.mlir --data=shakespeare.txt --set "
          "optimizer.lr=5e-4\n"
          "weir train models/selective_copy_mingru.mlir --out=runs/copy --resume",
          {"out", "resume", "set", "steps", "seed", "data", "threads", "isa", "matrix_chunk",
           "plugin", "experiment", "model", "quiet", "profile", "timing", "cache"},
          1,
          1,
          run};
}

}  // namespace weir
