// Several steps at the same elements as one loop nest: what one makes for another stays in
// registers, and what several read is loaded once.

#ifndef WEIR_COMPILER_CONVERSION_CPU_FUSED_NEST_H_
#define WEIR_COMPILER_CONVERSION_CPU_FUSED_NEST_H_

#include "compiler/conversion/cpu/loop_nest.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"

namespace weir {

class FusedNest {
 public:
  /// `body` becomes the region of the nest.
  FusedNest(KernelBuilder& b, mlir::Block& body, const mlir::IRMapping& captured);

  /// A value that steps take at the nest's elements, from the nest's next input.
  void addValue(mlir::Value value, const Access& access);

  /// Where a step is in the nest.
  struct Place {
    /// Accesses of the step's own loops as accesses of the nest.
    llvm::function_ref<Access(const Access&)> access;
    /// The value of the nest that a step's operand is at the same elements, if it is one.
    llvm::function_ref<mlir::Value(mlir::Value)> rootOf;
    /// What index `dim` of the nest begins at for the step.
    int64_t dim = 0, start = 0;
  };
  /// Adds a step, whose own loops are `own`. A sum (`accumulates`) is read and stored at each of
  /// its terms.
  void addStep(mlir::linalg::GenericOp op, const LoopNest& own, const Place& place,
               bool accumulates);
  /// Stores a value of the nest.
  void store(mlir::Value value, const Access& access);

  /// The nest with all inputs and outputs, and `dims`.
  LoopNest finish(llvm::ArrayRef<LoopDim> dims);

 private:
  struct Read {
    mlir::Value value;
    mlir::AffineMap map;
    int64_t start;
    mlir::Value argument;
  };

  KernelBuilder& b;
  mlir::Block& body;
  mlir::OpBuilder builder;
  LoopNest nest;
  mlir::IRMapping map;
  llvm::DenseMap<mlir::Value, mlir::Value> values;
  llvm::SmallVector<Read> reads;
  llvm::SmallVector<std::pair<Access, mlir::Value>> stores;
};

}  // namespace weir

#endif  // WEIR_COMPILER_CONVERSION_CPU_FUSED_NEST_H_
