// What the operands of a loop nest have in common.

#ifndef WEIR_COMPILER_CONVERSION_CPU_NEST_ACCESSES_H_
#define WEIR_COMPILER_CONVERSION_CPU_NEST_ACCESSES_H_

#include "compiler/conversion/cpu/loop_nest.h"

namespace weir {

inline void forEachAccess(LoopNest& nest, llvm::function_ref<void(Access&)> visit) {
  for (Access& input : nest.inputs) visit(input);
  for (LoopOutput& output : nest.outputs) {
    visit(output.access);
    if (output.init) visit(*output.init);
  }
}

/// How far a step along `dim` moves; 0 for a scalar.
inline int64_t strideOf(const Access& access, size_t dim) {
  return access.isScalar() ? 0 : access.strides[dim];
}

}  // namespace weir

#endif  // WEIR_COMPILER_CONVERSION_CPU_NEST_ACCESSES_H_
