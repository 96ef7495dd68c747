#include "compiler/driver/check/report.h"

#include <algorithm>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

#include "compiler/transforms/specialize.h"

namespace weir::check {

namespace {

constexpr int64_t kSmallLengths[] = {1, 2, 3, 4, 5, 6, 7, 9, 12, 17, 24, 33, 48};
constexpr int64_t kSmallFeatures[] = {1, 2, 3, 4, 6};

bool isFailure(const Verdict& verdict) { return verdict.outcome == Verdict::Outcome::Fail; }

/// Why the model can't have this length (as many as it has learned positions, for one), or "".
std::string refusalOf(Bench& bench, const Case& at) {
  DiagnosticCapture diagnostics(bench.workspace().context());
  mlir::OwningOpRef<mlir::ModuleOp> module((*bench.model().expanded).clone());
  mlir::func::FuncOp function = *module->getOps<mlir::func::FuncOp>().begin();
  if (mlir::succeeded(specializeFunction(
          function, {at.batch, at.length, /*isF64=*/false, /*isTraining=*/false})))
    return "";
  return diagnostics.text().empty() ? "it can't be specialized" : diagnostics.text();
}

Verdict runCase(const Kind& kind, Bench& bench, const Case& at) {
  // A model that has no length at all is broken; one that has a longest length says so.
  std::string refusal = kind.shrinks ? refusalOf(bench, at) : "";
  if (!refusal.empty()) {
    Case shortest = at;
    shortest.length = 1;
    return refusalOf(bench, shortest).empty() ? skip(refusal) : fail(refusal);
  }
  absl::StatusOr<Verdict> verdict = kind.run(bench, at);
  if (verdict.ok()) return *verdict;
  std::string message(verdict.status().message());
  return fail(message.empty() ? "an error that was reported above" : message);
}

/// Looks for smaller cases that fail too, one measure after the other.
class Shrinker {
 public:
  Shrinker(Workspace& workspace, const Kind& kind, Bench& bench, const Resize& resize)
      : workspace(workspace), kind(kind), bench(bench), resize(resize) {}

  void shrink(Row& row) {
    Case one = row.smallest;
    one.batch = 1;
    if (one.batch < row.smallest.batch) take(row, one);
    for (int64_t length : kSmallLengths) {
      if (length >= row.smallest.length) break;
      Case shorter = row.smallest;
      shorter.length = length;
      if (take(row, shorter)) break;
    }
    for (int64_t features : kSmallFeatures) {
      if (features >= row.smallest.features) break;
      Case narrower = row.smallest;
      narrower.features = features;
      if (take(row, narrower)) break;
    }
  }

 private:
  /// Whether it fails too.
  bool take(Row& row, const Case& at) {
    Verdict verdict = pass("");
    if (at.features == bench.subject().features) {
      verdict = runCase(kind, bench, at);
    } else {
      // Fewer features than heads, say, are nobody's fault.
      DiagnosticCapture diagnostics(workspace.context());
      absl::StatusOr<CheckSubject> subject = resize(at.features);
      if (!subject.ok()) return false;
      Bench other(workspace, *subject);
      if (!refusalOf(other, at).empty()) return false;
      verdict = runCase(kind, other, at);
    }
    if (!isFailure(verdict)) return false;
    row.smallest = at;
    row.smallestDetail = verdict.detail;
    return true;
  }

  Workspace& workspace;
  const Kind& kind;
  Bench& bench;
  const Resize& resize;
};

}  // namespace

std::vector<Row> runChecks(Workspace& workspace, const CheckSubject& subject, const Resize& resize,
                           const CheckSettings& settings,
                           const std::function<void(const Row&)>& seen) {
  std::vector<Row> rows;
  Bench bench(workspace, subject);
  int64_t block = blockOf(subject.model.function());
  for (const Kind& kind : kinds()) {
    if (!settings.only.empty() && !settings.only.count(kind.name)) continue;
    std::vector<int64_t> lengths = kind.lengths(block);
    if (settings.length) lengths = {*settings.length};
    bool isExplained = false;
    for (int64_t length : lengths) {
      Row row;
      row.kind = kind.name;
      row.at = {settings.batch.value_or(Case().batch), length, subject.features};
      row.verdict = runCase(kind, bench, row.at);
      row.smallest = row.at;
      row.smallestDetail = row.verdict.detail;
      // The first failure of a kind is enough to look into.
      if (isFailure(row.verdict) && !isExplained) {
        if (kind.shrinks && settings.shrink) Shrinker(workspace, kind, bench, resize).shrink(row);
        row.isExplained = isExplained = true;
      }
      rows.push_back(row);
      if (seen) seen(row);
    }
  }
  return rows;
}

std::string str(const Row& row) {
  const char* outcome = isFailure(row.verdict)                          ? "FAIL"
                        : row.verdict.outcome == Verdict::Outcome::Pass ? "pass"
                                                                        : "-";
  return absl::StrFormat("  %-4s  %-10s %-12s %s", outcome, row.kind,
                         absl::StrCat("length ", row.at.length), row.verdict.detail);
}

std::string explain(const CheckSubject& subject, const Row& row) {
  std::string repeat =
      absl::StrCat("weir check ", subject.argument, " --only=", row.kind,
                   " --batch=", row.smallest.batch, " --length=", row.smallest.length);
  if (row.smallest.features > 0) absl::StrAppend(&repeat, " --features=", row.smallest.features);
  return absl::StrCat(row.kind, ": the smallest case found is ", row.smallest.str(), "\n    ",
                      row.smallestDetail, "\n    ", repeat);
}

}  // namespace weir::check
