#include "compiler/conversion/cpu/scan_sweeps.h"

#include "compiler/transforms/max_flow.h"
#include "llvm/ADT/SetVector.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/Matchers.h"

namespace weir {

using namespace mlir;

namespace {

/// Vector operations of `op`, by its throughput.
int64_t costOf(Operation& op) {
  if (isa<math::FmaOp, math::AbsFOp, math::CopySignOp>(op)) return 1;
  if (isa<math::MathDialect>(op.getDialect())) return 14;
  if (auto division = dyn_cast<arith::DivFOp>(op))
    return bitEnumContainsAll(division.getFastmath(), arith::FastMathFlags::arcp) ? 5 : 16;
  if (isa<arith::RemFOp, arith::DivSIOp, arith::DivUIOp, arith::RemSIOp, arith::RemUIOp>(op))
    return 16;
  return 1;
}

/// The ops of a scan's regions in one block, each expression once.
class Expressions {
 public:
  explicit Expressions(ScanVjpOp op) : builder(op.getContext()), inputs(op.getInputs().size()) {
    builder.setInsertionPointToEnd(&block);
    Block& prologue = op.getPrologue().front();
    addArguments(prologue.getArguments());
    IRMapping map;
    map.map(prologue.getArguments(), block.getArguments());
    forward = add(prologue, map);
    forwardOps = block.getOperations().size();

    Block& epilogue = op.getAdjointEpilogue().front();
    map.clear();
    state = addArguments(epilogue.getArguments().take_front()).front();
    cotangents = addArguments(epilogue.getArguments().drop_front(1 + inputs));
    map.map(epilogue.getArgument(0), state);
    map.map(epilogue.getArguments().slice(1, inputs), inputValues());
    map.map(epilogue.getArguments().drop_front(1 + inputs), cotangents);
    direct = add(epilogue, map);

    Block& adjoint = op.getAdjointPrologue().front();
    map.clear();
    adjoints = addArguments(adjoint.getArguments().drop_front(inputs));
    map.map(adjoint.getArguments().take_front(inputs), inputValues());
    map.map(adjoint.getArguments().drop_front(inputs), adjoints);
    through = add(adjoint, map);
  }

  Block::BlockArgListType inputValues() { return block.getArguments().take_front(inputs); }

  /// Emits into `target`, whose arguments are `given`, the ops that `wanted` needs.
  void extract(Block& target, ValueRange given, ValueRange wanted) {
    IRMapping map;
    for (Value value : given)
      map.map(value, target.addArgument(value.getType(), builder.getUnknownLoc()));
    llvm::SetVector<Operation*> needed;
    auto need = [&](Value value) {
      Operation* op = value.getDefiningOp();
      if (op && op->getBlock() == &block && !map.contains(value)) needed.insert(op);
    };
    for (Value value : wanted) need(value);
    for (size_t i = 0; i < needed.size(); ++i)
      for (Value operand : needed[i]->getOperands()) need(operand);
    OpBuilder b(builder.getContext());
    b.setInsertionPointToEnd(&target);
    for (Operation& op : block)
      if (needed.contains(&op)) b.clone(op, map);
    SmallVector<Value> values;
    for (Value value : wanted) values.push_back(map.lookupOrDefault(value));
    linalg::YieldOp::create(b, builder.getUnknownLoc(), values);
  }

  Block block;
  OpBuilder builder;
  unsigned inputs;
  /// Ops of the prologue: the first ones of the block.
  size_t forwardOps = 0;
  SmallVector<Value> forward, direct, through;
  Value state;
  SmallVector<Value> cotangents, adjoints;

 private:
  SmallVector<Value> addArguments(Block::BlockArgListType like) {
    SmallVector<Value> values;
    for (Value value : like)
      values.push_back(block.addArgument(value.getType(), builder.getUnknownLoc()));
    return values;
  }

  /// Appends the ops of `from` that aren't there; returns what it yields.
  SmallVector<Value> add(Block& from, IRMapping& map) {
    for (Operation& op : from.without_terminator()) {
      Operation* copy = builder.clone(op, map);
      for (Operation& earlier : block) {
        if (&earlier == copy) break;
        if (!OperationEquivalence::isEquivalentTo(&earlier, copy,
                                                  OperationEquivalence::IgnoreLocations))
          continue;
        map.map(op.getResults(), earlier.getResults());
        copy->erase();
        break;
      }
    }
    SmallVector<Value> values;
    for (Value value : from.getTerminator()->getOperands())
      values.push_back(map.lookupOrDefault(value));
    return values;
  }
};

}  // namespace

void splitSweeps(ScanVjpOp op, ArrayRef<unsigned> gradients, KeepCosts costs,
                 function_ref<bool(unsigned)> isCheap, ScanSweeps& sweeps) {
  Expressions all(op);
  // Values of the inputs alone.
  llvm::SetVector<Value> values;
  for (Value input : all.inputValues()) values.insert(input);
  DenseMap<Value, int64_t> costAgain;
  size_t number = 0;
  for (Operation& op : all.block) {
    // The first evaluation costs the same in either sweep; the prologue's is the forward sweep's.
    bool isForward = number++ < all.forwardOps;
    auto isInside = [&](Value v) {
      return v.getParentBlock() == &all.block && !matchPattern(v, m_Constant());
    };
    auto operands = llvm::make_filter_range(op.getOperands(), isInside);
    if (operands.empty() || op.getNumResults() != 1) continue;
    if (!llvm::all_of(operands, [&](Value v) { return values.contains(v); })) continue;
    values.insert(op.getResult(0));
    costAgain[op.getResult(0)] = isForward ? costOf(op) : 0;
  }
  for (unsigned i = 0; i < all.inputs; ++i) {
    Value input = all.block.getArgument(i);
    bool isForward = false;
    for (Operation& op :
         llvm::make_range(all.block.begin(), std::next(all.block.begin(), all.forwardOps)))
      isForward |= llvm::is_contained(op.getOperands(), input);
    isForward |= llvm::is_contained(all.forward, input);
    costAgain[input] = !isForward || isCheap(i) ? 1 : costs.reload;
  }

  // Two nodes a value: that the sweep back has it, and that it computes (or loads) it there.
  int source = 2 * values.size(), sink = source + 1;
  MaxFlow flow(sink + 1);
  DenseMap<Value, int> node;
  for (auto [i, value] : llvm::enumerate(values)) node[value] = 2 * i;
  for (Value value : values) {
    int has = node[value], computes = has + 1;
    int64_t bits = std::max(8U, value.getType().getIntOrFloatBitWidth());
    flow.addEdge(has, computes, std::max<int64_t>(1, costs.scratch * bits / 32));
    flow.addEdge(computes, sink, costAgain[value]);
    if (Operation* made = value.getDefiningOp())
      for (Value operand : made->getOperands())
        if (values.contains(operand)) flow.addEdge(computes, node[operand], MaxFlow::kInfinite);
  }
  // What comes back needs: its results and the decay, and for them all that depends on the state or
  // a cotangent.
  SmallVector<Value> direct{all.forward[0], all.direct[0]}, through;
  for (unsigned g : gradients) {
    direct.push_back(all.direct[1 + g]);
    through.push_back(all.through[g]);
  }
  llvm::SetVector<Value> needed(direct.begin(), direct.end());
  needed.insert_range(through);
  for (size_t i = 0; i < needed.size(); ++i) {
    if (values.contains(needed[i]))
      flow.addEdge(source, node[needed[i]], MaxFlow::kInfinite);
    else if (Operation* made = needed[i].getDefiningOp(); made && made->getBlock() == &all.block)
      needed.insert_range(made->getOperands());
  }
  std::vector<bool> has = flow.minCut(source, sink);

  SmallVector<Value> kept;
  for (Value value : values)
    if (has[node[value]] && !has[node[value] + 1]) kept.push_back(value);
  for (Value value : kept) sweeps.kept.push_back(value.getType());

  SmallVector<Value> inputs(all.inputValues()), forward(all.forward);
  forward.append(kept);
  all.extract(sweeps.forward, inputs, forward);
  // An input that is kept is taken from there: the latter argument is used.
  inputs.append(kept);
  SmallVector<Value> back(inputs);
  back.push_back(all.state);
  back.append(all.cotangents);
  all.extract(sweeps.direct, back, direct);
  inputs.append(all.adjoints);
  all.extract(sweeps.through, inputs, through);
}

}  // namespace weir
