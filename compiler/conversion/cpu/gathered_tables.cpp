// Small tables that loops over rows would gather from (the weights of a depthwise convolution,
// channel by channel) are copied once, so that vectors of channels lie in memory as such.

#include "compiler/conversion/cpu/kernel_function.h"
#include "compiler/conversion/cpu/product.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"

namespace weir {

using namespace mlir;

namespace {

/// Bytes of a table: it stays in the second cache beside what it is used with.
constexpr int64_t kMostTableBytes = 64 << 10;
/// Results for each element of the table: fewer do not repay the copy.
constexpr int64_t kLeastUses = 8;

/// The dimension of `table` that every op that reads it walks by vectors, if all agree and it isn't
/// the last one.
std::optional<unsigned> vectorDimension(Value table) {
  auto type = cast<RankedTensorType>(table.getType());
  std::optional<unsigned> found;
  for (OpOperand& use : table.getUses()) {
    auto op = dyn_cast<linalg::GenericOp>(use.getOwner());
    if (!op || op.getNumReductionLoops() != 0 || op.isDpsInit(&use)) return std::nullopt;
    auto output = cast<RankedTensorType>(op.getResult(0).getType());
    AffineMap results = op.getIndexingMapMatchingResult(op->getResult(0));
    if (output.getNumElements() < kLeastUses * type.getNumElements()) return std::nullopt;
    auto vector = dyn_cast<AffineDimExpr>(results.getResults().back());
    if (!vector) return std::nullopt;
    std::optional<unsigned> here;
    for (auto [i, expression] : llvm::enumerate(op.getMatchingIndexingMap(&use).getResults()))
      if (expression == vector) here = i;
    if (!here || *here + 1 == type.getRank() || (found && *found != *here)) return std::nullopt;
    found = here;
  }
  return found;
}

}  // namespace

LogicalResult layOutGatheredTables(KernelFunction& f) {
  for (BlockArgument table : f.kernel.getArguments()) {
    auto type = dyn_cast<RankedTensorType>(table.getType());
    if (!type || type.getRank() < 2 || type.getNumElements() == 0) continue;
    TensorValue& tensor = f.tensors[table];
    int64_t bytes = type.getNumElements() * storageBytes(tensor.element);
    if (bytes > kMostTableBytes) continue;
    std::optional<unsigned> last = vectorDimension(table);
    if (!last) continue;
    Access from = f.origin(tensor), to = from;
    from.strides = tensor.strides;
    to.memref = f.b.view(f.sharedScratch, f.b.constant(f.shared.reserve(bytes)),
                         type.getNumElements(), tensor.element);
    to.base = f.b.constant(0);
    to.strides.assign(type.getRank(), 0);
    int64_t stride = type.getDimSize(*last);
    for (int64_t d = type.getRank(); d-- > 0;) {
      to.strides[d] = d == *last ? 1 : stride;
      if (d != *last) stride *= type.getDimSize(d);
    }
    SmallVector<LoopDim> dims;
    for (int64_t extent : type.getShape()) dims.push_back(dimOf(extent));
    if (failed(copyStrided(f, from, to, dims))) return failure();
    tensor.memref = to.memref;
    tensor.offset = 0;
    tensor.start = Value();
    tensor.strides = to.strides;
  }
  return success();
}

}  // namespace weir
