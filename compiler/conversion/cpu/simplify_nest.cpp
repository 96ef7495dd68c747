#include "compiler/conversion/cpu/nest_accesses.h"
#include "mlir/Dialect/Arith/IR/Arith.h"

namespace weir {

using namespace mlir;

void simplify(LoopNest& nest) {
  auto erase = [&](size_t dim) {
    nest.dims.erase(nest.dims.begin() + dim);
    forEachAccess(nest, [&](Access& access) {
      if (!access.isScalar()) access.strides.erase(access.strides.begin() + dim);
    });
  };
  for (size_t dim = nest.dims.size(); dim-- > 0;) {
    const LoopDim& d = nest.dims[dim];
    bool indexed = d.source >= 0 && usesIndex(*nest.body, d.source);
    if (d.extent == 1 && !d.size && !indexed && nest.dims.size() > 1) erase(dim);
  }
  for (size_t dim = nest.dims.size(); dim-- > 1;) {
    LoopDim &outer = nest.dims[dim - 1], &inner = nest.dims[dim];
    if (outer.reduction != inner.reduction || inner.size) continue;
    if ((outer.source >= 0 && usesIndex(*nest.body, outer.source)) ||
        (inner.source >= 0 && usesIndex(*nest.body, inner.source)))
      continue;
    bool walkAsOne = true;
    forEachAccess(nest, [&](Access& access) {
      walkAsOne &= strideOf(access, dim - 1) == strideOf(access, dim) * inner.extent;
    });
    if (!walkAsOne) continue;
    LoopDim merged = inner;
    merged.extent = outer.extent * inner.extent;
    merged.source = -1;
    merged.row = outer.row || inner.row;
    if (outer.lastSize) merged.lastSize = *outer.lastSize * inner.extent;
    merged.start = Value();
    if (outer.size) {
      OpBuilder builder(outer.size.getContext());
      builder.setInsertionPointAfterValue(outer.size);
      Value factor = arith::ConstantIndexOp::create(builder, outer.size.getLoc(), inner.extent);
      merged.size = arith::MulIOp::create(builder, outer.size.getLoc(), outer.size, factor);
    }
    nest.dims[dim] = merged;
    erase(dim - 1);
  }
}

}  // namespace weir
