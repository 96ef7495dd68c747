// metrics.jsonl: what a run wrote about itself, an object a line.
#ifndef WEIR_RUNTIME_TRAINING_METRICS_H_
#define WEIR_RUNTIME_TRAINING_METRICS_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace weir::runtime {

struct MetricsRecord {
  int64_t step = 0;                         // steps done
  std::string split;                        // "train" or "eval"
  double loss = 0;                          // mean over the targets, in nats
  std::optional<double> accuracy;           // share of right targets
  std::optional<double> sequence_accuracy;  // share of sequences with all targets right
  std::optional<double> gradient_norm;      // before clipping
  std::optional<double> learning_rate;
  int64_t tokens = 0;            // trained on so far, masked positions included
  double tokens_per_second = 0;  // of training steps (train), or of the evaluation (eval)
  double seconds = 0;            // since training began, evaluations and earlier sessions included
};

// A line without its end. Numbers are written so that reading them gives the same bits.
std::string MetricsLine(const MetricsRecord& record);

// Nothing if the line is no record.
std::optional<MetricsRecord> ParseMetricsLine(absl::string_view line);

// The records of a file. A last line that was cut off by a crash is left out; any other line that
// is no record is an error with its number.
absl::StatusOr<std::vector<MetricsRecord>> ReadMetrics(const std::string& path);

// Appends to a file. Each line reaches the operating system at once, so that it survives the
// process.
class MetricsLog {
 public:
  // Opens or creates the file and drops all from the first record of a step after `last_step`, or
  // from the first torn line, on: what a run that goes on from `last_step` writes again.
  static absl::StatusOr<std::unique_ptr<MetricsLog>> Open(const std::string& path,
                                                          int64_t last_step);
  ~MetricsLog();
  MetricsLog(const MetricsLog&) = delete;
  MetricsLog& operator=(const MetricsLog&) = delete;

  absl::Status Append(const MetricsRecord& record);
  // Makes what was appended survive the machine too.
  absl::Status Sync();

 private:
  MetricsLog(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}
  std::string path_;
  int fd_;
};

}  // namespace weir::runtime

#endif  // WEIR_RUNTIME_TRAINING_METRICS_H_
