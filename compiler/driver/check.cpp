// weir check: whether a layer, a model or a plugin can be trusted.

#include <algorithm>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

#include "compiler/driver/check/report.h"
#include "compiler/driver/command.h"
#include "compiler/driver/flags.h"
#include "runtime/plugin/check_plugin.h"

namespace weir {

namespace {

using check::CheckSubject;
using check::Row;
using check::Verdict;

struct Tally {
  int passed = 0, failed = 0, skipped = 0;
  void count(Verdict::Outcome outcome) {
    ++(outcome == Verdict::Outcome::Pass   ? passed
       : outcome == Verdict::Outcome::Fail ? failed
                                           : skipped);
  }
};

absl::StatusOr<check::CheckSettings> settingsFromFlags() {
  check::CheckSettings settings;
  std::vector<std::string> known;
  for (const check::Kind& kind : check::kinds()) known.push_back(kind.name);
  for (absl::string_view name : absl::StrSplit(absl::GetFlag(FLAGS_only), ',', absl::SkipEmpty())) {
    if (std::find(known.begin(), known.end(), name) == known.end())
      return absl::InvalidArgumentError(
          absl::StrCat("--only can't be '", name, "': there are ", absl::StrJoin(known, ", ")));
    settings.only.insert(std::string(name));
  }
  for (auto [flag, value] : {std::pair{"batch", absl::GetFlag(FLAGS_batch)},
                             {"length", absl::GetFlag(FLAGS_length)},
                             {"features", absl::GetFlag(FLAGS_features)}})
    if (isGiven(flag) && value <= 0)
      return absl::InvalidArgumentError(absl::StrCat("--", flag, " can't be ", value));
  if (isGiven("batch")) settings.batch = absl::GetFlag(FLAGS_batch);
  if (isGiven("length")) settings.length = absl::GetFlag(FLAGS_length);
  for (absl::string_view device : absl::StrSplit(absl::GetFlag(FLAGS_device), ','))
    if (device != "cpu")
      return absl::InvalidArgumentError(
          absl::StrCat("--device can't be '", device, "': there is cpu"));
  return settings;
}

/// The promises of a plugin's file (runtime/plugin/check_plugin.h).
void checkPlugin(const std::string& file, Tally& tally) {
  runtime::PluginReport report = runtime::CheckPlugin(file);
  std::printf("plugin %s\n%s", file.c_str(), report.ToString().c_str());
  tally.passed += static_cast<int>(report.passed.size());
  for (const runtime::PluginReport::Finding& finding : report.findings)
    if (finding.error) ++tally.failed;
}

void checkSubject(Workspace& workspace, const CheckSubject& subject, const check::Resize& resize,
                  const check::CheckSettings& settings, Tally& tally) {
  std::printf("%s (%s)%s\n", subject.name.c_str(), subject.source.c_str(),
              subject.features ? absl::StrCat(", ", subject.features, " features").c_str() : "");
  std::vector<Row> rows =
      check::runChecks(workspace, subject, resize, settings, [&](const Row& row) {
        tally.count(row.verdict.outcome);
        std::printf("%s\n", check::str(row).c_str());
        std::fflush(stdout);
      });
  for (const Row& row : rows)
    if (row.isExplained) std::printf("  %s\n", check::explain(subject, row).c_str());
}

absl::Status run(const Arguments& arguments) {
  absl::StatusOr<check::CheckSettings> settings = settingsFromFlags();
  if (!settings.ok()) return settings.status();
  Tally tally;
  absl::StatusOr<check::CheckTarget> target = check::openTarget(arguments[0]);
  if (!target.ok()) return target.status();
  Workspace& workspace = *target->workspace;
  if (!target->plugin.empty() && settings->only.empty()) checkPlugin(target->plugin, tally);
  if (!target->modelFile.empty()) {
    auto subject = check::modelSubject(workspace, target->modelFile);
    if (!subject.ok()) return subject.status();
    checkSubject(workspace, *subject, nullptr, *settings, tally);
  }
  for (const std::string& layer : target->layers) {
    auto make = [&](int64_t features) { return check::layerSubject(workspace, layer, features); };
    auto subject = make(absl::GetFlag(FLAGS_features));
    if (!subject.ok()) return subject.status();
    checkSubject(workspace, *subject, make, *settings, tally);
  }
  std::printf("%d passed, %d failed, %d don't apply\n", tally.passed, tally.failed, tally.skipped);
  if (tally.failed > 0)
    return absl::FailedPreconditionError(
        absl::StrCat(arguments[0], ": ", tally.failed, " checks failed"));
  return absl::OkStatus();
}

std::string details() {
  std::string text =
      "FILE holds layers, a model, or is a plugin's shared library. The kinds of checks:\n\n";
  for (const check::Kind& kind : check::kinds())
    absl::StrAppendFormat(&text, "  %-10s %s\n", kind.name, kind.summary);
  absl::StrAppend(&text,
                  "\nOf what fails, a smaller case that fails too is looked for, and the command "
                  "that repeats it is\nprinted. Numbers are drawn from names: a command repeats "
                  "itself exactly. docs/check.md tells more.");
  return text;
}

}  // namespace

Command checkCommand() {
  static const std::string* text = new std::string(details());
  return {"check",
          "LAYER|FILE",
          "checks a layer, a model or a plugin: gradients, streaming, packing, costs and more",
          text->c_str(),
          "weir check mingru --set hidden=12\n"
          "weir check my_layer.mlir --features=6 --only=gradients,packed --length=31",
          {"set", "features", "batch", "length", "only", "device", "isa", "matrix_chunk", "plugin",
           "experiment", "model"},
          1,
          1,
          run};
}

}  // namespace weir
