// Runs an entry point again and again, and the machine's rates between the runs.

#ifndef WEIR_COMPILER_DRIVER_BENCH_MEASURE_H_
#define WEIR_COMPILER_DRIVER_BENCH_MEASURE_H_

#include <vector>

#include "compiler/driver/bench/clock.h"
#include "compiler/driver/bench/rates.h"
#include "compiler/driver/bench/subject.h"

namespace weir::bench {

struct MeasureSettings {
  int64_t warmup = 2;
  int64_t repeats = 10;
  ClockKind clock = ClockKind::Wall;
  /// Whether a run of each round is timed launch by launch.
  bool kernels = false;
};

/// A launch of a timed run.
struct LaunchSlice {
  /// Seconds since the run began.
  double start = 0, seconds = 0;
};

struct Round {
  /// A run; the mean of several if one is too short to be timed alone.
  double seconds = 0;
  Rates rates;
  /// A run that was timed launch by launch, in the order of the launches.
  std::vector<LaunchSlice> launches;
};

struct Measured {
  ClockKind clock = ClockKind::Wall;
  std::vector<Round> rounds;
  /// Runs that are timed together.
  int64_t runsAtOnce = 1;
  /// The most memory that the process had resident while it ran before rates were measured, its
  /// compiler included.
  double processBytes = 0;
};

/// The median; quartiles tell the spread.
struct Spread {
  double low = 0, lowerQuartile = 0, median = 0, upperQuartile = 0, high = 0;
};
Spread spreadOf(std::vector<double> values);

absl::StatusOr<Measured> measure(Workspace& workspace, Subject& subject,
                                 const MeasureSettings& settings);

}  // namespace weir::bench

#endif  // WEIR_COMPILER_DRIVER_BENCH_MEASURE_H_
