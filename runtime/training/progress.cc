#include "runtime/training/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace weir::runtime {
namespace {

std::string Scores(const MetricsRecord& record) {
  std::string text = absl::StrFormat("loss %.4f", record.loss);
  if (record.accuracy) absl::StrAppendFormat(&text, "  accuracy %.2f%%", *record.accuracy * 100);
  if (record.sequence_accuracy) {
    absl::StrAppendFormat(&text, "  sequences %.2f%%", *record.sequence_accuracy * 100);
  }
  return text;
}

}  // namespace

Progress::Progress(std::FILE* file, int64_t steps)
    : file_(file), steps_(steps), terminal_(file != nullptr && ::isatty(::fileno(file))) {}

Progress::~Progress() {
  if (live_) std::fputc('\n', file_);
}

void Progress::ClearLive() {
  if (live_) std::fputs("\r\033[K", file_);
  live_ = false;
}

void Progress::Step(const MetricsRecord& record, double seconds_left) {
  if (file_ == nullptr) return;
  auto now = std::chrono::steady_clock::now();
  auto pause = terminal_ ? std::chrono::milliseconds(100) : std::chrono::milliseconds(10000);
  if (shown_ && now - last_shown_ < pause) return;
  shown_ = true;
  last_shown_ = now;
  std::string line = absl::StrFormat("step %d/%d  %s  %s tokens/s  %s  %s left", record.step,
                                     steps_, Scores(record), HumanCount(record.tokens_per_second),
                                     HumanBytes(PeakMemoryBytes()), HumanDuration(seconds_left));
  if (!terminal_) {
    Say(line);
    return;
  }
  ClearLive();
  // A line that wraps can't be cleared.
  struct winsize size;
  if (::ioctl(::fileno(file_), TIOCGWINSZ, &size) == 0 && size.ws_col > 1) {
    line.resize(std::min<size_t>(line.size(), size.ws_col - 1));
  }
  std::fputs(line.c_str(), file_);
  std::fflush(file_);
  live_ = true;
}

void Progress::Evaluation(const MetricsRecord& record, bool best) {
  Say(absl::StrFormat("step %d/%d  held out: %s%s  (%s)", record.step, steps_, Scores(record),
                      best ? "  best so far" : "", HumanDuration(record.seconds)));
}

void Progress::Say(const std::string& text) {
  if (file_ == nullptr) return;
  ClearLive();
  std::fputs(text.c_str(), file_);
  std::fputc('\n', file_);
  std::fflush(file_);
}

}  // namespace weir::runtime
