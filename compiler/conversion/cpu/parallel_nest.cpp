#include "compiler/conversion/cpu/parallel_nest.h"

#include "compiler/conversion/cpu/combiners.h"
#include "compiler/conversion/cpu/nest_accesses.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"

namespace weir {

using namespace mlir;

namespace {

int64_t work(const LoopNest& nest) {
  int64_t product = 1;
  for (const LoopDim& dim : nest.dims) product *= dim.extent;
  return product;
}

int64_t largestStride(const LoopNest& nest, size_t dim) {
  int64_t largest = 0;
  auto visit = [&](const Access& access) {
    if (!access.isScalar()) largest = std::max(largest, std::abs(access.strides[dim]));
  };
  for (const Access& input : nest.inputs) visit(input);
  for (const LoopOutput& output : nest.outputs) visit(output.access);
  return largest;
}

/// The dimension with the largest steps through memory that has something to split.
std::optional<size_t> outermostDim(const LoopNest& nest, bool reductionsAllowed) {
  for (int64_t least : {8, 2}) {
    std::optional<size_t> best;
    for (size_t dim = 0; dim < nest.dims.size(); ++dim) {
      if (nest.dims[dim].extent < least || (nest.dims[dim].reduction && !reductionsAllowed))
        continue;
      if (!best || largestStride(nest, dim) > largestStride(nest, *best)) best = dim;
    }
    if (best) return best;
  }
  return std::nullopt;
}

bool canSplitReduction(const LoopNest& nest) {
  for (unsigned i = 0; i < nest.outputs.size(); ++i) {
    Operation* combiner = findCombiner(*nest.body, nest.inputs.size(), i);
    if (!combiner || !neutralElement(combiner)) return false;
  }
  return true;
}

/// Region (part, sum) -> combined, one pair per output.
void buildCombineBlock(Block& block, const LoopNest& nest) {
  MLIRContext* context = nest.body->getTerminator()->getContext();
  Location loc = nest.body->getTerminator()->getLoc();
  OpBuilder builder(context);
  builder.setInsertionPointToStart(&block);
  size_t count = nest.outputs.size();
  for (size_t i = 0; i < 2 * count; ++i)
    block.addArgument(nest.outputs[i % count].access.element, loc);
  SmallVector<Value> results;
  for (size_t i = 0; i < count; ++i) {
    Operation* combiner = findCombiner(*nest.body, nest.inputs.size(), i);
    Value part = block.getArgument(i), sum = block.getArgument(count + i);
    OperationState state(loc, combiner->getName(), {sum, part}, {sum.getType()});
    results.push_back(builder.create(state)->getResult(0));
  }
  linalg::YieldOp::create(builder, loc, results);
}

}  // namespace

LogicalResult emitSplitReduction(KernelBuilder& b, LoopNest nest, size_t dim, int64_t blocks,
                                 int64_t chunk, Value sharedScratch, ScratchPlan& scratch,
                                 NestEmitter emit, std::optional<size_t> innermost) {
  int64_t extent = nest.dims[dim].extent, partSize = 1;
  SmallVector<int64_t> partStrides(nest.dims.size(), 0);
  // Parts are laid out like the inputs, so that both have unit strides along the same dimension.
  SmallVector<size_t> order;
  for (size_t d = 0; d < nest.dims.size(); ++d)
    if (!nest.dims[d].reduction) order.push_back(d);
  auto inputStride = [&](size_t d) {
    if (d == innermost) return int64_t(-1);
    int64_t largest = 0;
    for (const Access& input : nest.inputs)
      if (!input.isScalar()) largest = std::max(largest, std::abs(input.strides[d]));
    return largest;
  };
  llvm::stable_sort(order, [&](size_t x, size_t y) { return inputStride(x) < inputStride(y); });
  for (size_t d : order) {
    partStrides[d] = partSize;
    partSize *= nest.dims[d].extent;
  }
  LoopNest parts = nest;
  SmallVector<PartialResults> partial;
  for (auto [i, output] : llvm::enumerate(nest.outputs)) {
    Type element = output.access.element;
    Access part;
    part.element = element;
    int64_t offset = scratch.reserve(blocks * partSize * storageBytes(element));
    part.memref = b.view(sharedScratch, b.constant(offset), blocks * partSize, element);
    part.base = b.constant(0);
    part.strides = partStrides;
    parts.outputs[i].access = part;
    partial.push_back({part, partSize});
    Access neutral;
    neutral.element = element;
    neutral.scalar = arith::ConstantOp::create(
        b, neutralElement(findCombiner(*nest.body, nest.inputs.size(), i)));
    parts.outputs[i].init = neutral;
  }
  LogicalResult result = success();
  b.parallelLoop(blocks, work(nest) >= kParallelWork, [&](Value block) {
    LoopNest mine = parts;
    for (LoopOutput& output : mine.outputs) output.access.base = b.mul(block, partSize);
    Value from = b.mul(block, chunk);
    Value size;
    if (extent % chunk != 0) size = b.minimum(b.constant(chunk), b.sub(b.constant(extent), from));
    restrictDim(b, mine, dim, from, size, chunk);
    result = emit(mine);
  });
  if (failed(result)) return failure();
  return emitCombination(b, nest, partial, blocks, scratch);
}

LogicalResult emitCombination(KernelBuilder& b, const LoopNest& nest,
                              ArrayRef<PartialResults> partial, int64_t count,
                              ScratchPlan& scratch) {
  LoopNest combine;
  LoopDim part;
  part.extent = count;
  part.reduction = true;
  combine.dims.push_back(part);
  for (const LoopDim& d : nest.dims) {
    if (d.reduction) continue;
    combine.dims.push_back(d);
    combine.dims.back().source = -1;
  }
  auto onlyParallel = [&](const Access& access, int64_t partStride) {
    Access kept = access;
    if (access.isScalar()) return kept;
    kept.strides = {partStride};
    for (size_t d = 0; d < nest.dims.size(); ++d)
      if (!nest.dims[d].reduction) kept.strides.push_back(access.strides[d]);
    return kept;
  };
  for (auto [parts, output] : llvm::zip(partial, nest.outputs)) {
    combine.inputs.push_back(onlyParallel(parts.first, parts.size));
    LoopOutput total;
    total.access = onlyParallel(output.access, 0);
    if (output.init) total.init = onlyParallel(*output.init, 0);
    combine.outputs.push_back(total);
  }
  Block block;
  buildCombineBlock(block, nest);
  combine.body = &block;
  combine.captured = nest.captured;
  return emitParallelNest(b, combine, Value(), scratch);
}

void restrictDim(KernelBuilder& b, LoopNest& nest, size_t dim, Value from, Value size,
                 int64_t extent) {
  forEachAccess(nest, [&](Access& access) {
    if (!access.isScalar()) access.base = b.offset(access.base, from, access.strides[dim]);
  });
  LoopDim& d = nest.dims[dim];
  d.start = d.start ? b.add(d.start, from) : from;
  d.extent = extent;
  d.size = size;
}

LogicalResult emitParallelNest(KernelBuilder& b, LoopNest nest, Value sharedScratch,
                               ScratchPlan& scratch) {
  simplify(nest);
  int64_t total = work(nest);
  bool reductionsAllowed = sharedScratch && canSplitReduction(nest);
  std::optional<size_t> split = outermostDim(nest, reductionsAllowed);
  if (total < kParallelWork || !split) return emitLoopNest(b, nest);
  size_t dim = *split;
  int64_t extent = nest.dims[dim].extent;
  // Several blocks per worker even out their speeds; long blocks keep the cost of a block's edges
  // small.
  int64_t blocks =
      std::clamp<int64_t>(total / kParallelWork, CpuTarget::kWorkers, 8 * CpuTarget::kWorkers);
  // Parts of a sum have to be added: short steps are not worth a part of their own.
  if (nest.dims[dim].reduction && total / extent < kParallelWork)
    blocks = std::min(blocks, std::max<int64_t>(1, extent / 8));
  int64_t chunk = divideUp(extent, std::min(blocks, extent));
  bool unitStride =
      llvm::any_of(nest.outputs, [&](const LoopOutput& o) { return o.access.strides[dim] == 1; });
  // To the nearest: rounding up would leave few blocks, of which a thread may get one too many.
  int64_t line = 4 * b.target.lanes();
  if (unitStride) chunk = std::max(line, (chunk + line / 2) / line * line);
  blocks = divideUp(extent, chunk);
  if (nest.dims[dim].reduction && blocks > 1)
    return emitSplitReduction(b, nest, dim, blocks, chunk, sharedScratch, scratch,
                              [&](LoopNest part) { return emitLoopNest(b, part); });
  LogicalResult result = success();
  b.parallelLoop(blocks, blocks > 1, [&](Value block) {
    LoopNest mine = nest;
    Value from = b.mul(block, chunk);
    Value size = extent % chunk == 0
                     ? Value()
                     : b.minimum(b.constant(chunk), b.sub(b.constant(extent), from));
    restrictDim(b, mine, dim, from, size, chunk);
    result = emitLoopNest(b, mine);
  });
  return result;
}

}  // namespace weir
