// How fast this machine is at the moment: matrix products and memory, by kernels of our own on the
// threads of the run. Rates drift, so they are measured between runs and not once.

#ifndef WEIR_COMPILER_DRIVER_BENCH_RATES_H_
#define WEIR_COMPILER_DRIVER_BENCH_RATES_H_

#include <map>
#include <memory>
#include <string>

#include "compiler/driver/bench/clock.h"
#include "compiler/driver/bench/floor.h"
#include "compiler/driver/program.h"

namespace weir::bench {

class RateMeter {
 public:
  /// Compiles the kernels that are timed: products of several shapes and layouts in `precision`,
  /// and two that stream arrays of 128 MiB, a triad and a sum.
  static absl::StatusOr<std::unique_ptr<RateMeter>> create(Workspace& workspace,
                                                           Precision precision);

  /// Times each kernel; the best of the shapes, the better of the two streams. Takes tens of
  /// milliseconds.
  absl::StatusOr<Rates> measure(ClockKind clock);

 private:
  /// What a run of an entry point, one launch, does.
  struct Probe {
    std::string entry;
    Work work;
  };

  RateMeter() = default;

  RunningProgram program;
  std::vector<Probe> probes;
  /// When the last launch ended.
  ClockKind clock = ClockKind::Wall;
  double end = 0;
};

}  // namespace weir::bench

#endif  // WEIR_COMPILER_DRIVER_BENCH_RATES_H_
