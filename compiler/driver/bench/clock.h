// What times are taken by.

#ifndef WEIR_COMPILER_DRIVER_BENCH_CLOCK_H_
#define WEIR_COMPILER_DRIVER_BENCH_CLOCK_H_

#include <ctime>

namespace weir::bench {

/// The clock on the wall, or the processor time of all threads of this process: that is the time of
/// a run on one thread without what the machine did meanwhile for others.
enum class ClockKind { Wall, Processor };

inline double secondsOn(ClockKind clock) {
  struct timespec time;
  ::clock_gettime(clock == ClockKind::Wall ? CLOCK_MONOTONIC : CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

}  // namespace weir::bench

#endif  // WEIR_COMPILER_DRIVER_BENCH_CLOCK_H_
