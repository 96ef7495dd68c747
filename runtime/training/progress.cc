#include "runtime/training/progress.h"

#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace weir::runtime {
namespace {

// The most memory the process has had, in bytes.
double PeakMemory() {
  struct rusage usage;
  return getrusage(RUSAGE_SELF, &usage) == 0 ? usage.ru_maxrss * 1024.0 : 0;
}

std::string Scores(const MetricsRecord& record) {
  std::string text = absl::StrFormat("loss %.4f", record.loss);
  if (record.accuracy) absl::StrAppendFormat(&text, "  accuracy %.2f%%", *record.accuracy * 100);
  if (record.sequence_accuracy) {
    absl::StrAppendFormat(&text, "  sequences %.2f%%", *record.sequence_accuracy * 100);
  }
  return text;
}

}  // namespace

std::string HumanBytes(double bytes) {
  const char* const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  int unit = 0;
  for (; bytes >= 1024 && unit < 4; ++unit) bytes /= 1024;
  return absl::StrFormat("%.*f %s",
                         bytes < 10 && unit > 0    ? 2
                         : bytes < 100 && unit > 0 ? 1
                                                   : 0,
                         bytes, units[unit]);
}

std::string HumanCount(double count) {
  const char* const units[] = {"", "k", "M", "G", "T"};
  int unit = 0;
  for (; count >= 999.5 && unit < 4; ++unit) count /= 1000;
  return absl::StrFormat("%.*f%s",
                         unit == 0     ? 0
                         : count < 10  ? 2
                         : count < 100 ? 1
                                       : 0,
                         count, units[unit]);
}

std::string HumanDuration(double seconds) {
  if (!(seconds < 1e9)) return "?";
  auto total = static_cast<int64_t>(std::llround(seconds));
  if (total < 60) return absl::StrCat(total, "s");
  if (total < 3600) return absl::StrFormat("%dm%02ds", total / 60, total % 60);
  return absl::StrFormat("%dh%02dm", total / 3600, total / 60 % 60);
}

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
                                     HumanBytes(PeakMemory()), HumanDuration(seconds_left));
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
