// From an expanded model, in which batch and time are open, to one of a run: all shapes static.
//
//   func::FuncOp train = expanded.clone();
//   if (failed(specializeFunction(train, {/*batch=*/16, /*time=*/80, /*isF64=*/false,
//   /*isTraining=*/true}))) ...

#ifndef WEIR_COMPILER_TRANSFORMS_SPECIALIZE_H_
#define WEIR_COMPILER_TRANSFORMS_SPECIALIZE_H_

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace weir {

struct Specialization {
  int64_t batch = 1;
  int64_t time = 1;
  /// Whether f32 becomes f64.
  bool isF64 = false;
  /// Whether random ops draw; otherwise they are replaced by what they stand for without.
  bool isTraining = true;
};

/// Specializes a function that expandModel made, in place. Errors are diagnostics; the function is
/// of no use then.
mlir::LogicalResult specializeFunction(mlir::func::FuncOp function,
                                       const Specialization& specialization);

}  // namespace weir

#endif  // WEIR_COMPILER_TRANSFORMS_SPECIALIZE_H_
