#include "compiler/transforms/dispatch_groups.h"

#include <algorithm>
#include <queue>

#include "llvm/ADT/DenseSet.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

#include "compiler/transforms/dispatch_access.h"
#include "compiler/transforms/op_kinds.h"

namespace weir {

using namespace mlir;

bool isClonedIntoKernels(Operation* op) {
  if (isa<tensor::EmptyOp>(op)) return true;
  if (auto constant = dyn_cast<arith::ConstantOp>(op)) return !isa<ShapedType>(constant.getType());
  if (!isa<linalg::FillOp>(op)) return false;
  // A fill that is more than the start of a reduction is work of its own.
  return llvm::all_of(op->getUsers(), [](Operation* user) { return isa<linalg::GenericOp>(user); });
}

namespace {

bool sumsRows(Operation* op) {
  auto generic = dyn_cast_or_null<linalg::GenericOp>(op);
  return generic && isColumnSum(generic);
}

using Group = DispatchGroup;
using GroupPtr = std::unique_ptr<Group>;
using RowLoops = DenseMap<Operation*, SmallVector<int>>;

class Grouping {
 public:
  Grouping(Block& block, const DispatchLimits& limits) : block(block), limits(limits) {
    for (Operation& op : block) {
      position[&op] = static_cast<int64_t>(position.size());
      if (isClonedIntoKernels(&op)) continue;
      auto group = std::make_unique<Group>();
      group->ops.push_back(&op);
      group->isHost =
          !isa<linalg::GenericOp, linalg::FillOp>(op) && !isKernelRoot(&op) && !isView(&op);
      SmallVector<int> rows = rowLoopsOf(&op);
      group->rowRank = static_cast<int64_t>(rows.size());
      group->rowLoops[&op] = rows;
      groupOf[&op] = group.get();
      groups.push_back(std::move(group));
    }
  }

  void run() {
    // Producers join their consumers until nothing changes; then groups that read the same tensor;
    // then once more.
    while (mergeAlongValues()) {
    }
    if (mergeSiblings()) {
      while (mergeAlongValues()) {
      }
    }
    releaseViews();
    explainBorders();
    // A sum that stays alone is split over the threads in its own way.
    for (const GroupPtr& group : groups) {
      if (group->ops.size() > 1 || !sumsRows(group->ops[0])) continue;
      group->rowRank = 0;
      group->rowLoops.clear();
    }
  }

  std::vector<GroupPtr> takeInOrder();

 private:
  struct Edge {
    Operation* producer;
    OpResult value;
    Operation* consumer;
    OpOperand* operand;
  };

  bool mergeAlongValues();
  bool mergeSiblings();
  void releaseViews();

  Group* groupOfValue(Value value) {
    Operation* op = value.getDefiningOp();
    return op ? groupOf.lookup(op) : nullptr;
  }

  /// Merges `b` into `a` if the result is a kernel that is worth it.
  bool tryMerge(Group* a, Group* b, Value shared);

  /// The rows that ops of both groups would have, given what flows between them (or both read); 0
  /// if none.
  int64_t commonRows(Group* a, Group* b, Value shared, RowLoops& rows);

  /// Why a kernel of both isn't worth it; empty if it is.
  StringRef drawback(Group* a, Group* b, int64_t rowRank, const RowLoops& rows);

  /// Why the groups can't be one kernel, or shouldn't; empty if they should, with the rows that
  /// their ops would have.
  StringRef obstacle(Group* a, Group* b, Value shared, int64_t& rank, RowLoops& rows);

  /// Says of each value that a group reads from another one why it isn't computed in the group.
  void explainBorders();

  int64_t borderAfter(int64_t at);

  /// Whether a path leads from `from` to `to` through a third group.
  bool reachesThroughOthers(Group* from, Group* to);

  int64_t lastPosition(Group* group) { return position[group->ops.back()]; }
  int64_t firstPosition(Group* group) { return position[group->ops.front()]; }

  void forEachSuccessor(Group* group, function_ref<void(Group*)> visit) {
    for (Operation* op : group->ops) {
      for (Operation* user : op->getUsers()) {
        Operation* inBlock = block.findAncestorOpInBlock(*user);
        Group* successor = groupOf.lookup(inBlock);
        if (successor) {
          if (successor != group) visit(successor);
          continue;
        }
        // Ops that kernels clone pass on what they read (a fill with a computed number).
        for (Operation* next : inBlock->getUsers()) {
          Group* through = groupOf.lookup(block.findAncestorOpInBlock(*next));
          if (through && through != group) visit(through);
        }
      }
    }
  }

  Block& block;
  const DispatchLimits& limits;
  std::vector<GroupPtr> groups;
  DenseMap<Operation*, Group*> groupOf;
  DenseMap<Operation*, int64_t> position;
  /// Pairs that one value leads from the first to the second of, and that don't merge: with the
  /// numbers of ops that they had. Only more ops can change that, in either.
  DenseMap<std::pair<Group*, Group*>, std::pair<size_t, size_t>> refused;
};

/// The loop of row `row` in `loops`, or kNoLoop.
int at(ArrayRef<int> loops, int64_t row) {
  return row < static_cast<int64_t>(loops.size()) ? loops[row] : kNoLoop;
}

int64_t Grouping::commonRows(Group* a, Group* b, Value shared, RowLoops& rows) {
  // A pair of accesses to one value, by an op of each group.
  struct Pair {
    Operation* first;
    SmallVector<int> firstLoops;
    Operation* second;
    SmallVector<int> secondLoops;
  };
  SmallVector<Pair> pairs;
  auto addEdges = [&](Group* from, Group* to) {
    for (Operation* op : from->ops) {
      for (OpResult result : op->getResults()) {
        for (OpOperand& use : result.getUses()) {
          if (groupOf.lookup(use.getOwner()) != to) continue;
          pairs.push_back({op, loopsOfResult(result), use.getOwner(), loopsOfOperand(use)});
        }
      }
    }
  };
  addEdges(a, b);
  addEdges(b, a);
  if (pairs.empty()) {
    // Siblings: how both walk what they share.
    for (OpOperand& inA : shared.getUses()) {
      if (groupOf.lookup(inA.getOwner()) != a) continue;
      for (OpOperand& inB : shared.getUses()) {
        if (groupOf.lookup(inB.getOwner()) != b) continue;
        pairs.push_back({inA.getOwner(), loopsOfOperand(inA), inB.getOwner(), loopsOfOperand(inB)});
        break;
      }
      if (!pairs.empty()) break;
    }
  }
  if (pairs.empty()) return 0;

  // Rows of groups of several ops are settled; an op that is still alone takes the order that the
  // value asks for.
  DenseMap<Operation*, SmallVector<int>> allowed;
  for (Group* group : {a, b}) {
    for (Operation* op : group->ops) {
      allowed[op] = group->rowLoops[op];
      rows[op] = group->ops.size() == 1 ? SmallVector<int>() : group->rowLoops[op];
    }
  }
  int64_t rank = 0;
  int64_t limit = std::min(a->rowRank, b->rowRank);
  for (; rank < limit; ++rank) {
    bool agree = true;
    auto settle = [&](Operation* op, int loop) {
      if (loop == kNoLoop || !llvm::is_contained(allowed[op], loop)) return false;
      SmallVector<int>& loops = rows[op];
      if (groupOf[op]->ops.size() > 1 || static_cast<int64_t>(loops.size()) > rank)
        return at(loops, rank) == loop;
      if (llvm::is_contained(loops, loop)) return false;
      loops.push_back(loop);
      return true;
    };
    for (const Pair& pair : pairs) {
      int first = at(pair.firstLoops, rank), second = at(pair.secondLoops, rank);
      agree = agree && settle(pair.first, first) && settle(pair.second, second) &&
              loopExtent(pair.first, first) == loopExtent(pair.second, second);
      if (!agree) break;
    }
    if (!agree) break;
  }
  // What any op writes must be made of whole rows, but for sums over them.
  auto writesRows = [&](Operation* op, int64_t rank) {
    if (sumsRows(op)) return true;
    for (OpResult result : op->getResults()) {
      SmallVector<int> loops = loopsOfResult(result);
      if (static_cast<int64_t>(loops.size()) < rank) return false;
      for (int64_t row = 0; row < rank; ++row) {
        if (!llvm::is_contained(ArrayRef<int>(loops).take_front(rank), rows[op][row])) return false;
      }
    }
    return true;
  };
  for (; rank > 0; --rank) {
    bool all = llvm::all_of(a->ops, [&](Operation* op) { return writesRows(op, rank); }) &&
               llvm::all_of(b->ops, [&](Operation* op) { return writesRows(op, rank); });
    if (all) break;
  }
  for (auto& entry : rows) entry.second.resize(std::min<size_t>(entry.second.size(), rank));
  return rank;
}

int64_t rowCount(Operation* op, ArrayRef<int> loops) {
  int64_t count = 1;
  for (int loop : loops) count *= loopExtent(op, loop);
  return count;
}

int64_t pointsOf(Operation* op) {
  if (auto generic = dyn_cast<linalg::GenericOp>(op)) return numPoints(generic);
  auto type = dyn_cast<RankedTensorType>(op->getResult(0).getType());
  return type ? type.getNumElements() : 1;
}

/// Bytes of the operands that `rows` don't walk: they are read again for every row.
int64_t weightBytesOf(linalg::GenericOp op, ArrayRef<int> rows) {
  int64_t bytes = 0;
  for (OpOperand* input : op.getDpsInputOperands()) {
    AffineMap map = op.getMatchingIndexingMap(input);
    int64_t size = byteSize(input->get().getType());
    bool walksAll = true;
    for (int row : rows) {
      if (map.isFunctionOfDim(row)) {
        size /= std::max<int64_t>(1, loopExtent(op, row));
      } else {
        walksAll = false;
      }
    }
    if (!walksAll) bytes += size;
  }
  return bytes;
}

bool isElementwiseGroup(const Group& group) {
  return llvm::all_of(group.ops, [](Operation* op) {
    auto generic = dyn_cast<linalg::GenericOp>(op);
    return generic && isElementwise(generic);
  });
}

StringRef Grouping::drawback(Group* a, Group* b, int64_t rowRank, const RowLoops& rows) {
  SmallVector<Operation*> ops(a->ops.begin(), a->ops.end());
  ops.append(b->ops.begin(), b->ops.end());
  int64_t count = rowCount(ops[0], ArrayRef<int>(rows.lookup(ops[0])).take_front(rowRank));
  int64_t products = 0, weights = 0, scratch = 0, points = 0;
  DenseSet<Value> outside;
  for (Operation* op : ops) {
    points += pointsOf(op);
    if (auto generic = dyn_cast<linalg::GenericOp>(op); generic && isContraction(generic)) {
      ++products;
      weights += weightBytesOf(generic, rows.lookup(op));
    }
    for (Value read : op->getOperands()) {
      Group* producer = groupOfValue(read);
      bool inside = producer == a || producer == b;
      Operation* definition = read.getDefiningOp();
      if (!inside && !(definition && isClonedIntoKernels(definition))) outside.insert(read);
    }
    for (Value result : op->getResults()) {
      bool stays = llvm::all_of(result.getUsers(), [&](Operation* user) {
        Group* consumer = groupOf.lookup(user);
        return consumer == a || consumer == b;
      });
      if (stays) {
        if (!isView(op)) scratch += byteSize(result.getType()) / std::max<int64_t>(1, count);
      } else {
        outside.insert(result);
      }
    }
  }
  if (static_cast<int64_t>(outside.size()) > limits.maxValues)
    return "a kernel of both would have too many operands";
  int64_t blockRows =
      std::min(count, products > 0 ? limits.rowsPerProductBlock : limits.rowsPerBlock);
  if (scratch * blockRows > limits.scratchBytes)
    return "a block of rows of both would not stay in the cache";
  if (products > 1 && weights > limits.weightBytes)
    return "the weights of both products would not stay in the cache";

  auto rowsAlone = [&](Group* group) {
    return rowCount(group->ops[0], group->rowLoops[group->ops[0]]);
  };
  bool keepsRows = count == rowsAlone(a) && count == rowsAlone(b);
  if (keepsRows || count >= limits.minRows || points <= limits.smallPoints) return "";
  return "rows in common are too few to keep threads busy";
}

/// The first position from `at` on that no group lies on both sides of: what comes after it leads
/// to nothing before it.
int64_t Grouping::borderAfter(int64_t at) {
  for (bool grows = true; grows;) {
    grows = false;
    for (const GroupPtr& group : groups) {
      if (group->ops.size() == 1 || firstPosition(group.get()) > at) continue;
      int64_t last = lastPosition(group.get());
      if (last <= at) continue;
      at = last;
      grows = true;
    }
  }
  return at;
}

bool Grouping::reachesThroughOthers(Group* from, Group* to) {
  int64_t last = borderAfter(lastPosition(to));
  DenseSet<Group*> seen;
  SmallVector<Group*> stack;
  bool found = false;
  forEachSuccessor(from, [&](Group* next) {
    if (next != to && seen.insert(next).second) stack.push_back(next);
  });
  while (!stack.empty() && !found) {
    Group* group = stack.pop_back_val();
    if (firstPosition(group) > last) continue;
    forEachSuccessor(group, [&](Group* next) {
      if (next == to) found = true;
      if (seen.insert(next).second) stack.push_back(next);
    });
  }
  return found;
}

StringRef Grouping::obstacle(Group* a, Group* b, Value shared, int64_t& rank, RowLoops& rows) {
  // A view comes along with the op that computes what it shows, or it stays with the host: there it
  // costs nothing.
  if (isa<tensor::ConcatOp, tensor::InsertSliceOp>(a->ops[0]))
    return "it is a part of the larger tensor that is read";
  if (isView(a->ops[0])) return "a view of it is read";
  if (a->isHost || b->isHost) return "one of them is no kernel";
  for (Group* group : {a, b})
    if (group->rowRank == 0 && isKernelRoot(group->ops[0]))
      return group == a ? "what makes it is a kernel of its own"
                        : "what reads it is a kernel of its own";
  if (groupOfValue(shared) == a && sumsRows(shared.getDefiningOp()))
    return "it is a sum over rows, complete after the last one";
  if (a->rowRank == 0) return "what makes it has no rows that others could share";
  if (b->rowRank == 0) return "what reads it sums over its rows";
  if (static_cast<int64_t>(a->ops.size() + b->ops.size()) > limits.maxOps)
    return "a kernel of both would have too many ops";
  rank = commonRows(a, b, shared, rows);
  if (rank == 0) return "its rows are not those of what reads it";
  if (StringRef why = drawback(a, b, rank, rows); !why.empty()) return why;
  // Nor is it worth more rows than those of the innermost dimension of elementwise work.
  if (isView(b->ops[0]) && rank < a->rowRank - (isElementwiseGroup(*a) ? 1 : 0))
    return "a view of it has other rows";
  if (reachesThroughOthers(a, b) || reachesThroughOthers(b, a))
    return "another kernel lies between them";
  return "";
}

bool Grouping::tryMerge(Group* a, Group* b, Value shared) {
  RowLoops rows;
  int64_t rank = 0;
  if (a == b || !obstacle(a, b, shared, rank, rows).empty()) return false;

  for (Operation* op : b->ops) groupOf[op] = a;
  a->ops.insert(a->ops.end(), b->ops.begin(), b->ops.end());
  llvm::sort(a->ops, [&](Operation* x, Operation* y) { return position[x] < position[y]; });
  a->rowRank = rank;
  a->rowLoops = std::move(rows);
  llvm::erase_if(groups, [&](const GroupPtr& group) { return group.get() == b; });
  return true;
}

bool Grouping::mergeAlongValues() {
  bool changed = false;
  for (Operation& op : block) {
    if (!groupOf.contains(&op)) continue;
    SmallVector<Value> read = llvm::to_vector(op.getOperands());
    llvm::stable_sort(
        read, [](Value x, Value y) { return byteSize(x.getType()) > byteSize(y.getType()); });
    for (Value value : read) {
      Group *producer = groupOfValue(value), *consumer = groupOf[&op];
      if (!producer) continue;
      std::pair<size_t, size_t> sizes(producer->ops.size(), consumer->ops.size());
      auto known = refused.find({producer, consumer});
      if (known != refused.end() && known->second == sizes) continue;
      if (tryMerge(producer, consumer, value))
        changed = true;
      else
        refused[{producer, consumer}] = sizes;
    }
  }
  return changed;
}

bool Grouping::mergeSiblings() {
  bool changed = false;
  auto mergeUsers = [&](Value value) {
    if (!isa<RankedTensorType>(value.getType())) return;
    SmallVector<Operation*> users;
    for (Operation* user : value.getUsers()) {
      if (isa<linalg::GenericOp>(user) && groupOf.contains(user) &&
          !llvm::is_contained(users, user)) {
        users.push_back(user);
      }
    }
    llvm::sort(users, [&](Operation* x, Operation* y) { return position[x] < position[y]; });
    for (size_t i = 1; i < users.size(); ++i)
      changed |= tryMerge(groupOf[users[0]], groupOf[users[i]], value);
  };
  for (BlockArgument argument : block.getArguments()) mergeUsers(argument);
  for (Operation& op : block) {
    if (!groupOf.contains(&op)) continue;
    for (Value result : op.getResults()) mergeUsers(result);
  }
  return changed;
}

/// Views at the border of a group are free on the host, where the planner makes addresses of them.
void Grouping::releaseViews() {
  for (bool changed = true; changed;) {
    changed = false;
    for (size_t i = 0; i < groups.size(); ++i) {
      Group* group = groups[i].get();
      if (group->isHost) continue;
      for (Operation* op : std::vector<Operation*>(group->ops)) {
        if (!isView(op)) continue;
        bool readsInside =
            llvm::any_of(op->getOperands(), [&](Value v) { return groupOfValue(v) == group; });
        bool usedInside = llvm::any_of(
            op->getUsers(), [&](Operation* user) { return groupOf.lookup(user) == group; });
        if (readsInside && usedInside) continue;
        auto alone = std::make_unique<Group>();
        alone->ops.push_back(op);
        alone->isHost = true;
        groupOf[op] = alone.get();
        llvm::erase(group->ops, op);
        group->rowLoops.erase(op);
        groups.push_back(std::move(alone));
        changed = true;
      }
    }
    llvm::erase_if(groups, [](const GroupPtr& group) { return group->ops.empty(); });
  }
}

void Grouping::explainBorders() {
  for (const GroupPtr& group : groups) {
    if (group->isHost) continue;
    for (Operation* op : group->ops) {
      for (OpOperand& operand : op->getOpOperands()) {
        Group* producer = groupOfValue(operand.get());
        if (!producer || producer == group.get()) continue;
        RowLoops rows;
        int64_t rank = 0;
        group->apart[&operand] = obstacle(producer, group.get(), operand.get(), rank, rows);
      }
    }
  }
}

std::vector<GroupPtr> Grouping::takeInOrder() {
  DenseMap<Group*, int64_t> waitingFor;
  DenseMap<Group*, llvm::SetVector<Group*>> successors;
  for (const GroupPtr& group : groups) waitingFor[group.get()] = 0;
  for (const GroupPtr& group : groups) {
    forEachSuccessor(group.get(), [&](Group* next) { successors[group.get()].insert(next); });
    for (Group* next : successors[group.get()]) ++waitingFor[next];
  }
  auto later = [&](Group* x, Group* y) { return firstPosition(x) > firstPosition(y); };
  std::priority_queue<Group*, std::vector<Group*>, decltype(later)> ready(later);
  for (const GroupPtr& group : groups) {
    if (waitingFor[group.get()] == 0) ready.push(group.get());
  }
  DenseMap<Group*, GroupPtr> owned;
  for (GroupPtr& group : groups) {
    Group* key = group.get();
    owned[key] = std::move(group);
  }
  std::vector<GroupPtr> ordered;
  while (!ready.empty()) {
    Group* group = ready.top();
    ready.pop();
    for (Group* next : successors[group]) {
      if (--waitingFor[next] == 0) ready.push(next);
    }
    ordered.push_back(std::move(owned[group]));
  }
  assert(ordered.size() == groups.size() && "groups depend on each other");
  return ordered;
}

}  // namespace

std::vector<GroupPtr> groupOps(Block& block, const DispatchLimits& limits) {
  Grouping grouping(block, limits);
  grouping.run();
  return grouping.takeInOrder();
}

}  // namespace weir
