#include "compiler/dialect/linalg_builder.h"

#include <limits>

#include "llvm/ADT/STLExtras.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/TypeUtilities.h"

namespace weir {
using namespace mlir;
using utils::IteratorType;

ArrayRef<int64_t> shapeOf(Value tensor) {
  return cast<RankedTensorType>(tensor.getType()).getShape();
}

bool hasStaticShapes(Operation* op) {
  auto isStatic = [](Type type) {
    auto tensor = dyn_cast<RankedTensorType>(type);
    return !tensor || tensor.hasStaticShape();
  };
  return llvm::all_of(op->getOperandTypes(), isStatic) &&
         llvm::all_of(op->getResultTypes(), isStatic);
}

Type accumulatorType(Type element) {
  return element.isF64() ? element : Float32Type::get(element.getContext());
}

Value LinalgBuilder::empty(ArrayRef<int64_t> shape, Type element) {
  return tensor::EmptyOp::create(b, loc, shape, element);
}

Value LinalgBuilder::filled(double value, ArrayRef<int64_t> shape, Type element) {
  Value scalar = scalars().constant(value, element);
  return linalg::FillOp::create(b, loc, scalar, empty(shape, element)).getResult(0);
}

Value LinalgBuilder::filledLike(double value, Value like) {
  return filled(value, shapeOf(like), getElementTypeOrSelf(like.getType()));
}

Value LinalgBuilder::generic(ValueRange inputs, Value init, ArrayRef<AffineMap> maps,
                             ArrayRef<IteratorType> iterators, Body body) {
  auto op = linalg::GenericOp::create(
      b, loc, init.getType(), inputs, init, maps, iterators,
      [&](OpBuilder& nested, Location nestedLoc, ValueRange arguments) {
        Value result = body(ElementwiseBuilder(nested, nestedLoc), arguments);
        linalg::YieldOp::create(nested, nestedLoc, result);
      });
  return op.getResult(0);
}

Value LinalgBuilder::elementwise(ArrayRef<int64_t> shape, Type element, ValueRange inputs,
                                 ArrayRef<AffineMap> maps, Body body) {
  SmallVector<AffineMap> allMaps(maps);
  allMaps.push_back(identity(shape.size()));
  SmallVector<IteratorType> iterators(shape.size(), IteratorType::parallel);
  return generic(
      inputs, empty(shape, element), allMaps, iterators,
      [&](ElementwiseBuilder e, ValueRange arguments) { return body(e, arguments.drop_back()); });
}

Value LinalgBuilder::elementwise(ValueRange inputs, Body body) {
  unsigned rank = shapeOf(inputs[0]).size();
  SmallVector<AffineMap> maps(inputs.size(), identity(rank));
  return elementwise(shapeOf(inputs[0]), getElementTypeOrSelf(inputs[0].getType()), inputs, maps,
                     body);
}

Value LinalgBuilder::reduce(ArrayRef<int64_t> domain, ArrayRef<unsigned> reduced, Type element,
                            ValueRange inputs, ArrayRef<AffineMap> maps, double neutral,
                            bool isMaximum, Body body) {
  SmallVector<IteratorType> iterators(domain.size(), IteratorType::parallel);
  for (unsigned dim : reduced) iterators[dim] = IteratorType::reduction;
  SmallVector<unsigned> kept;
  SmallVector<int64_t> shape;
  for (unsigned dim = 0; dim < domain.size(); ++dim) {
    if (iterators[dim] != IteratorType::parallel) continue;
    kept.push_back(dim);
    shape.push_back(domain[dim]);
  }
  SmallVector<AffineMap> allMaps(maps);
  allMaps.push_back(map(domain.size(), kept));
  return generic(inputs, filled(neutral, shape, element), allMaps, iterators,
                 [&](ElementwiseBuilder e, ValueRange arguments) {
                   Value accumulator = arguments.back();
                   Value term = e.cast(body(e, arguments.drop_back()), element);
                   return isMaximum ? e.maximum(accumulator, term) : e.add(accumulator, term);
                 });
}

Value LinalgBuilder::sum(ArrayRef<int64_t> domain, ArrayRef<unsigned> reduced, Type element,
                         ValueRange inputs, ArrayRef<AffineMap> maps, Body body) {
  return reduce(domain, reduced, element, inputs, maps, 0, /*isMaximum=*/false, body);
}

Value LinalgBuilder::maximum(ArrayRef<int64_t> domain, ArrayRef<unsigned> reduced, Type element,
                             ValueRange inputs, ArrayRef<AffineMap> maps, Body body) {
  return reduce(domain, reduced, element, inputs, maps, -std::numeric_limits<double>::infinity(),
                /*isMaximum=*/true, body);
}

Value LinalgBuilder::contract(Value lhs, ArrayRef<unsigned> lhsDims, Value rhs,
                              ArrayRef<unsigned> rhsDims, ArrayRef<unsigned> outDims,
                              unsigned numDims) {
  SmallVector<int64_t> extents(numDims);
  for (auto [dim, extent] : llvm::zip(lhsDims, shapeOf(lhs))) extents[dim] = extent;
  for (auto [dim, extent] : llvm::zip(rhsDims, shapeOf(rhs))) extents[dim] = extent;
  SmallVector<IteratorType> iterators(numDims, IteratorType::reduction);
  SmallVector<int64_t> shape;
  for (unsigned dim : outDims) {
    iterators[dim] = IteratorType::parallel;
    shape.push_back(extents[dim]);
  }
  Type element = accumulatorType(getElementTypeOrSelf(lhs.getType()));
  SmallVector<AffineMap> maps{map(numDims, lhsDims), map(numDims, rhsDims), map(numDims, outDims)};
  return generic({lhs, rhs}, filled(0, shape, element), maps, iterators,
                 [&](ElementwiseBuilder e, ValueRange v) {
                   return e.add(v[2], e.mul(e.cast(v[0], element), e.cast(v[1], element)));
                 });
}

Value LinalgBuilder::slice(Value tensor, ArrayRef<int64_t> offsets, ArrayRef<int64_t> sizes) {
  if (shapeOf(tensor) == sizes) return tensor;
  SmallVector<OpFoldResult> strides(offsets.size(), b.getIndexAttr(1));
  auto attributes = [&](ArrayRef<int64_t> values) {
    return llvm::map_to_vector(values,
                               [&](int64_t v) -> OpFoldResult { return b.getIndexAttr(v); });
  };
  return tensor::ExtractSliceOp::create(b, loc, tensor, attributes(offsets), attributes(sizes),
                                        strides);
}

Value LinalgBuilder::sliceDim(Value tensor, unsigned dim, int64_t offset, int64_t size) {
  SmallVector<int64_t> offsets(shapeOf(tensor).size(), 0), sizes(shapeOf(tensor));
  offsets[dim] = offset;
  sizes[dim] = size;
  return slice(tensor, offsets, sizes);
}

Value LinalgBuilder::concat(unsigned dim, ValueRange tensors) {
  if (tensors.size() == 1) return tensors[0];
  return tensor::ConcatOp::create(b, loc, dim, tensors);
}

Value LinalgBuilder::reshape(Value tensor, ArrayRef<int64_t> shape) {
  if (shapeOf(tensor) == shape) return tensor;
  Type element = getElementTypeOrSelf(tensor.getType());
  auto target = RankedTensorType::get(shape, element);
  auto source = cast<RankedTensorType>(tensor.getType());
  if (shape.size() > static_cast<size_t>(source.getRank())) {
    if (auto groups = getReassociationIndicesForReshape(source, target))
      return tensor::ExpandShapeOp::create(b, loc, target, tensor, *groups);
  } else if (shape.size() < static_cast<size_t>(source.getRank())) {
    if (auto groups = getReassociationIndicesForReshape(source, target))
      return tensor::CollapseShapeOp::create(b, loc, target, tensor, *groups);
  }
  // Through one dimension.
  int64_t count = source.getNumElements();
  SmallVector<ReassociationIndices> all(1);
  for (int64_t d = 0; d < source.getRank(); ++d) all[0].push_back(d);
  Value flat =
      tensor::CollapseShapeOp::create(b, loc, RankedTensorType::get({count}, element), tensor, all);
  all[0].clear();
  for (size_t d = 0; d < shape.size(); ++d) all[0].push_back(d);
  return tensor::ExpandShapeOp::create(b, loc, target, flat, all);
}

Value LinalgBuilder::padEnd(Value tensor, unsigned dim, int64_t amount) {
  if (amount == 0) return tensor;
  SmallVector<int64_t> shape(shapeOf(tensor));
  shape[dim] = amount;
  return concat(dim, {tensor, filled(0, shape, getElementTypeOrSelf(tensor.getType()))});
}

AffineMap LinalgBuilder::map(unsigned rank, ArrayRef<unsigned> targets) {
  return AffineMap::getMultiDimMapWithTargets(rank, targets, b.getContext());
}

AffineMap LinalgBuilder::identity(unsigned rank) {
  return AffineMap::getMultiDimIdentityMap(rank, b.getContext());
}

}  // namespace weir
