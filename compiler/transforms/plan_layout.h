// Where tensors are: a place in a buffer with strides, and what views make of it.

#ifndef WEIR_COMPILER_TRANSFORMS_PLAN_LAYOUT_H_
#define WEIR_COMPILER_TRANSFORMS_PLAN_LAYOUT_H_

#include <cstdint>
#include <optional>

#include "mlir/Dialect/Tensor/IR/Tensor.h"

namespace weir {

/// A tensor's elements in buffer number `buffer` of an entry point. Offset and strides count
/// elements.
struct Place {
  int64_t buffer = 0;
  int64_t offset = 0;
  llvm::SmallVector<int64_t> strides;

  bool operator==(const Place& other) const {
    return buffer == other.buffer && offset == other.offset && strides == other.strides;
  }
};

llvm::SmallVector<int64_t> rowMajorStrides(llvm::ArrayRef<int64_t> shape);

/// Whether a tensor with these strides is laid out in row-major order; dimensions of one element
/// don't count.
bool isRowMajor(llvm::ArrayRef<int64_t> shape, llvm::ArrayRef<int64_t> strides);

/// The type with its rows lengthened to whole lines of the caches where they are long: few bytes
/// more.
mlir::RankedTensorType withAlignedRows(mlir::RankedTensorType type);

/// Groups of dimensions joined into one each; nothing if elements of a group are not evenly spaced.
std::optional<llvm::SmallVector<int64_t>> joinDimensions(
    llvm::ArrayRef<int64_t> shape, llvm::ArrayRef<int64_t> strides,
    llvm::ArrayRef<mlir::ReassociationIndices> groups);

/// Each dimension taken apart into a group of dimensions of the shape `shape`.
llvm::SmallVector<int64_t> splitDimensions(llvm::ArrayRef<int64_t> shape,
                                           llvm::ArrayRef<int64_t> strides,
                                           llvm::ArrayRef<mlir::ReassociationIndices> groups);

/// The place of a slice of what is at `whole`; nothing if the offsets are not constants.
std::optional<Place> sliceOf(const Place& whole, mlir::OffsetSizeAndStrideOpInterface slice,
                             const llvm::SmallBitVector& dropped);

/// The place of the result of extract_slice, expand_shape or collapse_shape (or of the element that
/// tensor.extract reads), given that of its source; nothing if it has none without a copy.
std::optional<Place> placeOfView(mlir::Operation* view, const Place& source);

/// The place of the source of expand_shape or collapse_shape, given that of its result.
std::optional<Place> placeOfSource(mlir::Operation* view, const Place& result);

/// The place of operand `number` of a concatenation at `whole`.
Place partOf(const Place& whole, mlir::tensor::ConcatOp concat, unsigned number);

}  // namespace weir

#endif  // WEIR_COMPILER_TRANSFORMS_PLAN_LAYOUT_H_
