#include "compiler/transforms/sweeps.h"

#include "compiler/transforms/op_kinds.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/SetVector.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/Matchers.h"

namespace weir {

using namespace mlir;

bool isPartOfSweep(Operation* op) { return op->hasAttr(kSweepAttr); }

namespace {

bool isScalar(Value value) { return cast<RankedTensorType>(value.getType()).getRank() == 0; }

/// Whether the op walks its inputs in the order in which they lie in memory, or they are scalars.
bool readsInOrder(linalg::GenericOp op) {
  if (op.getNumLoops() == 0 || llvm::any_of(op.getStaticLoopRanges(), ShapedType::isDynamic))
    return false;
  bool readsTensor = false;
  for (OpOperand* input : op.getDpsInputOperands()) {
    if (!isa<RankedTensorType>(input->get().getType())) return false;
    if (isScalar(input->get())) continue;
    if (!op.getMatchingIndexingMap(input).isIdentity()) return false;
    readsTensor = true;
  }
  return readsTensor &&
         llvm::none_of(*op.getBody(), [](Operation& inner) { return isa<linalg::IndexOp>(inner); });
}

bool isUpdate(linalg::GenericOp op) {
  if (!isElementwise(op) || !readsInOrder(op)) return false;
  return llvm::all_of(llvm::seq(op.getNumDpsInits()), [&](int64_t i) {
    OpOperand* init = op.getDpsInitOperand(i);
    return op.getMatchingIndexingMap(init).isIdentity() &&
           op.getMatchingBlockArgument(init).use_empty();
  });
}

/// A sum from 0 over all elements of arguments.
bool isSum(linalg::GenericOp op) {
  if (op.getNumReductionLoops() != op.getNumLoops() || op.getNumDpsInits() != 1 ||
      !readsInOrder(op))
    return false;
  auto fill = op.getOutputs()[0].getDefiningOp<linalg::FillOp>();
  if (!fill || !matchPattern(fill.getInputs()[0], m_AnyZeroFloat())) return false;
  return addsUp(op, 0) &&
         llvm::all_of(op.getInputs(), [](Value input) { return isa<BlockArgument>(input); });
}

/// Elementwise ops of which each reads arguments and results of those before it.
using Chain = llvm::SmallSetVector<Operation*, 2>;

bool isReturned(Value value) {
  return llvm::any_of(value.getUsers(),
                      [](Operation* user) { return user->hasTrait<OpTrait::IsTerminator>(); });
}

/// Whether nothing but the chain and the function's end reads what it computes.
bool endsInResults(const Chain& chain) {
  return llvm::all_of(chain, [&](Operation* op) {
    return llvm::all_of(op->getUsers(), [&](Operation* user) {
      return user->hasTrait<OpTrait::IsTerminator>() || chain.contains(user);
    });
  });
}

std::vector<Chain> findChains(Block& block) {
  std::vector<Chain> chains;
  DenseMap<Operation*, size_t> chainOf;
  for (auto op : block.getOps<linalg::GenericOp>()) {
    if (!isUpdate(op)) continue;
    llvm::SmallSetVector<size_t, 2> sources;
    bool known = llvm::all_of(op.getInputs(), [&](Value input) {
      if (isa<BlockArgument>(input) || isScalar(input)) return true;
      auto source = chainOf.find(input.getDefiningOp());
      if (source == chainOf.end()) return false;
      sources.insert(source->second);
      return true;
    });
    if (!known || sources.size() > 1) continue;
    if (sources.empty()) chains.emplace_back();
    size_t number = sources.empty() ? chains.size() - 1 : sources[0];
    chains[number].insert(op);
    chainOf[op] = number;
  }
  llvm::erase_if(chains, [](const Chain& chain) { return !endsInResults(chain); });
  return chains;
}

/// Replaces the ops of a chain by one, in the place of the last.
linalg::GenericOp joinChain(const Chain& chain, RewriterBase& rewriter) {
  if (chain.size() == 1) return cast<linalg::GenericOp>(chain[0]);
  auto last = cast<linalg::GenericOp>(chain.back());
  llvm::SmallSetVector<Value, 8> inputs;
  SmallVector<Value> inits, returned;
  SmallVector<Location> locations;
  for (Operation* op : chain) {
    auto generic = cast<linalg::GenericOp>(op);
    locations.push_back(op->getLoc());
    for (Value input : generic.getInputs())
      if (!chain.contains(input.getDefiningOp())) inputs.insert(input);
    for (auto [init, result] : llvm::zip(generic.getOutputs(), generic.getResults())) {
      if (!isReturned(result)) continue;
      inits.push_back(init);
      returned.push_back(result);
    }
  }
  MLIRContext* context = last.getContext();
  auto rank = static_cast<unsigned>(last.getNumLoops());
  SmallVector<AffineMap> maps;
  for (Value input : inputs)
    maps.push_back(isScalar(input) ? AffineMap::get(rank, 0, context)
                                   : rewriter.getMultiDimIdentityMap(rank));
  maps.append(inits.size(), rewriter.getMultiDimIdentityMap(rank));
  rewriter.setInsertionPoint(last);
  auto joined = linalg::GenericOp::create(
      rewriter, rewriter.getFusedLoc(locations), TypeRange(ValueRange(inits)), inputs.getArrayRef(),
      inits, maps, last.getIteratorTypesArray(), [&](OpBuilder& b, Location loc, ValueRange args) {
        IRMapping values;  // of tensors: their elements
        for (auto [input, element] : llvm::zip(inputs, args)) values.map(input, element);
        for (Operation* op : chain) {
          auto generic = cast<linalg::GenericOp>(op);
          IRMapping body;
          for (OpOperand* input : generic.getDpsInputOperands())
            body.map(generic.getMatchingBlockArgument(input), values.lookup(input->get()));
          for (Operation& inner : generic.getBody()->without_terminator()) b.clone(inner, body);
          for (auto [result, yielded] :
               llvm::zip(generic.getResults(), generic.getBody()->getTerminator()->getOperands()))
            values.map(result, body.lookupOrDefault(yielded));
        }
        linalg::YieldOp::create(
            b, loc, llvm::map_to_vector(returned, [&](Value v) { return values.lookup(v); }));
      });
  for (auto [result, value] : llvm::zip(returned, joined.getResults()))
    rewriter.replaceAllUsesWith(result, value);
  for (Operation* op : llvm::reverse(chain)) rewriter.eraseOp(op);
  return joined;
}

}  // namespace

void markSweeps(Block& block, RewriterBase& rewriter) {
  int64_t number = 0;
  auto mark = [&](ArrayRef<linalg::GenericOp> ops) {
    for (linalg::GenericOp op : ops) op->setAttr(kSweepAttr, rewriter.getI64IntegerAttr(number));
    ++number;
  };
  SmallVector<linalg::GenericOp> sums;  // of one type, as their parts lie side by side
  for (auto op : block.getOps<linalg::GenericOp>())
    if (isSum(op) && (sums.empty() || op.getResult(0).getType() == sums[0].getResult(0).getType()))
      sums.push_back(op);
  if (sums.size() > 1) mark(sums);
  std::vector<Chain> chains = findChains(block);
  if (chains.size() < 2) return;
  SmallVector<linalg::GenericOp> updates;
  for (const Chain& chain : chains) updates.push_back(joinChain(chain, rewriter));
  mark(updates);
}

}  // namespace weir
