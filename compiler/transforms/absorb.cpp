// Moves elementwise work into the regions of scans.
//
// A scan's regions see one point of its iteration space, and so does the body of an elementwise
// linalg.generic: its loops are dimensions of the scan, found through the tensor between the two.
// Composing the indexing maps says how the scan reads what the absorbed op read.

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/Matchers.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/Transforms/RegionUtils.h"

#include "compiler/dialect/region_ops.h"
#include "compiler/dialect/scan_ops.h"
#include "compiler/transforms/absorb_pass.h"
#include "compiler/transforms/op_kinds.h"

namespace weir {

#define GEN_PASS_DEF_ABSORB
#include "compiler/transforms/absorb_pass.h.inc"

using namespace mlir;

namespace {

/// Operations that may as well be done again as their result be read.
constexpr int64_t kCheap = 4;

/// Whether the body of `op` can run at a point of a scan: elementwise, one result, reads nothing
/// but its inputs and constants.
bool isPointwise(linalg::GenericOp op) {
  if (!isElementwise(op) || op.getNumResults() != 1) return false;
  if (op.payloadUsesValueFromOperand(op.getDpsInitOperand(0))) return false;
  if (!op.getMatchingIndexingMap(op.getDpsInitOperand(0)).isPermutation()) return false;
  if (!op.getBody()->getOps<linalg::IndexOp>().empty()) return false;
  for (Value input : op.getInputs()) {
    if (!isa<RankedTensorType>(input.getType())) return false;
  }
  llvm::SetVector<Value> captured;
  getUsedValuesDefinedAbove(op.getRegion(), captured);
  return llvm::all_of(
      captured, [](Value value) { return value.getDefiningOp<arith::ConstantOp>() != nullptr; });
}

/// Loops of `op` as dimensions of the scan, given how each of them walks the tensor between the
/// two.
SmallVector<AffineExpr> loopsInScan(AffineMap ofOp, AffineMap ofScan) {
  SmallVector<AffineExpr> loops(ofOp.getNumDims());
  for (auto [expr, inScan] : llvm::zip(ofOp.getResults(), ofScan.getResults())) {
    loops[cast<AffineDimExpr>(expr).getPosition()] = inScan;
  }
  return loops;
}

AffineMap composeWith(AffineMap map, ArrayRef<AffineExpr> loops, AffineMap ofScan) {
  return map.replaceDimsAndSymbols(loops, {}, ofScan.getNumDims(), 0);
}

/// The inputs of a scan while they change.
struct Inputs {
  explicit Inputs(ScanOp scan) : values(scan.getInputs()) {
    SmallVector<AffineMap> all = scan.getMaps();
    maps.assign(all.begin(), all.begin() + values.size());
    outputMaps.assign(all.begin() + values.size(), all.end());
  }

  /// The number of this input, which is added if it is new.
  unsigned add(Value value, AffineMap map) {
    for (unsigned i = 0; i < values.size(); ++i) {
      if (values[i] == value && maps[i] == map) return i;
    }
    values.push_back(value);
    maps.push_back(map);
    return static_cast<unsigned>(values.size()) - 1;
  }

  /// Whether these inputs say how large the iteration space is, and give the scan the same type of
  /// state; and whether none is narrower than that and repeated along a dimension, over which its
  /// cotangent would be summed with too few bits.
  bool fit(ScanOp scan, int64_t without) const {
    llvm::SmallBitVector known(scan.getIteratorTypes()->size());
    bool isF64 = false;
    for (auto [i, map] : llvm::enumerate(maps)) {
      if (static_cast<int64_t>(i) == without) continue;
      if (!map.isProjectedPermutation()) return false;
      for (AffineExpr expr : map.getResults()) known.set(cast<AffineDimExpr>(expr).getPosition());
      Type element = getElementTypeOrSelf(values[i].getType());
      isF64 = isF64 || element.isF64();
      bool isNarrow = isa<FloatType>(element) && element.getIntOrFloatBitWidth() < 32;
      if (isNarrow && map.getNumResults() < known.size()) return false;
    }
    return known.all() && isF64 == scan.getStateElementType().isF64();
  }

  SmallVector<Value> values;
  SmallVector<AffineMap> maps;
  SmallVector<AffineMap> outputMaps;
};

class Absorber {
 public:
  Absorber(ScanOp scan, int64_t maxInputs) : scan(scan), maxInputs(maxInputs) {}

  bool absorbAny() {
    for (unsigned i = 0; i < scan.getInputs().size(); ++i) {
      if (absorbProducer(i)) return true;
    }
    for (unsigned i = 0; i < scan.getNumOutputs(); ++i) {
      if (absorbConsumer(i)) return true;
    }
    return false;
  }

 private:
  bool absorbProducer(unsigned number);
  bool absorbConsumer(unsigned number);

  /// Regions get an argument for every input that is new in `inputs`.
  void addArguments(const Inputs& inputs) {
    for (Region* region : {&scan.getPrologue(), &scan.getEpilogue()}) {
      for (Value value : ArrayRef<Value>(inputs.values).drop_front(scan.getInputs().size())) {
        region->front().addArgument(getElementTypeOrSelf(value.getType()), value.getLoc());
      }
    }
  }
  BlockArgument argument(Region& region, unsigned input) {
    return region.front().getArgument(input + (&region == &scan.getEpilogue() ? 1 : 0));
  }
  /// The body of `op` at `b`'s place in a region of the scan; gives the value that it yields.
  Value inlineBody(OpBuilder& b, linalg::GenericOp op, ArrayRef<Value> arguments) {
    IRMapping mapping;
    for (auto [from, to] : llvm::zip(op.getBody()->getArguments(), arguments))
      mapping.map(from, to);
    llvm::SetVector<Value> captured;
    getUsedValuesDefinedAbove(op.getRegion(), captured);
    for (Value value : captured) b.clone(*value.getDefiningOp(), mapping);
    for (Operation& inner : op.getBody()->without_terminator()) b.clone(inner, mapping);
    return mapping.lookupOrDefault(op.getBody()->getTerminator()->getOperand(0));
  }
  void setInputs(const Inputs& inputs) {
    SmallVector<AffineMap> maps(inputs.maps);
    maps.append(inputs.outputMaps);
    scan.getInputsMutable().assign(inputs.values);
    scan.setIndexingMapsAttr(Builder(scan.getContext()).getAffineMapArrayAttr(maps));
  }

  ScanOp scan;
  int64_t maxInputs;
};

bool Absorber::absorbProducer(unsigned number) {
  Value value = scan.getInputs()[number];
  auto producer = value.getDefiningOp<linalg::GenericOp>();
  if (!producer || !isPointwise(producer) || roundsResult(producer)) return false;

  Inputs inputs(scan);
  AffineMap scanMap = inputs.maps[number];
  // What the scan repeats would be computed again at each of its points.
  if (scanMap.getNumResults() < scanMap.getNumDims() && bodyCost(producer) > kCheap) return false;
  SmallVector<AffineExpr> loops =
      loopsInScan(producer.getMatchingIndexingMap(producer.getDpsInitOperand(0)), scanMap);
  SmallVector<unsigned> reads;
  for (OpOperand* input : producer.getDpsInputOperands()) {
    AffineMap map = producer.getMatchingIndexingMap(input);
    reads.push_back(inputs.add(input->get(), composeWith(map, loops, scanMap)));
  }
  bool isNew = inputs.values.size() > scan.getInputs().size();
  bool onlyHere = llvm::all_of(value.getUsers(), [&](Operation* user) { return user == scan; });
  if (!onlyHere && isNew) return false;
  if (static_cast<int64_t>(inputs.values.size()) - 1 > maxInputs || !inputs.fit(scan, number))
    return false;

  addArguments(inputs);
  for (Region* region : {&scan.getPrologue(), &scan.getEpilogue()}) {
    BlockArgument old = argument(*region, number);
    if (old.use_empty()) continue;
    OpBuilder b = OpBuilder::atBlockBegin(&region->front());
    SmallVector<Value> arguments;
    for (unsigned read : reads) arguments.push_back(argument(*region, read));
    old.replaceAllUsesWith(inlineBody(b, producer, arguments));
  }
  for (Region* region : {&scan.getPrologue(), &scan.getEpilogue()}) {
    region->front().eraseArgument(argument(*region, number).getArgNumber());
  }
  inputs.values.erase(inputs.values.begin() + number);
  inputs.maps.erase(inputs.maps.begin() + number);
  setInputs(inputs);
  if (producer->use_empty()) producer->erase();
  return true;
}

bool Absorber::absorbConsumer(unsigned number) {
  Value value = scan.getOutputs()[number];
  if (!value.hasOneUse()) return false;
  OpOperand& use = *value.use_begin();
  auto consumer = dyn_cast<linalg::GenericOp>(use.getOwner());
  if (!consumer || !isPointwise(consumer) || !consumer.isDpsInput(&use)) return false;

  Inputs inputs(scan);
  // A dimension that is summed is summed after the epilogue.
  AffineMap scanMap = inputs.outputMaps[number], readMap = consumer.getMatchingIndexingMap(&use);
  if (!scanMap.isPermutation() || !readMap.isPermutation()) return false;
  SmallVector<AffineExpr> loops = loopsInScan(readMap, scanMap);
  SmallVector<std::optional<unsigned>> reads;
  for (OpOperand* input : consumer.getDpsInputOperands()) {
    if (input == &use) {
      reads.push_back(std::nullopt);
      continue;
    }
    AffineMap map = consumer.getMatchingIndexingMap(input);
    reads.push_back(inputs.add(input->get(), composeWith(map, loops, scanMap)));
  }
  if (static_cast<int64_t>(inputs.values.size()) > maxInputs || !inputs.fit(scan, -1)) return false;
  // What the consumer reads has to be there when the scan begins.
  auto isThere = [&](Value input) {
    Operation* definition = input.getDefiningOp();
    return !definition || definition->isBeforeInBlock(scan);
  };
  if (!llvm::all_of(inputs.values, isThere)) {
    bool canWait = llvm::all_of(scan->getUsers(), [&](Operation* user) {
      return user == consumer ||
             consumer->isBeforeInBlock(scan->getBlock()->findAncestorOpInBlock(*user));
    });
    if (!canWait) return false;
    scan->moveBefore(consumer);
  }

  addArguments(inputs);
  Region& region = scan.getEpilogue();
  Operation* yield = region.front().getTerminator();
  OpBuilder b(yield);
  SmallVector<Value> arguments;
  for (std::optional<unsigned> read : reads) {
    arguments.push_back(read ? Value(argument(region, *read)) : yield->getOperand(number));
  }
  yield->setOperand(number, inlineBody(b, consumer, arguments));
  AffineMap written = consumer.getMatchingIndexingMap(consumer.getDpsInitOperand(0));
  inputs.outputMaps[number] = composeWith(written, loops, scanMap);
  setInputs(inputs);
  Value result = consumer.getResult(0);
  value.setType(result.getType());
  result.replaceAllUsesWith(value);
  consumer->erase();
  return true;
}

struct Absorb : impl::AbsorbBase<Absorb> {
  using AbsorbBase::AbsorbBase;

  /// A state that begins with zeros needs no tensor of them.
  static void dropZeroInitial(ScanOp scan) {
    auto fill = scan.getInitial() ? scan.getInitial().getDefiningOp<linalg::FillOp>() : nullptr;
    if (fill && matchPattern(fill.getInputs()[0], m_AnyZeroFloat())) {
      scan.getInitialMutable().clear();
      if (fill->use_empty()) fill->erase();
    }
  }

  void runOnOperation() override {
    SmallVector<ScanOp> scans;
    getOperation().walk([&](ScanOp scan) { scans.push_back(scan); });
    for (ScanOp scan : scans) {
      scan.materializeRegions();
      dropZeroInitial(scan);
      Absorber absorber(scan, maxInputs);
      while (absorber.absorbAny()) {
      }
    }
  }
};

}  // namespace
}  // namespace weir
