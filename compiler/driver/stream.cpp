#include "compiler/driver/stream.h"

#include "absl/strings/str_cat.h"
#include "llvm/Support/raw_ostream.h"

#include "compiler/driver/command.h"
#include "compiler/driver/flags.h"
#include "compiler/driver/program.h"
#include "compiler/driver/states.h"
#include "compiler/entry_points/arguments.h"
#include "compiler/transforms/step_form.h"
#include "runtime/base/checksum.h"
#include "runtime/generation/run.h"
#include "runtime/streaming/fingerprint.h"
#include "runtime/training/checkpoint.h"

namespace weir {

using namespace mlir;

namespace {

/// A whole number among the settings of the experiment's task, or nothing.
std::optional<int64_t> taskSetting(const LoadedModel& loaded, StringRef name) {
  ExperimentOp experiment = loaded.experiment;
  if (!experiment) return std::nullopt;
  auto value = experiment.getTaskSettings().getAs<IntegerAttr>(name);
  return value ? std::optional<int64_t>(value.getInt()) : std::nullopt;
}

}  // namespace

absl::StatusOr<StreamSettings> streamSettings(const LoadedModel& loaded) {
  StreamSettings settings;
  settings.context = absl::GetFlag(FLAGS_context);
  if (settings.context < 0)
    return absl::InvalidArgumentError(absl::StrCat("--context can't be ", settings.context));
  if (settings.context == 0) settings.context = taskSetting(loaded, "context").value_or(256);
  ExperimentOp experiment = loaded.experiment;
  if (!isGiven("precision") && experiment) {
    settings.precision = experiment.getPrecision();
    return settings;
  }
  absl::StatusOr<Precision> precision = precisionFlag();
  if (!precision.ok()) return precision.status();
  settings.precision = *precision;
  return settings;
}

absl::StatusOr<OwningOpRef<ModuleOp>> streamModule(Workspace& workspace, const LoadedModel& loaded,
                                                   const StreamSettings& settings) {
  absl::StatusOr<OwningOpRef<ModuleOp>> expanded =
      expand(workspace, loaded, {settings.segments, /*start=*/true});
  if (!expanded.ok()) return expanded.status();
  FailureOr<OwningOpRef<ModuleOp>> module = buildStreamModule(**expanded, settings);
  if (failed(module)) return workspace.failed();
  return std::move(*module);
}

absl::StatusOr<ProgramSource> streamSource(Workspace& workspace, const LoadedModel& loaded,
                                           const StreamSettings& settings) {
  absl::StatusOr<OwningOpRef<ModuleOp>> expanded =
      expand(workspace, loaded, {settings.segments, /*start=*/true});
  if (!expanded.ok()) return expanded.status();
  ProgramSource source;
  source.identity = absl::StrCat(
      "stream ", settings.batch, " ", settings.chunk, " ", settings.context, " ", settings.segments,
      " ", stringifyPrecision(settings.precision).str(), "\n", identityOf(**expanded));
  source.module = [&workspace, &loaded, settings] {
    return streamModule(workspace, loaded, settings);
  };
  source.facts = [&workspace, &loaded,
                  settings](ModuleOp module) -> absl::StatusOr<ProgramSource::Facts> {
    ProgramSource::Facts facts;
    if (auto limit = module->getAttrOfType<IntegerAttr>(kPositionLimitAttr))
      facts[runtime::kPositionLimitKey] = absl::StrCat(limit.getInt());
    absl::StatusOr<int64_t> context = attentionContext(workspace, loaded, settings);
    if (!context.ok()) return context.status();
    if (*context > 0) facts[runtime::kContextKey] = absl::StrCat(*context);
    return facts;
  };
  return source;
}

std::map<std::string, std::string> streamMetadata(const LoadedModel& loaded,
                                                  const runtime::Vocabulary& vocabulary) {
  std::map<std::string, std::string> metadata = {{"experiment", loaded.text()}};
  // The model after --set, whatever its experiment says.
  std::string text;
  llvm::raw_string_ostream(text) << ModuleOp(*loaded.expanded);
  metadata[runtime::kModelHashKey] = absl::StrCat(absl::Hex(runtime::Checksum(text)));
  vocabulary.AddTo(&metadata);
  return metadata;
}

absl::Status checkReadsText(const LoadedModel& loaded) {
  func::FuncOp function = loaded.function();
  int inputs = 0;
  std::string text;
  llvm::raw_string_ostream stream(text);
  for (unsigned i = 0; i < function.getNumArguments(); ++i) {
    StringRef name = stringAttr(function.getArgAttr(i, kInputAttr));
    if (name.empty()) continue;
    auto type = dyn_cast<RankedTensorType>(function.getArgument(i).getType());
    if (type && type.getRank() == 2 && type.getElementType().isInteger(32) && ++inputs == 1)
      continue;
    stream << (text.empty() ? "" : ", ") << "'" << name << "' of type "
           << function.getArgument(i).getType();
  }
  if (inputs == 1 && text.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "the model doesn't read text: its input must be token numbers, tensor<?x?xi32>, alone",
      text.empty() ? "" : absl::StrCat("; it has ", text)));
}

absl::StatusOr<runtime::Vocabulary> vocabularyOf(Workspace& workspace, const LoadedModel& loaded,
                                                 const std::string& checkpoint) {
  if (!checkpoint.empty()) {
    absl::StatusOr<runtime::Vocabulary> vocabulary = runtime::LoadVocabulary(checkpoint);
    if (vocabulary.ok() || !absl::IsFailedPrecondition(vocabulary.status())) return vocabulary;
    if (!isGiven("data")) {
      return absl::FailedPreconditionError(absl::StrCat(
          vocabulary.status().message(), "; --data=FILE, the text it was trained on, says it"));
    }
  }
  absl::StatusOr<std::unique_ptr<runtime::Task>> task = makeTask(workspace, loaded);
  if (!task.ok()) return task.status();
  if (!(*task)->spec().text.empty()) return (*task)->spec().text;
  return absl::InvalidArgumentError(
      "the tokens of the experiment's task aren't those of a text, so that there is no text to go "
      "on "
      "with");
}

}  // namespace weir
