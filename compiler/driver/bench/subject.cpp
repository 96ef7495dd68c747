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

absl::StatusOr<EntryModule> entryModule(Workspace& workspace, const LoadedModel& loaded,
                                        const std::string& entry) {
  EntryModule made;
  if (isStream(entry)) {
    if (absl::Status status = checkReadsText(loaded); !status.ok()) return status;
    absl::StatusOr<StreamSettings> settings = streamSettings(loaded);
    if (!settings.ok()) return settings.status();
    if (isGiven("batch")) settings->batch = absl::GetFlag(FLAGS_batch);
    settings->chunk = entry == "prefill" ? absl::GetFlag(FLAGS_chunk) : 0;
    if (settings->batch <= 0 || (entry == "prefill" && settings->chunk <= 0))
      return absl::InvalidArgumentError("--batch and --chunk must be above 0");
    auto module = streamModule(workspace, loaded, *settings);
    if (!module.ok()) return module.status();
    made.module = *std::move(module);
    made.batch = settings->batch;
    made.length = entry == "prefill" ? settings->chunk : 1;
    made.precision = settings->precision;
    return made;
  }
  absl::StatusOr<std::unique_ptr<runtime::Task>> task = makeTaskOrRandom(workspace, loaded);
  if (!task.ok()) return task.status();
  auto module = trainingModule(workspace, loaded, **task, /*evaluateOnly=*/entry == "eval");
  if (!module.ok()) return module.status();
  made.module = *std::move(module);
  made.batch = (*task)->spec().targets.shape[0];
  made.length = (*task)->spec().targets.shape[1];
  made.precision = ExperimentOp(loaded.experiment).getPrecision();
  made.task = *std::move(task);
  return made;
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
  absl::StatusOr<EntryModule> made = entryModule(workspace, subject->loaded, *entry);
  if (!made.ok()) return made.status();
  subject->module = std::move(made->module);
  subject->batch = made->batch;
  subject->length = made->length;
  subject->precision = made->precision;
  double residuals = residualBytes(*subject->module);
  absl::StatusOr<RunningProgram> program =
      startModule(workspace, *subject->module, &subject->times);
  if (!program.ok()) return program.status();
  subject->program = *std::move(program);
  subject->compileSeconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();

  if (absl::Status status = initialize(*subject->program.session); !status.ok()) return status;
  if (absl::Status status = fillInputs(*subject, made->task.get()); !status.ok()) return status;
  subject->launches = launchesOf(*subject->module, *entry);
  const runtime::Program& loadedProgram = subject->program.session->program();
  subject->floor = floorOf({subject->loaded, *entry, static_cast<double>(subject->batch),
                            static_cast<double>(subject->length), subject->precision, residuals,
                            *subject->module, loadedProgram.variables,
                            loadedProgram.FindEntryPoint(*entry)->inputs});
  return subject;
}

}  // namespace weir::bench
