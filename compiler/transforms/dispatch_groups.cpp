#include "compiler/transforms/dispatch_groups.h"

#include <queue>

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

#include "compiler/transforms/dispatch_access.h"
#include "compiler/transforms/dispatch_grouping.h"
#include "compiler/transforms/op_kinds.h"
#include "compiler/transforms/sweeps.h"

namespace weir {

using namespace mlir;

bool isClonedIntoKernels(Operation* op) {
  if (isa<tensor::EmptyOp>(op)) return true;
  if (auto constant = dyn_cast<arith::ConstantOp>(op)) return !isa<ShapedType>(constant.getType());
  if (!isa<linalg::FillOp>(op)) return false;
  // A fill that is more than the start of a reduction is work of its own.
  return llvm::all_of(op->getUsers(), [](Operation* user) { return isa<linalg::GenericOp>(user); });
}

Grouping::Grouping(Block& block, const DispatchLimits& limits) : block(block), limits(limits) {
  DenseMap<Attribute, Group*> sweeps;
  for (Operation& op : block) {
    position[&op] = static_cast<int64_t>(position.size());
    if (isClonedIntoKernels(&op)) continue;
    Attribute sweep = op.getAttr(kSweepAttr);
    if (Group* group = sweep ? sweeps.lookup(sweep) : nullptr) {
      group->ops.push_back(&op);
      groupOf[&op] = group;
      continue;
    }
    auto group = std::make_unique<Group>();
    group->ops.push_back(&op);
    group->isHost =
        !isa<linalg::GenericOp, linalg::FillOp>(op) && !isKernelRoot(&op) && !isView(&op);
    if (sweep) sweeps[sweep] = group.get();
    SmallVector<int> rows = sweep ? SmallVector<int>() : rowLoopsOf(&op);
    group->rowRank = static_cast<int64_t>(rows.size());
    group->rowLoops[&op] = rows;
    groupOf[&op] = group.get();
    groups.push_back(std::move(group));
  }
}

void Grouping::run() {
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

void Grouping::forEachSuccessor(Group* group, function_ref<void(Group*)> visit) {
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

std::vector<Grouping::GroupPtr> Grouping::takeInOrder() {
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

std::vector<std::unique_ptr<DispatchGroup>> groupOps(Block& block, const DispatchLimits& limits) {
  Grouping grouping(block, limits);
  grouping.run();
  return grouping.takeInOrder();
}

}  // namespace weir
