// A slow and simple interpreter of functions on tensors, for tests: every value
// is a tensor of doubles, whatever its element type says. It is what passes
// that rewrite arithmetic are checked against.
//
//   Evaluator evaluator;
//   auto results = evaluator.run(func, {x, w});    //
//   FailureOr<std::vector<HostTensor>>
//
// Knows arith and math (scalars and tensors), linalg.generic and fill, and the
// slices and views of tensor.

#ifndef WEIR_COMPILER_TRANSFORMS_EVALUATOR_H_
#define WEIR_COMPILER_TRANSFORMS_EVALUATOR_H_

#include <vector>

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"

namespace weir {

class GatherRowsOp;
class RecurrenceOp;
class ScanOp;
class ScanVjpOp;
class ScatterRowsOp;

struct HostTensor {
  std::vector<int64_t> shape;  // row-major; empty: a scalar
  std::vector<double> data;

  static HostTensor zeros(llvm::ArrayRef<int64_t> shape, double value = 0.0);
  int64_t offset(llvm::ArrayRef<int64_t> index) const;
};

class Evaluator {
 public:
  using Env = llvm::DenseMap<mlir::Value, HostTensor>;

  /// The function's results for these arguments. Fails, after a diagnostic, on
  /// an op it doesn't know.
  llvm::FailureOr<std::vector<HostTensor>> run(mlir::func::FuncOp func,
                                               llvm::ArrayRef<HostTensor> arguments);

  /// Evaluates the ops of a block except the terminator.
  llvm::LogicalResult runBlock(mlir::Block& block, Env& env);

 private:
  llvm::LogicalResult runOp(mlir::Operation& op, Env& env);
  llvm::LogicalResult runGeneric(mlir::linalg::GenericOp op, Env& env);
  llvm::LogicalResult runElementwise(mlir::Operation& op, Env& env);
  llvm::LogicalResult runDecomposition(mlir::linalg::AggregatedOpInterface op, Env& env);
  llvm::LogicalResult runGatherRows(GatherRowsOp op, Env& env);
  llvm::LogicalResult runScatterRows(ScatterRowsOp op, Env& env);
  llvm::LogicalResult runRecurrence(RecurrenceOp op, Env& env);
  llvm::LogicalResult runScan(ScanOp op, Env& env);
  llvm::LogicalResult runScanVjp(ScanVjpOp op, Env& env);
  /// The values that a region of scalars yields.
  llvm::FailureOr<llvm::SmallVector<double>> runRegion(mlir::Region& region,
                                                       llvm::ArrayRef<double> arguments, Env& env);
  std::vector<int64_t> point;  // indices of the loops of the linalg.generic being run
};

/// Calls f at every index of `shape`, last dimension fastest.
void forEachIndex(llvm::ArrayRef<int64_t> shape,
                  llvm::function_ref<void(llvm::ArrayRef<int64_t>)> f);

}  // namespace weir

#endif  // WEIR_COMPILER_TRANSFORMS_EVALUATOR_H_
