// The least that an entry point must compute and move, and so the least time it can take on a
// machine of given rates. docs/bench.md says why it is counted like this.

#ifndef WEIR_COMPILER_DRIVER_BENCH_FLOOR_H_
#define WEIR_COMPILER_DRIVER_BENCH_FLOOR_H_

#include <algorithm>
#include <string>
#include <vector>

#include "compiler/driver/load.h"
#include "runtime/program/program.h"

namespace weir::bench {

/// What the machine does, measured.
struct Rates {
  /// Floating-point operations of matrix products a second, in the precision of the run.
  double flops = 0;
  /// Bytes a second to and from memory.
  double bytes = 0;

  double seconds(double flopCount, double byteCount) const {
    return std::max(flopCount / flops, byteCount / bytes);
  }
};

struct Work {
  double flops = 0, bytes = 0;
};

/// Bytes that forward hands to backward: the residuals of `partition`, before kernels are formed.
double residualBytes(mlir::ModuleOp module);

/// An entry point of a model's program: `train_step`, `eval`, `step` or `prefill`, on inputs
/// of `batch` x `length`.
struct FloorSubject {
  const LoadedModel& loaded;
  std::string entry;
  double batch, length;
  Precision precision;
  /// residualBytes.
  double residuals;
  /// The module after planning.
  mlir::ModuleOp planned;
  const std::vector<runtime::Variable>& variables;
  const std::vector<runtime::TensorSpec>& inputs;
};
Work floorOf(const FloorSubject& subject);

}  // namespace weir::bench

#endif  // WEIR_COMPILER_DRIVER_BENCH_FLOOR_H_
