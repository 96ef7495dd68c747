// Work, counted: what an op does at a batch and a length, read from its decomposition, whatever it
// says about itself.

#ifndef WEIR_COMPILER_DRIVER_CHECK_COUNT_H_
#define WEIR_COMPILER_DRIVER_CHECK_COUNT_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"

#include "compiler/dialect/cost.h"

namespace weir::check {

struct CountedOp {
  /// The op of the expanded function, whose batch and length are open.
  mlir::Operation* op = nullptr;
  /// What it says.
  Cost stated;
  /// A floating-point operation counts 1, and so does a function of one number, such as an
  /// exponential or a sigmoid; casts, comparisons and choices count 0.
  /// Everything that a loop visits counts, masked or not.
  double flops = 0;
  /// What it reads and writes from outside, each once; of a table, the rows that are looked up.
  double bytes = 0;
  /// Whether all it does is to rename, to fill or to copy, which other ops may take over: it moves
  /// these bytes or none.
  bool copies = false;
};

/// Counts each op of an expanded model that takes or makes a tensor, at a batch and a length, in
/// f32, for evaluation. Ops that are there for training only are left out. Errors name the op that
/// can't be counted.
absl::StatusOr<std::vector<CountedOp>> countOps(mlir::func::FuncOp expanded, int64_t batch,
                                                int64_t length);

}  // namespace weir::check

#endif  // WEIR_COMPILER_DRIVER_CHECK_COUNT_H_
