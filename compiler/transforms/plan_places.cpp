// How the place of a result is handed on to what writes its parts.

#include "compiler/transforms/entry_planner.h"

namespace weir {

using namespace mlir;

namespace {

/// The last launch that writes to `value`, if any does; ops that join tensors write too, where they
/// copy.
Operation* lastWriter(Value value) {
  Operation* op = value.getDefiningOp();
  if (!op || isa<LaunchOp>(op)) return op;
  Operation* last = isa<tensor::ConcatOp, tensor::InsertSliceOp>(op) ? op : nullptr;
  for (Value operand : op->getOperands()) {
    Operation* writer = lastWriter(operand);
    if (writer && (!last || last->isBeforeInBlock(writer))) last = writer;
  }
  return last;
}

/// The first one.
Operation* firstWriter(Value value) {
  Operation* op = value.getDefiningOp();
  if (!op || isa<LaunchOp>(op)) return op;
  Operation* first = isa<tensor::ConcatOp, tensor::InsertSliceOp>(op) ? op : nullptr;
  for (Value operand : op->getOperands()) {
    Operation* writer = firstWriter(operand);
    if (writer && (!first || writer->isBeforeInBlock(first))) first = writer;
  }
  return first;
}

/// Whether nothing but its one user sees the memory of `value`.
bool isSeenOnce(Value value) {
  if (!value.hasOneUse()) return false;
  Operation* op = value.getDefiningOp();
  if (!op) return false;
  if (isa<LaunchOp, tensor::EmptyOp>(op)) return true;
  return isView(op) && llvm::all_of(op->getOperands(), isSeenOnce);
}

}  // namespace

bool EntryPlanner::placeInsert(tensor::InsertSliceOp insert, const Place& place) {
  std::optional<Place> part = sliceOf(place, insert, insert.getDroppedDims());
  if (!part) return false;
  Value whole = insert.getDest();
  bool freshWhole = isSeenOnce(whole) && this->place(whole, place);
  if (!freshWhole) {
    insert.getDestMutable().set(copyTo(whole, place, insert));
    whole = insert.getDest();
  }
  // The part is written after the whole. Fills wait for nothing and can move up.
  Operation* writesWhole = lastWriter(whole);
  Operation* writesPart = firstWriter(insert.getSource());
  bool inOrder = writesPart && (!writesWhole || writesWhole->isBeforeInBlock(writesPart));
  if (!inOrder && writesPart && freshWhole && whole.getDefiningOp() == writesWhole &&
      writesWhole->getNumOperands() == 0 && writesWhole->getNumResults() == 1) {
    writesWhole->moveBefore(writesPart);
    inOrder = true;
  }
  if (!inOrder || !this->place(insert.getSource(), *part)) {
    insert.getSourceMutable().set(copyTo(insert.getSource(), *part, insert));
  }
  places[insert.getResult()] = place;
  return true;
}

/// Brings the operand of which the launch writes a part to the place of the result.
void EntryPlanner::placeUpdated(LaunchOp launch, unsigned result, const Place& place) {
  std::optional<unsigned> updated = updatedOperand(launch, result);
  if (!updated) return;
  OpOperand& old = launch->getOpOperand(*updated);
  auto known = places.find(old.get());
  if (known != places.end() && known->second == place) return;
  if (isSeenOnce(old.get()) && this->place(old.get(), place)) return;
  old.set(copyTo(old.get(), place, launch));
}

bool EntryPlanner::place(Value value, const Place& place) {
  if (places.count(value)) return false;
  Operation* op = value.getDefiningOp();
  if (!op || !isa<RankedTensorType>(value.getType())) return false;
  if (isa<tensor::ExpandShapeOp, tensor::CollapseShapeOp>(op)) {
    std::optional<Place> source = placeOfSource(op, place);
    if (!source || !this->place(op->getOperand(0), *source)) return false;
  } else if (auto concat = dyn_cast<tensor::ConcatOp>(op)) {
    for (OpOperand& part : concat->getOpOperands()) {
      Place target = partOf(place, concat, part.getOperandNumber());
      if (!this->place(part.get(), target)) part.set(copyTo(part.get(), target, concat));
    }
  } else if (auto insert = dyn_cast<tensor::InsertSliceOp>(op)) {
    return placeInsert(insert, place);
  } else if (isa<tensor::EmptyOp>(op)) {
    if (!value.hasOneUse()) return false;
  } else if (auto launch = dyn_cast<LaunchOp>(op)) {
    placeUpdated(launch, cast<OpResult>(value).getResultNumber(), place);
  } else {
    return false;
  }
  places[value] = place;
  return true;
}

/// A concatenation that ends with the beginning of what a launch computes, or begins with its end,
/// shares memory with the whole of it: states that are shifted by one chunk are neither copied nor
/// computed twice.
void EntryPlanner::placeConcatAround(tensor::ConcatOp concat) {
  if (places.count(concat.getResult()) || concat->getNumOperands() < 2) return;
  int64_t dim = concat.getDim();
  for (unsigned number : {concat->getNumOperands() - 1, 0u}) {
    auto slice = concat->getOperand(number).getDefiningOp<tensor::ExtractSliceOp>();
    if (!slice || !slice.getSource().getDefiningOp<LaunchOp>() || places.count(slice.getSource()) ||
        slice.getType().getRank() != slice.getSourceType().getRank()) {
      continue;
    }
    ArrayRef<int64_t> whole = slice.getSourceType().getShape(), part = slice.getType().getShape();
    bool alongDim = llvm::all_of(llvm::seq<int64_t>(0, part.size()), [&](int64_t d) {
      return slice.getStaticStrides()[d] == 1 && (d == dim || whole[d] == part[d]);
    });
    int64_t before = slice.getStaticOffsets()[dim];
    if (!alongDim || ShapedType::isDynamic(before)) continue;
    int64_t after = whole[dim] - before - part[dim];
    bool isFirst = number == 0;
    if ((isFirst ? after : before) != 0 || before + after > part[dim]) continue;

    RankedTensorType type = concat.getResultType();
    SmallVector<int64_t> shape(type.getShape());
    shape[dim] += before + after;
    Place target = newArenaPlace(RankedTensorType::get(shape, type.getElementType()));
    if (isFirst) target.offset += before * target.strides[dim];
    Place source = partOf(target, concat, number);
    source.offset -= before * source.strides[dim];
    if (!place(slice.getSource(), source)) continue;
    for (OpOperand& operand : concat->getOpOperands()) {
      if (operand.getOperandNumber() == number) continue;
      Place other = partOf(target, concat, operand.getOperandNumber());
      if (!place(operand.get(), other)) operand.set(copyTo(operand.get(), other, concat));
    }
    places[concat.getResult()] = target;
    return;
  }
}

}  // namespace weir
