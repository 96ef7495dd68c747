// Whether two groups may share a kernel, and should.

#include <algorithm>

#include "llvm/ADT/DenseSet.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

#include "compiler/transforms/dispatch_access.h"
#include "compiler/transforms/dispatch_grouping.h"
#include "compiler/transforms/op_kinds.h"

namespace weir {

using namespace mlir;

namespace {

/// The loop of row `row` in `loops`, or kNoLoop.
int at(ArrayRef<int> loops, int64_t row) {
  return row < static_cast<int64_t>(loops.size()) ? loops[row] : kNoLoop;
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

bool isElementwiseGroup(const DispatchGroup& group) {
  return llvm::all_of(group.ops, [](Operation* op) {
    auto generic = dyn_cast<linalg::GenericOp>(op);
    return generic && isElementwise(generic);
  });
}

}  // namespace

bool sumsRows(Operation* op) {
  auto generic = dyn_cast_or_null<linalg::GenericOp>(op);
  return generic && isColumnSum(generic);
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

}  // namespace weir
