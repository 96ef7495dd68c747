// weir bench: how long a step takes, and how long it would have to.

#include <cstdio>

#include "absl/strings/str_cat.h"
#include "llvm/Support/raw_ostream.h"

#include "compiler/driver/bench/report.h"
#include "compiler/driver/command.h"
#include "compiler/driver/flags.h"
#include "runtime/base/file.h"

namespace weir {

namespace {

std::string text(llvm::json::Object object) {
  std::string written;
  llvm::raw_string_ostream(written)
      << llvm::formatv("{0:2}", llvm::json::Value(std::move(object))) << "\n";
  return written;
}

absl::StatusOr<bench::MeasureSettings> settingsFromFlags() {
  bench::MeasureSettings settings;
  settings.warmup = absl::GetFlag(FLAGS_warmup);
  settings.repeats = absl::GetFlag(FLAGS_repeats);
  settings.kernels = absl::GetFlag(FLAGS_kernels) || !absl::GetFlag(FLAGS_trace).empty();
  std::string clock = absl::GetFlag(FLAGS_clock);
  if (clock != "wall" && clock != "cpu")
    return absl::InvalidArgumentError(
        absl::StrCat("--clock can't be '", clock, "': there are wall and cpu"));
  if (clock == "cpu" && absl::GetFlag(FLAGS_threads) != 1)
    return absl::InvalidArgumentError(
        "--clock=cpu adds up the time of all threads, so it needs --threads=1");
  if (clock == "cpu") settings.clock = bench::ClockKind::Processor;
  if (settings.warmup < 1 || settings.repeats < 1)
    return absl::InvalidArgumentError("--warmup and --repeats must be at least 1");
  return settings;
}

absl::Status run(const Arguments& arguments) {
  absl::StatusOr<bench::MeasureSettings> settings = settingsFromFlags();
  if (!settings.ok()) return settings.status();
  absl::StatusOr<std::unique_ptr<Workspace>> workspace = Workspace::create();
  if (!workspace.ok()) return workspace.status();
  absl::StatusOr<std::unique_ptr<bench::Subject>> subject =
      bench::prepare(**workspace, arguments[0]);
  if (!subject.ok()) return subject.status();
  absl::StatusOr<bench::Measured> measured = bench::measure(**workspace, **subject, *settings);
  if (!measured.ok()) return measured.status();

  bench::Result result = bench::resultOf(**subject, *measured);
  std::vector<bench::KernelLine> kernels;
  if (absl::GetFlag(FLAGS_kernels)) kernels = bench::kernelLines(**subject, *measured, result);
  if (absl::GetFlag(FLAGS_json)) {
    llvm::json::Object object = bench::resultJson(arguments[0], **subject, *measured, result);
    if (!kernels.empty()) object["kernels"] = bench::kernelJson(kernels);
    std::fputs(text(std::move(object)).c_str(), stdout);
  } else {
    bench::printResult(arguments[0], **subject, *measured, result);
    if (!kernels.empty()) bench::printKernelLines(kernels);
  }
  std::string trace = absl::GetFlag(FLAGS_trace);
  if (trace.empty()) return absl::OkStatus();
  std::string events = text(bench::traceJson(**subject, *measured, result));
  return runtime::WriteFileAtomically(trace, {events});
}

}  // namespace

Command benchCommand() {
  return {"bench",
          "MODEL",
          "times a step, with the least time that the machine would need for it",
          "--entry says what is run: train_step (the default where the file has an experiment), "
          "eval,\n"
          "step (a token of a stream, for --batch rows: 1) or prefill (--chunk tokens of one). "
          "The\n"
          "data is the task's, or random tokens where it has no file. The machine's rates are "
          "measured\n"
          "between the runs, in the same process and on as many threads. docs/bench.md says what "
          "the\n"
          "floor is.",
          "weir bench models/lm_mingru.mlir --threads=1\n"
          "weir bench models/lm_flash.mlir --set length=4096 --set batch=2 --kernels\n"
          "weir bench models/lm_mingru.mlir --entry=step --json\n"
          "weir bench models/lm_gau.mlir --trace=step.json",
          {"entry", "warmup",       "repeats", "clock",      "kernels", "json",      "trace",
           "set",   "data",         "batch",   "chunk",      "context", "precision", "threads",
           "isa",   "matrix_chunk", "plugin",  "experiment", "model",   "cache"},
          1,
          1,
          run};
}

}  // namespace weir
