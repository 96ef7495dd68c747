// weir.scan and weir.scan_vjp: their iteration space, types and verifiers. The gradient is in
// scan_vjp.cpp.

#include "compiler/dialect/scan_ops.h"

#include "compiler/dialect/elementwise_builder.h"
#include "compiler/dialect/streaming.h"
#include "llvm/ADT/STLExtras.h"
#include "mlir/IR/AffineMap.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "mlir/IR/TypeUtilities.h"

#define GET_OP_CLASSES
#include "compiler/dialect/scan_ops.cpp.inc"

namespace weir {
using namespace mlir;

void registerScanOps(WeirDialect& dialect) {
  dialect.registerOps<
#define GET_OP_LIST
#include "compiler/dialect/scan_ops.cpp.inc"
      >();
}

namespace {

constexpr llvm::StringLiteral kTime = "time";
constexpr llvm::StringLiteral kParallel = "parallel";

/// The map of an operand of the simple form: identity, or the trailing dimensions of one of a lower
/// rank.
AffineMap trailingMap(MLIRContext* context, unsigned rank, unsigned operandRank) {
  return AffineMap::getMultiDimIdentityMap(rank, context).getMinorSubMap(operandRank);
}

/// The largest rank of the inputs: that of the iteration space of the simple form.
unsigned simpleRank(TypeRange inputs) {
  unsigned rank = 0;
  for (Type type : inputs) rank = std::max<unsigned>(rank, cast<RankedTensorType>(type).getRank());
  return rank;
}

/// Extents of the iteration space from the shapes of the inputs; kDynamic where none is known.
SmallVector<int64_t> iterationSizes(ArrayRef<AffineMap> maps, TypeRange inputs, unsigned rank) {
  SmallVector<int64_t> sizes(rank, ShapedType::kDynamic);
  for (auto [type, map] : llvm::zip(inputs, maps)) {
    ArrayRef<int64_t> shape = cast<RankedTensorType>(type).getShape();
    for (auto [result, extent] : llvm::zip(map.getResults(), shape))
      if (auto dim = dyn_cast<AffineDimExpr>(result); dim && !ShapedType::isDynamic(extent))
        sizes[dim.getPosition()] = extent;
  }
  return sizes;
}

Type stateElementType(MLIRContext* context, TypeRange inputs) {
  for (Type type : inputs)
    if (getElementTypeOrSelf(type).isF64()) return Float64Type::get(context);
  return Float32Type::get(context);
}

AffineMap stateMap(MLIRContext* context, unsigned rank, unsigned timeDim) {
  SmallVector<unsigned> dims;
  for (unsigned d = 0; d < rank; ++d)
    if (d != timeDim) dims.push_back(d);
  return AffineMap::getMultiDimMapWithTargets(rank, dims, context);
}

std::optional<unsigned> timeDimOf(ArrayAttr iteratorTypes) {
  for (auto [position, iterator] : llvm::enumerate(iteratorTypes))
    if (cast<StringAttr>(iterator).getValue() == kTime) return position;
  return std::nullopt;
}

SmallVector<int64_t> without(ArrayRef<int64_t> sizes, unsigned position) {
  SmallVector<int64_t> rest(sizes);
  rest.erase(rest.begin() + position);
  return rest;
}

SmallVector<AffineMap> mapsOf(ArrayAttr maps) {
  return llvm::map_to_vector(maps,
                             [](Attribute map) { return cast<AffineMapAttr>(map).getValue(); });
}

/// Checks what the scan and its gradient have in common; `numMapped` inputs and outputs have maps.
LogicalResult verifyIteration(Operation* op, ArrayAttr maps, ArrayAttr iterators, TypeRange inputs,
                              unsigned numMapped, Value initial, Value segments) {
  if (maps.size() != numMapped)
    return op->emitOpError() << "has " << maps.size() << " indexing maps for " << numMapped
                             << " inputs and outputs";
  unsigned timeDims = 0;
  for (Attribute iterator : iterators) {
    StringRef kind = cast<StringAttr>(iterator).getValue();
    if (kind != kTime && kind != kParallel)
      return op->emitOpError() << "has iterator type '" << kind
                               << "'; it must be 'time' or 'parallel'";
    timeDims += kind == kTime;
  }
  if (timeDims != 1)
    return op->emitOpError() << "needs exactly one iterator of type 'time', but has " << timeDims;
  SmallVector<AffineMap> affineMaps = mapsOf(maps);
  SmallVector<int64_t> sizes = iterationSizes(affineMaps, inputs, iterators.size());
  for (auto [index, map] : llvm::enumerate(affineMaps)) {
    if (map.getNumDims() != iterators.size() || !map.isProjectedPermutation())
      return op->emitOpError() << "indexing map #" << index
                               << " is no projected permutation of the iteration space";
  }
  for (auto [index, type] : llvm::enumerate(inputs)) {
    ArrayRef<int64_t> shape = cast<RankedTensorType>(type).getShape();
    AffineMap map = affineMaps[index];
    if (map.getNumResults() != shape.size())
      return op->emitOpError() << "indexing map #" << index << " has " << map.getNumResults()
                               << " results for an input of rank " << shape.size();
    for (auto [result, extent] : llvm::zip(map.getResults(), shape)) {
      int64_t expected = sizes[cast<AffineDimExpr>(result).getPosition()];
      if (!ShapedType::isDynamic(extent) && expected != extent)
        return op->emitOpError() << "input #" << index << " has extent " << extent
                                 << " where another input has " << expected;
    }
  }
  unsigned timeDim = *timeDimOf(iterators);
  SmallVector<int64_t> stateShape = without(sizes, timeDim);
  if (initial && failed(verifyCompatibleShape(cast<RankedTensorType>(initial.getType()).getShape(),
                                              stateShape)))
    return op->emitOpError() << "initial state of type " << initial.getType()
                             << " does not have the shape of the state, all dimensions but time";
  if (segments) {
    auto type = cast<RankedTensorType>(segments.getType());
    if (type.getRank() != 2 || !type.getElementType().isInteger(32))
      return op->emitOpError() << "segment ids must be tensor<batch x time x i32>, but are "
                               << type;
  }
  return success();
}

LogicalResult verifyRegionTypes(Operation* op, Region& region, StringRef name, TypeRange arguments,
                                TypeRange yields) {
  Block& block = region.front();
  if (block.getArgumentTypes() != arguments)
    return op->emitOpError() << "region '" << name << "' must take (" << arguments
                             << "), but takes (" << block.getArgumentTypes() << ")";
  auto yield = dyn_cast<YieldOp>(block.getTerminator());
  if (!yield) return op->emitOpError() << "region '" << name << "' must end with weir.yield";
  if (yield.getValues().getTypes() != yields)
    return yield.emitOpError() << "must yield (" << yields << ") from region '" << name << "'";
  return success();
}

SmallVector<Type> elementTypes(TypeRange types) {
  return llvm::map_to_vector(types, [](Type type) { return getElementTypeOrSelf(type); });
}

}  // namespace

// ScanOp

void ScanOp::materializeRegions() {
  if (!isSimple()) return;
  MLIRContext* context = getContext();
  unsigned rank = simpleRank(getInputs().getTypes());
  SmallVector<AffineMap> maps;
  for (Type type : getInputs().getTypes())
    maps.push_back(trailingMap(context, rank, cast<RankedTensorType>(type).getRank()));
  maps.push_back(AffineMap::getMultiDimIdentityMap(rank, context));
  SmallVector<Attribute> iterators(rank, StringAttr::get(context, kParallel));
  iterators[1] = StringAttr::get(context, kTime);
  Builder attributes(context);
  setIndexingMapsAttr(attributes.getAffineMapArrayAttr(maps));
  setIteratorTypesAttr(attributes.getArrayAttr(iterators));

  OpBuilder b(context);
  SmallVector<Type> inputs = elementTypes(getInputs().getTypes());
  SmallVector<Location> locs(inputs.size(), getLoc());
  Block* prologue = b.createBlock(&getPrologue(), {}, inputs, locs);
  ElementwiseBuilder e(b, getLoc());
  SmallVector<Value> ab;
  for (Value argument : prologue->getArguments())
    ab.push_back(e.cast(argument, getStateElementType()));
  YieldOp::create(b, getLoc(), ab);
  SmallVector<Type> epilogueTypes{getStateElementType()};
  epilogueTypes.append(inputs);
  locs.push_back(getLoc());
  Block* epilogue = b.createBlock(&getEpilogue(), {}, epilogueTypes, locs);
  Type output = getElementTypeOrSelf(getResults()[0].getType());
  YieldOp::create(b, getLoc(), e.cast(epilogue->getArgument(0), output));
}

unsigned ScanOp::getNumOutputs() {
  return getResults().size() - 1 - (getChunk().has_value() ? 1 : 0);
}

Value ScanOp::getChunkStates() { return getChunk() ? getResults().back() : Value(); }

unsigned ScanOp::getTimeDim() { return getIteratorTypes() ? *timeDimOf(*getIteratorTypes()) : 1; }

SmallVector<AffineMap> ScanOp::getMaps() { return mapsOf(*getIndexingMaps()); }

SmallVector<int64_t> ScanOp::getIterationSizes() {
  return iterationSizes(getMaps(), getInputs().getTypes(), getIteratorTypes()->size());
}

AffineMap ScanOp::getStateMap() {
  unsigned rank =
      getIteratorTypes() ? getIteratorTypes()->size() : simpleRank(getInputs().getTypes());
  return stateMap(getContext(), rank, getTimeDim());
}

Type ScanOp::getStateElementType() {
  return stateElementType(getContext(), getInputs().getTypes());
}

LogicalResult ScanOp::inferReturnTypes(MLIRContext* context, std::optional<Location> location,
                                       Adaptor adaptor, SmallVectorImpl<Type>& inferred) {
  TypeRange inputs = adaptor.getInputs().getTypes();
  if (inputs.empty()) return emitOptionalError(location, "weir.scan needs inputs");
  Type element = stateElementType(context, inputs);
  bool simple = adaptor.getPrologue().empty();
  unsigned rank = simple ? simpleRank(inputs) : adaptor.getIteratorTypes()->size();
  if (simple && (inputs.size() != 2 || rank < 2))
    return emitOptionalError(
        location, "weir.scan without regions takes a and b, of batch, time and features");
  SmallVector<AffineMap> maps;
  unsigned timeDim = 1;
  if (simple) {
    for (Type type : inputs)
      maps.push_back(trailingMap(context, rank, cast<RankedTensorType>(type).getRank()));
    maps.push_back(AffineMap::getMultiDimIdentityMap(rank, context));
  } else {
    maps = mapsOf(*adaptor.getIndexingMaps());
    timeDim = timeDimOf(*adaptor.getIteratorTypes()).value_or(0);
  }
  SmallVector<int64_t> sizes = iterationSizes(maps, inputs, rank);
  ArrayRef<AffineMap> outputMaps = ArrayRef<AffineMap>(maps).drop_front(inputs.size());
  for (auto [index, map] : llvm::enumerate(outputMaps)) {
    SmallVector<int64_t> shape;
    for (AffineExpr result : map.getResults())
      shape.push_back(sizes[cast<AffineDimExpr>(result).getPosition()]);
    Type output = simple
                      ? getElementTypeOrSelf(inputs[1])
                      : adaptor.getEpilogue().front().getTerminator()->getOperand(index).getType();
    inferred.push_back(RankedTensorType::get(shape, output));
  }
  SmallVector<int64_t> state = without(sizes, timeDim);
  inferred.push_back(RankedTensorType::get(state, element));
  if (adaptor.getChunk()) {
    int64_t length = sizes[timeDim];
    int64_t chunks =
        ShapedType::isDynamic(length) ? length : llvm::divideCeil(length, *adaptor.getChunk());
    SmallVector<int64_t> shape{chunks};
    shape.append(state);
    inferred.push_back(RankedTensorType::get(shape, element));
  }
  return success();
}

bool ScanOp::isCompatibleReturnTypes(TypeRange inferred, TypeRange actual) {
  return succeeded(verifyCompatibleShapes(inferred, actual));
}

LogicalResult ScanOp::verify() {
  if (getChunk() && static_cast<int64_t>(*getChunk()) <= 0)
    return emitOpError() << "chunk must be positive";
  if (isSimple()) {
    if (!getEpilogue().empty())
      return emitOpError() << "has an epilogue but no prologue; the general form has both";
    if (getIndexingMaps() || getIteratorTypes())
      return emitOpError() << "has indexing maps but no regions; the general form has both";
    return success();
  }
  if (getEpilogue().empty() || !getIndexingMaps() || !getIteratorTypes())
    return emitOpError()
           << "in its general form needs indexing_maps, iterator_types and both regions";
  if (failed(verifyIteration(*this, *getIndexingMaps(), *getIteratorTypes(), getInputs().getTypes(),
                             getInputs().size() + getNumOutputs(), getInitial(), getSegments())))
    return failure();
  Type state = getStateElementType();
  SmallVector<Type> inputs = elementTypes(getInputs().getTypes());
  if (failed(verifyRegionTypes(*this, getPrologue(), "prologue", inputs, {state, state})))
    return failure();
  SmallVector<Type> arguments{state};
  arguments.append(inputs);
  return verifyRegionTypes(*this, getEpilogue(), "epilogue", arguments,
                           elementTypes(getOutputs().getTypes()));
}

void ScanOp::bindSegments(Value segments) { getSegmentsMutable().assign(segments); }
void ScanOp::bindStart(Value) {}
bool ScanOp::isCausal() { return !getReverse(); }

LogicalResult ScanOp::stateSpecs(const StreamContext&, SmallVectorImpl<StreamStateSpec>& specs) {
  FailureOr<bool> carried = isCarriedByLayer(*this, getInitial() ? getInitial() : ValueRange());
  if (failed(carried)) return failure();
  if (!*carried) specs.push_back({"h", cast<RankedTensorType>(getFinal().getType())});
  return success();
}

FailureOr<SmallVector<Value>> ScanOp::buildStep(OpBuilder& b, const StreamArguments& arguments,
                                                SmallVectorImpl<Value>& newStates) {
  LinalgBuilder l(b, getLoc());
  Value initial = getInitial();
  if (!arguments.states.empty()) {
    Value state = arguments.states[0];
    initial = initial ? startFrom(l, arguments, initial, state) : state;
  }
  initial = keepWithinSegment(l, arguments, initial);
  auto step = cast<ScanOp>(b.clone(*getOperation()));
  step.getInitialMutable().assign(initial);
  if (!arguments.states.empty()) newStates.push_back(step.getFinal());
  return llvm::to_vector_of<Value>(step.getResults());
}

Cost ScanOp::cost() {
  Cost cost;
  for (Type type : getOperandTypes()) cost.bytes += byteCount(type);
  for (Type type : getResultTypes()) cost.bytes += byteCount(type);
  // A multiplication and an addition a point, and the ops of the regions.
  double flops = 2;
  for (Region* region : {&getPrologue(), &getEpilogue()})
    if (!region->empty()) flops += region->front().getOperations().size() - 1;
  Polynomial points = elementCount(getFinal().getType()) * Polynomial::length();
  cost.flops = points * Polynomial(flops);
  cost.stateBytes = byteCount(getFinal().getType());
  return cost;
}

// ScanVjpOp

unsigned ScanVjpOp::getTimeDim() { return *timeDimOf(getIteratorTypes()); }

SmallVector<AffineMap> ScanVjpOp::getMaps() { return mapsOf(getIndexingMaps()); }

SmallVector<int64_t> ScanVjpOp::getIterationSizes() {
  return iterationSizes(getMaps(), getInputs().getTypes(), getIteratorTypes().size());
}

AffineMap ScanVjpOp::getStateMap() {
  return stateMap(getContext(), getIteratorTypes().size(), getTimeDim());
}

Type ScanVjpOp::getStateElementType() {
  return stateElementType(getContext(), getInputs().getTypes());
}

SmallVector<unsigned> ScanVjpOp::getDifferentiatedInputs() {
  SmallVector<unsigned> inputs;
  for (auto [index, type] : llvm::enumerate(getInputs().getTypes()))
    if (isa<FloatType>(getElementTypeOrSelf(type))) inputs.push_back(index);
  return inputs;
}

Value ScanVjpOp::getInitialCotangent() { return getInitial() ? getResults().back() : Value(); }

LogicalResult ScanVjpOp::verify() {
  if (static_cast<int64_t>(getChunk()) <= 0) return emitOpError() << "chunk must be positive";
  if (failed(verifyIteration(*this, getIndexingMaps(), getIteratorTypes(), getInputs().getTypes(),
                             getInputs().size() + getCotangents().size(), getInitial(),
                             getSegments())))
    return failure();
  Type state = getStateElementType();
  SmallVector<Type> inputs = elementTypes(getInputs().getTypes());
  SmallVector<Type> differentiated;
  for (unsigned index : getDifferentiatedInputs()) differentiated.push_back(inputs[index]);
  if (failed(verifyRegionTypes(*this, getPrologue(), "prologue", inputs, {state, state})))
    return failure();

  SmallVector<Type> arguments{state};
  arguments.append(inputs);
  arguments.append(elementTypes(getCotangents().getTypes()));
  SmallVector<Type> yields{state};
  yields.append(differentiated);
  if (failed(verifyRegionTypes(*this, getAdjointEpilogue(), "adjoint_epilogue", arguments, yields)))
    return failure();
  SmallVector<Type> adjointArguments = inputs;
  adjointArguments.append({state, state});
  if (failed(verifyRegionTypes(*this, getAdjointPrologue(), "adjoint_prologue", adjointArguments,
                               differentiated)))
    return failure();
  unsigned results = differentiated.size() + (getInitial() ? 1 : 0);
  if (getResults().size() != results)
    return emitOpError() << "has " << getResults().size() << " results where its inputs need "
                         << results;
  return success();
}

}  // namespace weir
