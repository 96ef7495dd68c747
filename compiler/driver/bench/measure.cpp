#include "compiler/driver/bench/measure.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "runtime/base/human.h"

namespace weir::bench {

namespace {

/// Runs that are shorter are timed together.
constexpr double kShortestTimed = 0.05;
constexpr int64_t kMostAtOnce = 1000;

/// From here on, the process's peak is that of what comes (Linux; elsewhere it stays that of the
/// whole life).
void resetPeakMemory() {
  if (std::FILE* file = std::fopen("/proc/self/clear_refs", "w")) {
    std::fputs("5", file);
    std::fclose(file);
  }
}

/// VmHWM of /proc, which, unlike getrusage, knows about the reset.
double peakMemory() {
  std::FILE* file = std::fopen("/proc/self/status", "r");
  if (!file) return runtime::PeakMemoryBytes();
  char line[256];
  double kilobytes = 0;
  while (std::fgets(line, sizeof(line), file))
    if (std::sscanf(line, "VmHWM: %lf", &kilobytes) == 1) break;
  std::fclose(file);
  return kilobytes > 0 ? kilobytes * 1024 : runtime::PeakMemoryBytes();
}

absl::StatusOr<double> timeRuns(Subject& subject, ClockKind clock, int64_t runs) {
  double start = secondsOn(clock);
  for (int64_t i = 0; i < runs; ++i)
    if (absl::Status status = subject.run(); !status.ok()) return status;
  return (secondsOn(clock) - start) / static_cast<double>(runs);
}

absl::Status timeLaunches(Subject& subject, ClockKind clock, std::vector<LaunchSlice>& slices) {
  slices.reserve(subject.launches.size());
  double begin = secondsOn(clock), last = 0;
  subject.program.session->SetObserver([&](const runtime::LaunchTime& time) {
    double end = secondsOn(clock) - begin;
    // A launch has its own time on the wall; processor time is what passed since the last one.
    double seconds = clock == ClockKind::Wall ? time.seconds : end - last;
    slices.push_back({end - seconds, seconds});
    last = end;
  });
  absl::Status status = subject.run();
  subject.program.session->SetObserver(nullptr);
  return status;
}

}  // namespace

Spread spreadOf(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  auto at = [&](double share) {
    double place = share * static_cast<double>(values.size() - 1);
    auto below = static_cast<size_t>(std::floor(place));
    size_t above = std::min(below + 1, values.size() - 1);
    return values[below] + (values[above] - values[below]) * (place - std::floor(place));
  };
  return {at(0), at(0.25), at(0.5), at(0.75), at(1)};
}

absl::StatusOr<Measured> measure(Workspace& workspace, Subject& subject,
                                 const MeasureSettings& settings) {
  Measured measured;
  measured.clock = settings.clock;
  resetPeakMemory();
  absl::StatusOr<double> warm = timeRuns(subject, settings.clock, 1);
  for (int64_t i = 1; i < settings.warmup && warm.ok(); ++i)
    warm = timeRuns(subject, settings.clock, 1);
  if (!warm.ok()) return warm.status();
  measured.processBytes = peakMemory();
  measured.runsAtOnce = std::clamp(static_cast<int64_t>(kShortestTimed / std::max(*warm, 1e-9)),
                                   int64_t{1}, kMostAtOnce);

  absl::StatusOr<std::unique_ptr<RateMeter>> meter =
      RateMeter::create(workspace, subject.precision);
  if (!meter.ok()) return meter.status();
  for (int64_t i = 0; i < settings.repeats; ++i) {
    Round round;
    absl::StatusOr<Rates> rates = (*meter)->measure(settings.clock);
    if (!rates.ok()) return rates.status();
    round.rates = *rates;
    // A token follows a token: what the rates were measured on is not what its caches hold. Those
    // that cores share take several runs to forget it.
    if (measured.runsAtOnce > 1) {
      absl::StatusOr<double> untimed = timeRuns(subject, settings.clock, measured.runsAtOnce);
      if (!untimed.ok()) return untimed.status();
    }
    absl::StatusOr<double> seconds = timeRuns(subject, settings.clock, measured.runsAtOnce);
    if (!seconds.ok()) return seconds.status();
    round.seconds = *seconds;
    if (settings.kernels) {
      if (absl::Status status = timeLaunches(subject, settings.clock, round.launches); !status.ok())
        return status;
    }
    measured.rounds.push_back(std::move(round));
  }
  return measured;
}

}  // namespace weir::bench
