// What a model costs, op by op, read on the expanded form (transforms/expand.h), where batch and
// length are still open.

#ifndef WEIR_COMPILER_DRIVER_COSTS_H_
#define WEIR_COMPILER_DRIVER_COSTS_H_

#include <string>
#include <vector>

#include "mlir/Dialect/Func/IR/FuncOps.h"

#include "compiler/dialect/cost.h"

namespace weir {

/// The cost of an op: what it says itself (CostOpInterface), or for an upstream op one operation
/// per element of its result, each operand read and each result written. Ops that only rename
/// memory, and constants, cost nothing.
Cost costOf(mlir::Operation* op);

struct KindCost {
  /// "weir.linear".
  std::string kind;
  int64_t count = 0;
  Cost cost;
  /// The degree in the length of operations, bytes and state: the largest.
  int degree = 0;
};

/// The ops of a function by kind, in the order in which the kinds appear. Ops that cost nothing are
/// left out.
std::vector<KindCost> costsByKind(mlir::func::FuncOp function);

/// The sum over all kinds.
Cost totalCost(const std::vector<KindCost>& kinds);

/// Fails, naming the op and where it comes from, if the function is marked `weir.linear` and an op
/// costs more than linearly in the length.
mlir::LogicalResult checkLinear(mlir::func::FuncOp function);

}  // namespace weir

#endif  // WEIR_COMPILER_DRIVER_COSTS_H_
