// The gradient of weir.scan: one weir.scan_vjp, whose regions are the scan's own run backward
// (region_vjp.h).

#include "compiler/dialect/elementwise_builder.h"
#include "compiler/dialect/region_vjp.h"
#include "compiler/dialect/scan_ops.h"
#include "llvm/ADT/STLExtras.h"
#include "mlir/IR/TypeUtilities.h"

namespace weir {

using namespace mlir;

namespace {

/// The length of a chunk where the scan does not say: the power of two next to the square root of
/// the time extent, so that states kept and steps recomputed balance, but at most what keeps a
/// chunk of a few features in a core's cache.
int64_t defaultChunk(int64_t length) {
  int64_t chunk = 16;
  while (chunk < 128 && chunk * chunk < length) chunk *= 2;
  return chunk;
}

/// The same scan with its chunk states as a further result. It takes the place of `scan` (which is
/// left without uses, for its caller may still hold it) and belongs to the forward direction.
ScanOp withChunkStates(ScanOp scan) {
  if (scan.getChunk()) return scan;
  OpBuilder builder(scan);
  SmallVector<int64_t> sizes = scan.getIterationSizes();
  unsigned timeDim = scan.getTimeDim();
  int64_t chunk = defaultChunk(sizes[timeDim]);
  SmallVector<int64_t> shape{(sizes[timeDim] + chunk - 1) / chunk};
  for (auto [dim, extent] : llvm::enumerate(sizes))
    if (dim != timeDim) shape.push_back(extent);
  SmallVector<Type> types(scan->getResultTypes());
  types.push_back(RankedTensorType::get(shape, scan.getStateElementType()));
  auto chunked =
      ScanOp::create(builder, scan.getLoc(), types, scan.getInputs(), scan.getInitial(),
                     scan.getSegments(), scan.getIndexingMapsAttr(), scan.getIteratorTypesAttr(),
                     scan.getReverseAttr(), builder.getI64IntegerAttr(chunk));
  chunked->setDiscardableAttrs(scan->getDiscardableAttrDictionary());
  IRMapping mapping;
  scan.getPrologue().cloneInto(&chunked.getPrologue(), mapping);
  scan.getEpilogue().cloneInto(&chunked.getEpilogue(), mapping);
  for (auto [from, to] : llvm::zip(scan.getResults(), chunked.getResults()))
    from.replaceAllUsesWith(to);
  return chunked;
}

/// Fills `region` with the reverse mode of `body`. Its arguments are those of `body`, then
/// `cotangentTypes`; it yields the cotangents of the arguments in `wanted`, with zeros for those
/// that have none. `present`: which values that `body` yields have a cotangent.
LogicalResult differentiateRegion(Location loc, Block& body, Region& region,
                                  TypeRange cotangentTypes, ArrayRef<bool> present,
                                  ArrayRef<unsigned> wanted) {
  OpBuilder builder(loc.getContext());
  SmallVector<Type> types(body.getArgumentTypes());
  unsigned primals = types.size();
  types.append(cotangentTypes.begin(), cotangentTypes.end());
  Block* block =
      builder.createBlock(&region, region.end(), types, SmallVector<Location>(types.size(), loc));
  RegionVjp vjp(builder, body, block->getArguments().take_front(primals));
  SmallVector<Value> yieldCotangents;
  unsigned next = primals;
  for (bool isPresent : present)
    yieldCotangents.push_back(isPresent ? Value(block->getArgument(next++)) : Value());
  SmallVector<bool> needed(primals, false);
  for (unsigned argument : wanted) needed[argument] = true;
  SmallVector<Value> gradients;
  if (failed(vjp.pullBack(yieldCotangents, needed, gradients))) return failure();
  ElementwiseBuilder e(builder, loc);
  SmallVector<Value> yields;
  for (unsigned argument : wanted) {
    Value gradient = gradients[argument];
    yields.push_back(gradient ? gradient : e.constant(0.0, types[argument]));
  }
  YieldOp::create(builder, loc, yields);
  eraseDeadOps(*block);
  return success();
}

}  // namespace

LogicalResult ScanOp::buildVjp(OpBuilder& builder, ValueRange cotangents,
                               SmallVectorImpl<Value>& operandCotangents) {
  materializeRegions();
  SmallVector<int64_t> sizes = getIterationSizes();
  if (llvm::any_of(sizes, ShapedType::isDynamic))
    return emitOpError("has no gradient: it needs static shapes");
  unsigned outputs = getNumOutputs();
  if (cotangents.size() > outputs + 1 && cotangents[outputs + 1])
    return emitOpError("has no gradient with respect to its chunk states");
  ScanOp scan = withChunkStates(*this);
  Location loc = getLoc();

  // Outputs without a cotangent are left out.
  SmallVector<AffineMap> maps = scan.getMaps();
  unsigned inputs = getInputs().size();
  SmallVector<AffineMap> vjpMaps(ArrayRef(maps).take_front(inputs));
  SmallVector<bool> present;
  SmallVector<Value> outputCotangents;
  SmallVector<Type> cotangentTypes;
  for (auto [output, cotangent] : llvm::enumerate(cotangents.take_front(outputs))) {
    present.push_back(static_cast<bool>(cotangent));
    if (!cotangent) continue;
    vjpMaps.push_back(maps[inputs + output]);
    outputCotangents.push_back(cotangent);
    cotangentTypes.push_back(getElementTypeOrSelf(cotangent));
  }
  SmallVector<unsigned> differentiated, differentiatedInEpilogue{0};
  SmallVector<Type> resultTypes;
  for (auto [index, input] : llvm::enumerate(getInputs())) {
    if (!isa<FloatType>(getElementTypeOrSelf(input))) continue;
    differentiated.push_back(index);
    differentiatedInEpilogue.push_back(index + 1);  // after h
    resultTypes.push_back(input.getType());
  }
  if (getInitial()) resultTypes.push_back(getInitial().getType());

  auto vjp = ScanVjpOp::create(builder, loc, resultTypes, scan.getInputs(), scan.getInitial(),
                               scan.getSegments(), scan.getChunkStates(), outputCotangents,
                               cotangents[outputs], builder.getAffineMapArrayAttr(vjpMaps),
                               *scan.getIteratorTypes(), scan.getReverseAttr(),
                               builder.getI64IntegerAttr(*scan.getChunk()));
  IRMapping mapping;
  scan.getPrologue().cloneInto(&vjp.getPrologue(), mapping);
  Type state = getStateElementType();
  if (failed(differentiateRegion(loc, scan.getEpilogue().front(), vjp.getAdjointEpilogue(),
                                 cotangentTypes, present, differentiatedInEpilogue)) ||
      failed(differentiateRegion(loc, scan.getPrologue().front(), vjp.getAdjointPrologue(),
                                 {state, state}, {true, true}, differentiated))) {
    vjp.erase();
    return failure();
  }
  operandCotangents.assign(getNumOperands(), Value());
  for (auto [position, index] : llvm::enumerate(differentiated))
    operandCotangents[index] = vjp.getResults()[position];
  if (getInitial()) operandCotangents[inputs] = vjp.getInitialCotangent();
  return success();
}

}  // namespace weir
