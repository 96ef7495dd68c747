#include "runtime/training/compare.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "runtime/training/metrics.h"

namespace weir::runtime {
namespace {

constexpr int kCurvePoints = 12;

struct RunSummary {
  std::string name;
  std::vector<MetricsRecord> curve;  // evaluations, or training steps if there are none
  std::vector<MetricsRecord> evaluations;
  int64_t steps = 0;
  double seconds = 0;
  double tokens_per_second = 0;
  std::optional<double> train_loss;
};

RunSummary Summarize(const std::string& directory, std::vector<MetricsRecord> records) {
  RunSummary run;
  run.name = std::string(absl::StripSuffix(directory, "/"));
  std::vector<MetricsRecord> train;
  std::vector<double> speeds;
  for (MetricsRecord& record : records) {
    run.steps = std::max(run.steps, record.step);
    run.seconds = std::max(run.seconds, record.seconds);
    if (record.split == "eval") {
      run.evaluations.push_back(std::move(record));
    } else {
      speeds.push_back(record.tokens_per_second);
      run.train_loss = record.loss;
      train.push_back(std::move(record));
    }
  }
  if (!speeds.empty()) {
    std::nth_element(speeds.begin(), speeds.begin() + speeds.size() / 2, speeds.end());
    run.tokens_per_second = speeds[speeds.size() / 2];
  }
  run.curve = run.evaluations.empty() ? std::move(train) : run.evaluations;
  return run;
}

std::string Percent(const std::optional<double>& share) {
  return share ? absl::StrFormat("%.2f%%", *share * 100) : "-";
}

using Row = std::vector<std::string>;

Row SummaryRow(const RunSummary& run) {
  Row row = {run.name, absl::StrCat(run.steps),
             run.train_loss ? absl::StrFormat("%.4f", *run.train_loss) : "-"};
  if (run.evaluations.empty()) {
    row.insert(row.end(), {"-", "-", "-", "-"});
  } else {
    const auto best =
        std::min_element(run.evaluations.begin(), run.evaluations.end(),
                         [](const auto& a, const auto& b) { return a.loss < b.loss; });
    const MetricsRecord& last = run.evaluations.back();
    row.push_back(absl::StrFormat("%.4f (%d)", best->loss, best->step));
    row.push_back(absl::StrFormat("%.4f", last.loss));
    row.push_back(Percent(last.accuracy));
    row.push_back(Percent(last.sequence_accuracy));
  }
  row.push_back(absl::StrFormat("%.0f", run.tokens_per_second));
  row.push_back(absl::StrFormat("%.1f", run.seconds));
  return row;
}

// The loss of the last record up to `step`, if the run got that far.
std::string LossAt(const RunSummary& run, int64_t step) {
  if (run.steps < step) return "";
  const MetricsRecord* found = nullptr;
  for (const MetricsRecord& record : run.curve) {
    if (record.step <= step) found = &record;
  }
  return found != nullptr ? absl::StrFormat("%.4f", found->loss) : "";
}

// Columns are as wide as their widest cell; all but the first are set to the right.
std::string Table(const std::vector<Row>& rows) {
  std::vector<size_t> widths;
  for (const Row& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const Row& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      std::string padding(widths[i] - row[i].size(), ' ');
      absl::StrAppend(&line, i == 0 ? "" : "  ", i == 0 ? row[i] + padding : padding + row[i]);
    }
    absl::StrAppend(&text, absl::StripTrailingAsciiWhitespace(line), "\n");
  }
  return text;
}

}  // namespace

absl::StatusOr<std::string> CompareRuns(const std::vector<std::string>& directories) {
  std::vector<RunSummary> runs;
  int64_t steps = 0;
  for (const std::string& directory : directories) {
    absl::StatusOr<std::vector<MetricsRecord>> records =
        ReadMetrics(absl::StrCat(absl::StripSuffix(directory, "/"), "/metrics.jsonl"));
    if (!records.ok()) return records.status();
    runs.push_back(Summarize(directory, *std::move(records)));
    steps = std::max(steps, runs.back().steps);
  }
  std::vector<Row> summary = {{"run", "steps", "train loss", "best held-out (step)", "last",
                               "accuracy", "sequences", "tokens/s", "seconds"}};
  for (const RunSummary& run : runs) summary.push_back(SummaryRow(run));

  std::vector<Row> curve = {{"step"}};
  for (const RunSummary& run : runs) curve[0].push_back(run.name);
  int64_t last = 0;
  for (int point = 1; point <= kCurvePoints; ++point) {
    int64_t step = (steps * point + kCurvePoints - 1) / kCurvePoints;
    if (step == last) continue;
    last = step;
    Row row = {absl::StrCat(step)};
    for (const RunSummary& run : runs) row.push_back(LossAt(run, step));
    curve.push_back(std::move(row));
  }
  return absl::StrCat(Table(summary), "\nloss\n", Table(curve));
}

}  // namespace weir::runtime
