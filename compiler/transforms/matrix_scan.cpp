#include "compiler/transforms/matrix_scan.h"

#include "compiler/dialect/region_ops.h"
#include "llvm/ADT/STLExtras.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Transforms/RegionUtils.h"

namespace weir {

using namespace mlir;

namespace {

/// Which dimensions of a scan's iteration space the values of its regions depend on.
class RegionDims {
 public:
  explicit RegionDims(ScanOp scan) : scan(scan), maps(scan.getMaps()) {}

  llvm::SmallBitVector of(Value value) {
    auto known = dims.find(value);
    if (known != dims.end()) return known->second;
    llvm::SmallBitVector result(maps[0].getNumDims());
    if (auto argument = dyn_cast<BlockArgument>(value)) {
      result = ofArgument(argument);
    } else if (Operation* op = value.getDefiningOp(); isInside(op)) {
      for (Value operand : op->getOperands()) result |= of(operand);
    }
    dims[value] = result;
    return result;
  }
  llvm::SmallBitVector of(ArrayRef<Value> values) {
    llvm::SmallBitVector result(maps[0].getNumDims());
    for (Value value : values) result |= of(value);
    return result;
  }

 private:
  bool isInside(Operation* op) const { return scan->isProperAncestor(op); }
  llvm::SmallBitVector ofArgument(BlockArgument argument) {
    llvm::SmallBitVector result(maps[0].getNumDims());
    unsigned number = argument.getArgNumber();
    if (argument.getOwner()->getParent() == &scan.getEpilogue()) {
      if (number == 0) return result.set();  // the state
      --number;
    }
    for (AffineExpr expr : maps[number].getResults())
      result.set(cast<AffineDimExpr>(expr).getPosition());
    return result;
  }

  ScanOp scan;
  SmallVector<AffineMap> maps;
  DenseMap<Value, llvm::SmallBitVector> dims;
};

/// Appends what `value` is a product of.
void collectFactors(Value value, SmallVectorImpl<Value>& factors) {
  if (auto product = value.getDefiningOp<arith::MulFOp>()) {
    collectFactors(product.getLhs(), factors);
    collectFactors(product.getRhs(), factors);
    return;
  }
  factors.push_back(value);
}

/// Whether a region reads anything but its arguments and constants.
bool readsMore(Region& region) {
  llvm::SetVector<Value> captured;
  getUsedValuesDefinedAbove(region, captured);
  return !llvm::all_of(captured,
                       [](Value value) { return value.getDefiningOp<arith::ConstantOp>(); });
}

int64_t countOps(Region& region) {
  return static_cast<int64_t>(region.front().getOperations().size()) - 1;
}

}  // namespace

int64_t MatrixScan::numMatrices() const {
  int64_t count = 1;
  for (unsigned dim : groups) count *= sizes[dim];
  return count;
}

FailureOr<MatrixScan> matchMatrixScan(ScanOp scan) {
  if (scan.getReverse() || scan.getChunk() || scan.getNumOutputs() != 1) return failure();
  scan.materializeRegions();
  MatrixScan form;
  form.scan = scan;
  form.time = scan.getTimeDim();
  form.sizes = scan.getIterationSizes();
  if (llvm::any_of(form.sizes, ShapedType::isDynamic)) return failure();
  if (readsMore(scan.getPrologue()) || readsMore(scan.getEpilogue())) return failure();

  // The one dimension that the output lacks is k.
  AffineMap output = scan.getMaps().back();
  llvm::SmallBitVector summed(form.sizes.size(), true);
  for (AffineExpr expr : output.getResults()) summed.reset(cast<AffineDimExpr>(expr).getPosition());
  if (summed.count() != 1 || summed.test(form.time)) return failure();
  form.key = summed.find_first();

  RegionDims dims(scan);
  auto isOfKey = [&](Value value) { return dims.of(value).test(form.key); };
  Operation* ab = scan.getPrologue().front().getTerminator();
  form.decay = ab->getOperand(0);
  form.decayDims = dims.of(form.decay);
  SmallVector<Value> factors;
  collectFactors(ab->getOperand(1), factors);
  for (Value factor : factors)
    (isOfKey(factor) ? form.keyFactors : form.valueFactors).push_back(factor);
  factors.clear();
  collectFactors(scan.getEpilogue().front().getTerminator()->getOperand(0), factors);
  Value* state = llvm::find(factors, scan.getEpilogue().front().getArgument(0));
  if (state == factors.end()) return failure();
  factors.erase(state);
  for (Value factor : factors)
    (isOfKey(factor) ? form.queryFactors : form.outerFactors).push_back(factor);
  if (form.keyFactors.empty() || form.valueFactors.empty() || form.queryFactors.empty())
    return failure();

  // v is a dimension that neither k nor q has; one that the decay lacks, too, if there is one.
  form.pairDims = dims.of(form.keyFactors);
  form.pairDims |= dims.of(form.queryFactors);
  llvm::SmallBitVector taken = form.pairDims;
  if (scan.getSegments()) {
    // Documents begin where their row says so: the decay is 0 there.
    form.batch = form.time == 0 ? 1 : 0;
    if (form.batch == form.key) return failure();
    form.decayDims.set(form.batch);
    form.decayDims.set(form.time);
    taken.set(form.batch);
  }
  taken.set(form.time);
  std::optional<unsigned> value;
  for (unsigned dim = 0; dim < form.sizes.size(); ++dim) {
    if (taken.test(dim) || !dims.of(form.valueFactors).test(dim)) continue;
    if (!value || !form.decayDims.test(dim) || form.decayDims.test(*value)) value = dim;
  }
  if (!value) return failure();
  form.value = *value;
  bool ofKey = form.decayDims.test(form.key), ofValue = form.decayDims.test(form.value);
  if (ofKey && ofValue) return failure();
  form.decayKind = ofKey     ? MatrixScan::Decay::PerKey
                   : ofValue ? MatrixScan::Decay::PerValue
                             : MatrixScan::Decay::Shared;
  for (unsigned dim = 0; dim < form.sizes.size(); ++dim)
    if (dim != form.time && dim != form.key && dim != form.value) form.groups.push_back(dim);
  return form;
}

namespace {

/// A step of a scan for one element: a sum of two parts that loses nothing takes eight operations.
constexpr double kScanStep = 10;
/// What tensors between kernels take, read and written several times: for an element of a chunk's
/// matrix, of a chunk's pairs of tokens, and of k, q, v and y.
constexpr double kMatrixElement = 60, kPair = 60, kTokenElement = 30;
/// Operations of products in the time of an elementwise one, batches of small ones; f64 as f32.
constexpr double kProductRate = 8, kProductRateBf16 = 16;
/// Chunks have to be better by so much.
constexpr double kMargin = 1.45;

}  // namespace

double costInOrder(const MatrixScan& form) {
  ScanOp scan = form.scan;
  double points = 1;
  for (int64_t size : form.sizes) points *= static_cast<double>(size);
  return points * static_cast<double>(kScanStep + countOps(scan.getPrologue()) +
                                      countOps(scan.getEpilogue()));
}

double costInChunks(const MatrixScan& form, int64_t chunk, bool bf16) {
  auto k = static_cast<double>(form.sizes[form.key]),
       v = static_cast<double>(form.sizes[form.value]), c = static_cast<double>(chunk);
  double rate = bf16 ? kProductRateBf16 : kProductRate;
  // Per token, of each matrix: the products across chunks, and the scan over chunks.
  double cost = 4 * k * v / rate + k * v / c * kMatrixElement + (k + v) * kTokenElement;
  switch (form.decayKind) {
    case MatrixScan::Decay::Shared:
      cost += 2 * c * (k + v) / rate + c * kPair;
      break;
    case MatrixScan::Decay::PerKey:
      cost += 2 * c * v / rate + c * k * (kScanStep + 2) + c * kPair;
      break;
    case MatrixScan::Decay::PerValue:
      cost += 2 * c * k / rate + c * v * (kScanStep + 2) + c * kPair;
      break;
  }
  int64_t tokens = llvm::divideCeil(form.sizes[form.time], chunk) * chunk;
  return cost * static_cast<double>(tokens * form.numMatrices());
}

int64_t chunkOf(const MatrixScan& form, bool bf16) {
  ScanOp scan = form.scan;
  int64_t length = form.sizes[form.time];
  if (length < 2) return 0;
  if (auto asked = scan->getAttrOfType<IntegerAttr>(kMatrixChunkAttr))
    return std::max<int64_t>(0, std::min(asked.getInt(), length));
  int64_t best = 0;
  double least = costInOrder(form) / kMargin;
  for (int64_t chunk : {8, 16, 32, 64, 128, 256}) {
    if (chunk > length) break;
    double cost = costInChunks(form, chunk, bf16);
    if (cost >= least) continue;
    least = cost;
    best = chunk;
  }
  return best;
}

}  // namespace weir
