// Kernels that the planner makes: copies, and variants of kernels for strided or overwritten
// buffers.

#ifndef WEIR_COMPILER_TRANSFORMS_PLAN_KERNELS_H_
#define WEIR_COMPILER_TRANSFORMS_PLAN_KERNELS_H_

#include <map>
#include <optional>
#include <string>

#include "llvm/ADT/DenseMap.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/SymbolTable.h"

#include "compiler/dialect/dispatch_ops.h"

namespace weir {

/// How one launch uses the buffers of its kernel.
struct LaunchLayout {
  /// Strides of each operand, then of each result; empty where it is in row-major order.
  llvm::SmallVector<llvm::SmallVector<int64_t>> strides;
  /// For each result the operand whose memory it overwrites, or -1.
  llvm::SmallVector<int64_t> ties;
  /// Whether each result is written past the caches.
  llvm::SmallVector<bool> streamed;
};

/// The argument that `result` is but for what the kernel writes: it has to be in its memory.
std::optional<unsigned> updatedArgument(mlir::func::FuncOp kernel, unsigned result);

/// Whether the kernel may write `result` over `argument`: every op that reads the argument does so
/// at the points at which the result is written, and not later.
bool canOverwrite(mlir::func::FuncOp kernel, unsigned argument, unsigned result);

class PlanKernels {
 public:
  explicit PlanKernels(mlir::SymbolTable& symbols) : symbols(symbols) {}

  /// A launch, before `before`, that copies `value` element by element.
  LaunchOp copy(mlir::Value value, mlir::Operation* before);

  /// Lets `launch` run the variant of its kernel for `layout`.
  void specialize(LaunchOp launch, const LaunchLayout& layout);

 private:
  mlir::SymbolTable& symbols;
  llvm::DenseMap<mlir::Type, mlir::func::FuncOp> copies;
  std::map<std::string, mlir::func::FuncOp> variants;
};

}  // namespace weir

#endif  // WEIR_COMPILER_TRANSFORMS_PLAN_KERNELS_H_
