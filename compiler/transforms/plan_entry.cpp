// Where every tensor of an entry point lives.
//
// 1. What is returned is written straight to the output or variable that it is for, where that is
//    possible.
// 2. From the last op to the first: concatenations and insertions hand the place of their result on
//    to the launches that write the parts (plan_places.cpp). Where a part has a place already, or
//    none of its own, a copy is added.
// 3. From the first op to the last: views become offsets and strides.
// 4. Lifetimes, an arena, and kernels for the strides.

#include "compiler/transforms/plan_entry.h"

#include <algorithm>

#include "compiler/transforms/entry_planner.h"
#include "compiler/transforms/plan_arena.h"
#include "compiler/transforms/plan_specs.h"

namespace weir {

using namespace mlir;
using runtime::Space;

namespace {

/// Results of at least so many bytes are written past the caches. Reading what they overwrite,
/// which that saves, takes longer then than what a reader loses that comes right after, even if it
/// is on the same core and the machine has a third cache as large as all of them.
constexpr int64_t kStreamedBytes = 4 << 20;

/// The type of the memory for a value in the arena. Rows of what is written past the caches begin
/// at lines, unless a view may need them together.
Type storageOf(Value value) {
  bool mayAlign = value.getDefiningOp<LaunchOp>() && byteSize(value.getType()) >= kStreamedBytes &&
                  llvm::all_of(value.getUsers(), llvm::IsaPred<LaunchOp>);
  return mayAlign ? withAlignedRows(cast<RankedTensorType>(value.getType())) : value.getType();
}

}  // namespace

FailureOr<PlannedEntry> EntryPlanner::run() {
  sinkToUsers();
  if (failed(placeArguments()) || failed(placeResults())) return failure();
  placeParts();
  if (failed(placeViews())) return failure();
  return finish();
}

/// What waits for nothing (casts of weights, fills) runs where it is needed, so that its result
/// lives no longer than that.
void EntryPlanner::sinkToUsers() {
  for (Operation& op : llvm::make_early_inc_range(llvm::reverse(block))) {
    bool waitsForNothing =
        isa<LaunchOp>(op) && llvm::all_of(op.getOperands(), [](Value operand) {
          return isa<BlockArgument>(operand) || operand.getDefiningOp<arith::ConstantOp>();
        });
    if (!waitsForNothing &&
        !isa<tensor::ExtractSliceOp, tensor::ExpandShapeOp, tensor::CollapseShapeOp>(op))
      continue;
    Operation* first = nullptr;
    for (Operation* user : op.getUsers()) {
      if (!first || user->isBeforeInBlock(first)) first = user;
    }
    if (first) op.moveBefore(first);
  }
}

LogicalResult EntryPlanner::placeArguments() {
  plan.name = entry.getSymName().str();
  for (BlockArgument argument : block.getArguments()) {
    unsigned number = argument.getArgNumber();
    if (auto name = entry.getArgAttrOfType<StringAttr>(number, host::kInputAttr)) {
      auto spec = tensorSpec(entry, name, argument.getType());
      if (failed(spec)) return failure();
      places[argument] =
          newPlace(Space::kInput, static_cast<int64_t>(plan.inputs.size()), argument.getType());
      plan.inputs.push_back(*spec);
      continue;
    }
    auto name = entry.getArgAttrOfType<StringAttr>(number, host::kVariableAttr);
    if (!name) {
      return entry.emitError() << "argument " << number << " is neither an input ("
                               << host::kInputAttr << ") nor a variable (" << host::kVariableAttr
                               << ")";
    }
    auto role = entry.getArgAttrOfType<StringAttr>(number, host::kRoleAttr);
    auto variable = variableNumber(entry, name, role, argument.getType(), shared);
    if (failed(variable)) return failure();
    if (variableBuffers.count(name)) {
      return entry.emitError() << "two arguments are the variable '" << name.getValue() << "'";
    }
    places[argument] = newPlace(Space::kVariable, *variable, argument.getType());
    variableBuffers[name] = places[argument].buffer;
  }
  return success();
}

bool EntryPlanner::canUpdateInPlace(Value value, BlockArgument old) {
  auto writer = value.getDefiningOp<LaunchOp>();
  if (!writer) return false;
  // All launches that read the old value, directly or through views.
  SmallVector<Value> aliases = {old};
  while (!aliases.empty()) {
    Value alias = aliases.pop_back_val();
    for (OpOperand& use : alias.getUses()) {
      Operation* reader = use.getOwner();
      if (auto launch = dyn_cast<LaunchOp>(reader)) {
        if (launch == writer) {
          auto kernel = symbols.lookup<func::FuncOp>(launch.getKernel());
          unsigned result = cast<OpResult>(value).getResultNumber();
          if (alias != old || !kernel || !canOverwrite(kernel, use.getOperandNumber(), result))
            return false;
        } else if (!launch->isBeforeInBlock(writer)) {
          return false;
        }
        continue;
      }
      if (reader == block.getTerminator()) {
        if (alias == old) continue;  // checked by the caller
        return false;
      }
      // Where a view has no address of its own, it is copied at its place in the list.
      if (!reader->isBeforeInBlock(writer)) return false;
      if (!isa<tensor::ConcatOp, tensor::InsertSliceOp>(reader)) {
        aliases.append(reader->result_begin(), reader->result_end());
      }
    }
  }
  return true;
}

LogicalResult EntryPlanner::placeResults() {
  Operation* terminator = block.getTerminator();
  struct Update {
    OpOperand* operand;
    int64_t buffer;
  };
  SmallVector<Update> updates;
  for (OpOperand& operand : terminator->getOpOperands()) {
    unsigned number = operand.getOperandNumber();
    Value value = operand.get();
    if (auto name = entry.getResultAttrOfType<StringAttr>(number, host::kOutputAttr)) {
      auto spec = tensorSpec(entry, name, value.getType());
      if (failed(spec)) return failure();
      Place output =
          newPlace(Space::kOutput, static_cast<int64_t>(plan.outputs.size()), value.getType());
      plan.outputs.push_back(*spec);
      if (!place(value, output)) operand.set(copyTo(value, output, terminator));
      continue;
    }
    auto name = entry.getResultAttrOfType<StringAttr>(number, host::kVariableAttr);
    if (!name) {
      return entry.emitError() << "result " << number << " is neither an output ("
                               << host::kOutputAttr << ") nor the new value of a variable ("
                               << host::kVariableAttr << ")";
    }
    auto variable = variableNumber(entry, name, {}, value.getType(), shared);
    if (failed(variable)) return failure();
    auto known = variableBuffers.find(name);
    if (known == variableBuffers.end()) {
      int64_t buffer = newBuffer(Space::kVariable, *variable, value.getType());
      known = variableBuffers.try_emplace(name, buffer).first;
    }
    updates.push_back({&operand, known->second});
  }

  // Outputs are copied before variables change. What can't be computed in place is copied at the
  // end, by way of the arena if it comes from a variable, which may have changed by then.
  SmallVector<Update> atTheEnd;
  for (Update update : updates) {
    Value value = update.operand->get();
    auto argument = dyn_cast<BlockArgument>(value);
    if (argument && places[argument].buffer == update.buffer) continue;
    BlockArgument old;
    for (BlockArgument candidate : block.getArguments()) {
      if (places[candidate].buffer == update.buffer) old = candidate;
    }
    Place target{update.buffer, 0,
                 rowMajorStrides(cast<RankedTensorType>(value.getType()).getShape())};
    bool returnedAgain = old && llvm::any_of(updates, [&](const Update& other) {
                           return other.operand != update.operand && other.operand->get() == old;
                         });
    bool inPlace = !old || canUpdateInPlace(value, old);
    if (inPlace && !returnedAgain && value.getDefiningOp<LaunchOp>() && place(value, target))
      continue;
    atTheEnd.push_back(update);
  }
  for (Update& update : atTheEnd) {
    Value value = update.operand->get();
    if (value.getDefiningOp<LaunchOp>()) continue;
    update.operand->set(kernels.copy(value, terminator).getResult(0));
  }
  for (Update& update : atTheEnd) {
    Value value = update.operand->get();
    Place target{update.buffer, 0,
                 rowMajorStrides(cast<RankedTensorType>(value.getType()).getShape())};
    update.operand->set(copyTo(value, target, terminator));
  }
  return success();
}

void EntryPlanner::placeParts() {
  for (Operation* op = block.getTerminator(); op; op = op->getPrevNode()) {
    if (!isa<LaunchOp, tensor::ConcatOp, tensor::InsertSliceOp, tensor::EmptyOp>(op)) continue;
    if (auto concat = dyn_cast<tensor::ConcatOp>(op)) placeConcatAround(concat);
    for (Value result : op->getResults()) {
      if (!places.count(result)) place(result, newArenaPlace(storageOf(result)));
      // An empty tensor that several ops write into.
      if (!places.count(result)) places[result] = newArenaPlace(result.getType());
    }
  }
}

FailureOr<Place> EntryPlanner::placeOfConstant(arith::ConstantOp constant) {
  Attribute value = constant.getValue();
  auto known = shared.constantNumbers.find(value);
  if (known == shared.constantNumbers.end()) {
    FailureOr<std::string> bytes = constantBytes(constant);
    if (failed(bytes)) return failure();
    known = shared.constantNumbers.try_emplace(value, shared.constants.size()).first;
    shared.constants.push_back(*bytes);
  }
  return newPlace(Space::kConstant, known->second, constant.getType());
}

LogicalResult EntryPlanner::placeViews() {
  for (Operation& op : llvm::make_early_inc_range(block)) {
    if (auto constant = dyn_cast<arith::ConstantOp>(op)) {
      bool launched = llvm::any_of(op.getUsers(),
                                   [](Operation* user) { return !isa<tensor::ExtractOp>(user); });
      if (!launched) continue;
      FailureOr<Place> place = placeOfConstant(constant);
      if (failed(place)) return failure();
      places[constant] = *place;
      continue;
    }
    if (isa<LaunchOp, tensor::EmptyOp>(op) || &op == block.getTerminator()) continue;
    if (!isView(&op) && !isa<tensor::ExtractOp>(op)) {
      return op.emitOpError()
             << "can't be planned: only launches, views and constants are left by now";
    }
    if (places.count(op.getResult(0))) continue;
    std::optional<Place> place = placeOfView(&op, places[op.getOperand(0)]);
    if (!place) {
      // Elements that are not evenly spaced are copied together first.
      if (isa<tensor::ExtractOp>(op)) return op.emitOpError() << "needs constant indices";
      Value together = copyTo(op.getOperand(0), newArenaPlace(op.getOperand(0).getType()), &op);
      op.setOperand(0, together);
      place = placeOfView(&op, places[together]);
      if (!place) return op.emitOpError() << "needs constant offsets";
    }
    places[op.getResult(0)] = *place;
  }
  return success();
}

FailureOr<PlannedEntry> EntryPlanner::finish() {
  SmallVector<LaunchOp> launches = llvm::to_vector(block.getOps<LaunchOp>());
  for (int64_t time = 0; time < static_cast<int64_t>(launches.size()); ++time) {
    LaunchOp launch = launches[time];
    auto touch = [&](Value value) {
      Buffer& buffer = buffers[places[value].buffer];
      if (buffer.first < 0) buffer.first = time;
      buffer.last = time;
    };
    for (Value value : launch.getOperands()) touch(value);
    for (Value value : launch.getResults()) touch(value);
  }
  std::vector<ArenaRequest> requests;
  SmallVector<int64_t> requestOf(buffers.size(), -1);
  for (auto [number, buffer] : llvm::enumerate(buffers)) {
    if (buffer.space != Space::kArena || buffer.first < 0) continue;
    requestOf[number] = static_cast<int64_t>(requests.size());
    requests.push_back({buffer.bytes, buffer.first, buffer.last});
  }
  ArenaPlan arena = planArena(requests);
  plan.arenaBytes = arena.bytes;
  plan.arenaLowerBound = arena.lowerBound;

  for (LaunchOp launch : launches) {
    PlannedLaunch planned{launch, {}};
    LaunchLayout layout;
    auto add = [&](Value value) {
      const Place& place = places[value];
      const Buffer& buffer = buffers[place.buffer];
      auto tensor = dyn_cast<RankedTensorType>(value.getType());
      Type element = tensor ? tensor.getElementType() : value.getType();
      int64_t offset = place.offset * byteSize(element);
      if (buffer.space == Space::kArena) offset += arena.offsets[requestOf[place.buffer]];
      planned.buffers.push_back({buffer.space, buffer.index, offset});
      bool strided = tensor && !isRowMajor(tensor.getShape(), place.strides);
      layout.strides.push_back(strided ? place.strides : SmallVector<int64_t>());
    };
    for (Value value : launch.getOperands()) add(value);
    DenseMap<int64_t, int64_t> operandIn;  // the last one in a buffer
    for (auto [i, operand] : llvm::enumerate(launch.getOperands()))
      operandIn[places[operand].buffer] = static_cast<int64_t>(i);
    for (OpResult value : launch->getResults()) {
      add(value);
      // In the buffer of an operand: placeResults made sure that it may be.
      int64_t tie = -1;
      std::optional<unsigned> updated = updatedOperand(launch, value.getResultNumber());
      int64_t buffer = places[value].buffer;
      if (auto operand = operandIn.find(buffer);
          operand != operandIn.end() && buffers[buffer].space == Space::kVariable)
        tie = operand->second;
      else if (updated && places[launch.getOperands()[*updated]].buffer == buffer)
        tie = *updated;
      layout.ties.push_back(tie);
      // In place, a line is read anyway.
      int64_t bytes = byteSize(value.getType());
      layout.streamed.push_back(tie < 0 && bytes >= kStreamedBytes &&
                                planned.buffers.back().byte_offset % kArenaAlignment == 0);
    }
    kernels.specialize(launch, layout);
    plan.launches.push_back(std::move(planned));
  }
  return std::move(plan);
}

FailureOr<PlannedEntry> planEntry(func::FuncOp entry, SymbolTable& symbols, PlanKernels& kernels,
                                  PlanShared& shared) {
  return EntryPlanner(entry, symbols, kernels, shared).run();
}

}  // namespace weir
