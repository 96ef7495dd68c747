#include "compiler/transforms/plan_layout.h"

#include "mlir/IR/Matchers.h"

#include "compiler/transforms/op_kinds.h"
#include "compiler/transforms/plan_arena.h"

namespace weir {

using namespace mlir;

SmallVector<int64_t> rowMajorStrides(ArrayRef<int64_t> shape) {
  SmallVector<int64_t> strides(shape.size(), 1);
  for (int64_t d = static_cast<int64_t>(shape.size()) - 2; d >= 0; --d) {
    strides[d] = strides[d + 1] * shape[d + 1];
  }
  return strides;
}

bool isRowMajor(ArrayRef<int64_t> shape, ArrayRef<int64_t> strides) {
  SmallVector<int64_t> dense = rowMajorStrides(shape);
  for (size_t d = 0; d < shape.size(); ++d) {
    if (shape[d] != 1 && strides[d] != dense[d]) return false;
  }
  return true;
}

RankedTensorType withAlignedRows(RankedTensorType type) {
  constexpr int64_t kLeastLines = 8;
  int64_t element = byteSize(type.getElementType());
  SmallVector<int64_t> shape(type.getShape());
  if (type.getRank() < 2 || shape.back() * element < kLeastLines * kArenaAlignment) return type;
  shape.back() = llvm::alignTo(shape.back(), kArenaAlignment / element);
  return RankedTensorType::get(shape, type.getElementType());
}

std::optional<SmallVector<int64_t>> joinDimensions(ArrayRef<int64_t> shape,
                                                   ArrayRef<int64_t> strides,
                                                   ArrayRef<ReassociationIndices> groups) {
  SmallVector<int64_t> joined;
  for (const ReassociationIndices& group : groups) {
    // From the innermost dimension out: each must continue where the one inside ends.
    int64_t stride = 1, next = -1;
    for (int64_t d : llvm::reverse(group)) {
      if (shape[d] == 1) continue;
      if (next < 0) {
        stride = strides[d];
      } else if (strides[d] != next) {
        return std::nullopt;
      }
      next = strides[d] * shape[d];
    }
    joined.push_back(stride);
  }
  return joined;
}

SmallVector<int64_t> splitDimensions(ArrayRef<int64_t> shape, ArrayRef<int64_t> strides,
                                     ArrayRef<ReassociationIndices> groups) {
  SmallVector<int64_t> split(shape.size(), 1);
  for (auto [joined, group] : llvm::enumerate(groups)) {
    int64_t stride = strides[joined];
    for (int64_t d : llvm::reverse(group)) {
      split[d] = stride;
      stride *= shape[d];
    }
  }
  return split;
}

std::optional<Place> sliceOf(const Place& whole, OffsetSizeAndStrideOpInterface slice,
                             const llvm::SmallBitVector& dropped) {
  Place place{whole.buffer, whole.offset, {}};
  for (size_t d = 0; d < whole.strides.size(); ++d) {
    if (ShapedType::isDynamic(slice.getStaticOffsets()[d]) ||
        ShapedType::isDynamic(slice.getStaticStrides()[d])) {
      return std::nullopt;
    }
    place.offset += slice.getStaticOffsets()[d] * whole.strides[d];
    if (!dropped.test(d)) place.strides.push_back(whole.strides[d] * slice.getStaticStrides()[d]);
  }
  return place;
}

static ArrayRef<int64_t> shapeOf(Value value) {
  return cast<RankedTensorType>(value.getType()).getShape();
}

std::optional<Place> placeOfView(Operation* view, const Place& source) {
  if (auto slice = dyn_cast<tensor::ExtractSliceOp>(view)) {
    return sliceOf(source, slice, slice.getDroppedDims());
  }
  if (auto expand = dyn_cast<tensor::ExpandShapeOp>(view)) {
    return Place{source.buffer, source.offset,
                 splitDimensions(shapeOf(expand.getResult()), source.strides,
                                 expand.getReassociationIndices())};
  }
  if (auto collapse = dyn_cast<tensor::CollapseShapeOp>(view)) {
    auto strides = joinDimensions(shapeOf(collapse.getSrc()), source.strides,
                                  collapse.getReassociationIndices());
    if (!strides) return std::nullopt;
    return Place{source.buffer, source.offset, *strides};
  }
  if (auto extract = dyn_cast<tensor::ExtractOp>(view)) {
    Place place{source.buffer, source.offset, {}};
    for (auto [index, stride] : llvm::zip(extract.getIndices(), source.strides)) {
      llvm::APInt constant;
      if (!matchPattern(index, m_ConstantInt(&constant))) return std::nullopt;
      place.offset += constant.getSExtValue() * stride;
    }
    return place;
  }
  return std::nullopt;
}

std::optional<Place> placeOfSource(Operation* view, const Place& result) {
  if (auto expand = dyn_cast<tensor::ExpandShapeOp>(view)) {
    auto strides = joinDimensions(shapeOf(expand.getResult()), result.strides,
                                  expand.getReassociationIndices());
    if (!strides) return std::nullopt;
    return Place{result.buffer, result.offset, *strides};
  }
  if (auto collapse = dyn_cast<tensor::CollapseShapeOp>(view)) {
    return Place{result.buffer, result.offset,
                 splitDimensions(shapeOf(collapse.getSrc()), result.strides,
                                 collapse.getReassociationIndices())};
  }
  return std::nullopt;
}

Place partOf(const Place& whole, tensor::ConcatOp concat, unsigned number) {
  Place place = whole;
  int64_t dim = concat.getDim();
  for (unsigned i = 0; i < number; ++i) {
    place.offset += shapeOf(concat.getInputs()[i])[dim] * whole.strides[dim];
  }
  return place;
}

}  // namespace weir
