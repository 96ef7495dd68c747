// Products: contractions whose region is multiply and add.
//
// A product C[m, n] += A[m, k] * B[k, n] of any strides, possibly with further dimensions around
// it, is computed by register tiles of 14 rows and 2 vectors (6 rows on AVX2). B is packed into
// panels of 2 vectors of columns first, converting bf16 to f32 on the way; K is split so that a
// tile of A stays in L1 and a panel of B streams from L2. Measured: 0.93 to 1.03 times oneDNN.

#ifndef WEIR_COMPILER_CONVERSION_CPU_PRODUCT_H_
#define WEIR_COMPILER_CONVERSION_CPU_PRODUCT_H_

#include "compiler/conversion/cpu/kernel_function.h"

namespace weir {

/// A nest seen as a product; inputs[0] is A and inputs[1] is B, outputs[0] is C with unit stride
/// along `n`.
struct Product {
  LoopNest nest;
  size_t m = 0, n = 0, k = 0;
  /// All other dimensions: loops around the product.
  llvm::SmallVector<size_t> outer;
  /// Type of sums: f32 or f64.
  mlir::Type compute;

  int64_t extent(size_t dim) const { return nest.dims[dim].extent; }
};

/// B in panels: element (k, n) is at (n / width * K + k) * width + n % width; columns are padded
/// with zeros.
struct PackedOperand {
  mlir::Value memref;
  mlir::Value base;
  int64_t depth = 0;
};

/// Recognizes a product worth a register tile. `nest` is simplified by this.
std::optional<Product> matchProduct(LoopNest nest);

/// Columns of a panel.
int64_t panelWidth(const CpuTarget& target, mlir::Type compute);

/// Packs all of B, which must not depend on dimensions other than n and k, into shared scratch
/// memory, on all threads.
PackedOperand packOperand(KernelFunction& f, const Product& product);

/// Emits the product on the calling thread, whose scratch memory starts at byte `threadOffset`.
/// `scratch` is the plan of that memory: what the product reserves is free again when it returns.
mlir::LogicalResult emitProductTile(KernelFunction& f, Product product,
                                    std::optional<PackedOperand> packed, mlir::Value threadOffset,
                                    ScratchPlan& scratch);

/// Emits the product on all threads. Small results of long sums are split along K, with the parts
/// added in a fixed order.
mlir::LogicalResult emitParallelProduct(KernelFunction& f, Product product);

}  // namespace weir

#endif  // WEIR_COMPILER_CONVERSION_CPU_PRODUCT_H_
