// What a kernel's own code loads and stores: its emitted loops are counted, each access as often as
// it runs, wherever in the caches it hits.

#ifndef WEIR_COMPILER_DRIVER_BENCH_OWN_TRAFFIC_H_
#define WEIR_COMPILER_DRIVER_BENCH_OWN_TRAFFIC_H_

#include <optional>

#include "mlir/Dialect/Func/IR/FuncOps.h"

#include "compiler/conversion/cpu/compile_kernel.h"

namespace weir::bench {

struct OwnTraffic {
  /// Bytes of operands and results. Of those that are small enough to stay in the first cache, such
  /// as biases, each byte counts once.
  double loaded = 0, stored = 0;
  /// Bytes loaded and stored that stay near: in scratch memory, and again in small operands.
  double near = 0;
};

/// Counts in the function that the kernel's emitter makes. Nothing if a loop's bounds aren't known
/// from the shapes; failure if the kernel can't be emitted. A masked access counts in full where
/// its mask isn't known.
mlir::FailureOr<std::optional<OwnTraffic>> ownTrafficOf(mlir::func::FuncOp kernel, IsaLevel level);

/// The same for the text of an emitted kernel, one module (KernelText::Emitted).
std::optional<OwnTraffic> ownTrafficOfText(llvm::StringRef text);

}  // namespace weir::bench

#endif  // WEIR_COMPILER_DRIVER_BENCH_OWN_TRAFFIC_H_
