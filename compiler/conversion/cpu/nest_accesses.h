// What the operands of a loop nest have in common.

#ifndef WEIR_COMPILER_CONVERSION_CPU_NEST_ACCESSES_H_
#define WEIR_COMPILER_CONVERSION_CPU_NEST_ACCESSES_H_

#include "compiler/conversion/cpu/loop_nest.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"

namespace weir {

/// `visit` gets each Access of `nest`, const if that is.
template <typename Nest, typename Visit>
void forEachAccess(Nest& nest, Visit visit) {
  for (auto& input : nest.inputs) visit(input);
  for (auto& output : nest.outputs) {
    visit(output.access);
    if (output.init) visit(*output.init);
  }
}

/// Whether the region asks for its index of dimension `dim`.
inline bool usesIndex(mlir::Block& body, int64_t dim) {
  bool used = false;
  body.walk([&](mlir::linalg::IndexOp op) { used |= static_cast<int64_t>(op.getDim()) == dim; });
  return used;
}

/// How far a step along `dim` moves; 0 for a scalar.
inline int64_t strideOf(const Access& access, size_t dim) {
  return access.isScalar() ? 0 : access.strides[dim];
}

}  // namespace weir

#endif  // WEIR_COMPILER_CONVERSION_CPU_NEST_ACCESSES_H_
