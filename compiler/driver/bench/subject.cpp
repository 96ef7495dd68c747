#include "compiler/driver/bench/subject.h"

#include <chrono>

#include "absl/strings/str_cat.h"

#include "compiler/driver/flags.h"
#include "compiler/driver/stream.h"
#include "runtime/data/random.h"
#include "runtime/training/checkpoint.h"
#include "runtime/training/evaluate.h"

namespace weir::bench {

using namespace mlir;

namespace {

bool isStream(const std::string& entry) { return entry == "step" || entry == "prefill"; }

/// Random tokens for inputs of whole numbers, below the features of the model's output; what else a
/// stream takes is zero.
absl::Status fillRandom(Subject& subject) {
  auto type = dyn_cast<RankedTensorType>(subject.loaded.function().getResultTypes().front());
  int64_t vocabulary = type && type.getRank() > 0 ? type.getShape().back() : 0;
  const runtime::EntryPoint* entry =
      subject.program.session->program().FindEntryPoint(subject.entry);
  for (const runtime::TensorSpec& spec : entry->inputs) {
    runtime::HostTensor input(spec);
    bool isTokens = spec.type == runtime::ElementType::kI32 && spec.name != "segments";
    if (isTokens && vocabulary <= 0)
      return absl::InvalidArgumentError("the model's output doesn't say how many tokens there are");
    runtime::RandomSequence random(0, 0, 0);
    for (int64_t i = 0; isTokens && i < spec.NumElements(); ++i)
      input.SetNumber(i, static_cast<double>(random.Below(vocabulary)));
    subject.inputs.push_back(std::move(input));
  }
  return absl::OkStatus();
}

absl::Status fillInputs(Subject& subject, const runtime::Task* task) {
  if (!task) return fillRandom(subject);
  absl::StatusOr<runtime::BatchFeeder> feeder =
      runtime::BatchFeeder::Create(*subject.program.session, subject.entry, *task);
  if (!feeder.ok()) return feeder.status();
  subject.batch *= feeder->batches();
  absl::Status status =
      subject.entry == "eval" ? feeder->FillEval(0) : feeder->FillTrain(/*seed=*/1, /*call=*/0);
  subject.inputs = feeder->inputs();
  return status;
}

absl::Status initialize(runtime::Session& session) {
  if (absl::Status status = runtime::InitializeVariables(session, /*seed=*/1); !status.ok())
    return status;
  if (!session.HasEntryPoint("reset")) return absl::OkStatus();
  std::vector<runtime::HostTensor> none;
  return session.Run("reset", {}, &none);
}

}  // namespace

absl::StatusOr<std::string> entryName(const LoadedModel& loaded) {
  std::string entry = absl::GetFlag(FLAGS_entry);
  if (entry.empty()) entry = loaded.experiment ? "train_step" : "step";
  if (entry != "train_step" && entry != "eval" && !isStream(entry))
    return absl::InvalidArgumentError(absl::StrCat(
        "--entry can't be '", entry, "': there are train_step, eval, step and prefill"));
  return entry;
}

absl::StatusOr<EntrySource> entrySource(Workspace& workspace, const LoadedModel& loaded,
                                        const std::string& entry) {
  EntrySource made;
  if (isStream(entry)) {
    if (absl::Status status = checkReadsText(loaded); !status.ok()) return status;
    absl::StatusOr<StreamSettings> settings = streamSettings(loaded);
    if (!settings.ok()) return settings.status();
    if (isGiven("batch")) settings->batch = absl::GetFlag(FLAGS_batch);
    settings->chunk = entry == "prefill" ? absl::GetFlag(FLAGS_chunk) : 0;
    if (settings->batch <= 0 || (entry == "prefill" && settings->chunk <= 0))
      return absl::InvalidArgumentError("--batch and --chunk must be above 0");
    auto source = streamSource(workspace, loaded, *settings);
    if (!source.ok()) return source.status();
    made.program = *std::move(source);
    made.batch = settings->batch;
    made.length = entry == "prefill" ? settings->chunk : 1;
    made.precision = settings->precision;
    return made;
  }
  absl::StatusOr<std::unique_ptr<runtime::Task>> task = makeTaskOrRandom(workspace, loaded);
  if (!task.ok()) return task.status();
  auto source = trainingSource(workspace, loaded, **task, /*evaluateOnly=*/entry == "eval");
  if (!source.ok()) return source.status();
  made.program = *std::move(source);
  made.batch = (*task)->spec().targets.shape[0];
  made.length = (*task)->spec().targets.shape[1];
  made.precision = ExperimentOp(loaded.experiment).getPrecision();
  made.task = *std::move(task);
  return made;
}

absl::StatusOr<PlannedModule> planSource(Workspace& workspace, const ProgramSource& source) {
  PlannedModule planned;
  auto module = source.module();
  if (!module.ok()) return module.status();
  planned.module = *std::move(module);
  planned.residuals = residualBytes(*planned.module);
  if (absl::Status status = formKernels(workspace, *planned.module); !status.ok()) return status;
  FailureOr<ModulePlan> plan = planModule(*planned.module);
  if (failed(plan)) return workspace.failed();
  planned.plan = std::move(*plan);
  return planned;
}

Work floorOf(const LoadedModel& loaded, const EntrySource& source, const PlannedModule& planned,
             const std::string& entry) {
  for (const PlannedEntry& point : planned.plan.entries) {
    if (point.name != entry) continue;
    return floorOf({loaded, entry, static_cast<double>(source.batch),
                    static_cast<double>(source.length), source.precision, planned.residuals,
                    *planned.module, planned.plan.shared.variables, point.inputs});
  }
  return {};
}

absl::StatusOr<std::unique_ptr<Subject>> prepare(Workspace& workspace, const std::string& file) {
  auto start = std::chrono::steady_clock::now();
  auto subject = std::make_unique<Subject>();
  absl::StatusOr<LoadedModel> loaded = loadModel(workspace, file);
  if (!loaded.ok()) return loaded.status();
  subject->loaded = *std::move(loaded);
  absl::StatusOr<std::string> entry = entryName(subject->loaded);
  if (!entry.ok()) return entry.status();
  subject->entry = *entry;
  absl::StatusOr<EntrySource> made = entrySource(workspace, subject->loaded, *entry);
  if (!made.ok()) return made.status();
  absl::StatusOr<RunningProgram> program = startSource(workspace, made->program, &subject->times);
  if (!program.ok()) return program.status();
  subject->program = *std::move(program);
  subject->compileSeconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();

  subject->batch = made->batch;
  subject->length = made->length;
  subject->precision = made->precision;
  if (absl::Status status = initialize(*subject->program.session); !status.ok()) return status;
  if (absl::Status status = fillInputs(*subject, made->task.get()); !status.ok()) return status;
  // A step may read several of the task's batches.
  made->batch = subject->batch;
  absl::StatusOr<PlannedModule> planned = planSource(workspace, made->program);
  if (!planned.ok()) return planned.status();
  subject->planned = *std::move(planned);
  subject->launches = launchesOf(*subject->planned.module, *entry);
  size_t launched = subject->program.session->program().FindEntryPoint(*entry)->launches.size();
  if (subject->launches.size() != launched)
    return absl::InternalError(absl::StrCat("the program has ", launched, " launches, its plan ",
                                            subject->launches.size()));
  subject->floor = floorOf(subject->loaded, *made, subject->planned, *entry);
  return subject;
}

}  // namespace weir::bench
