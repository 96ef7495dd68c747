#include "compiler/transforms/plan_kernels.h"

#include "compiler/dialect/ring_ops.h"
#include "compiler/transforms/sweeps.h"
#include "llvm/ADT/StringExtras.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

namespace weir {

using namespace mlir;

std::optional<unsigned> updatedArgument(func::FuncOp kernel, unsigned result) {
  Operation* terminator = kernel.getBody().front().getTerminator();
  auto write = terminator->getOperand(result).getDefiningOp<WriteRingOp>();
  auto ring = write ? dyn_cast<BlockArgument>(write.getRing()) : nullptr;
  if (!ring) return std::nullopt;
  return ring.getArgNumber();
}

bool canOverwrite(func::FuncOp kernel, unsigned argument, unsigned result) {
  if (updatedArgument(kernel, result) == argument) return kernel.getArgument(argument).hasOneUse();
  Operation* terminator = kernel.getBody().front().getTerminator();
  auto written = dyn_cast<OpResult>(terminator->getOperand(result));
  auto writer = written ? dyn_cast<linalg::GenericOp>(written.getOwner()) : nullptr;
  if (writer && isPartOfSweep(writer))
    return llvm::all_of(kernel.getArgument(argument).getUses(), [&](OpOperand& use) {
      return use.getOwner() == writer && writer.getMatchingIndexingMap(&use).isIdentity();
    });
  auto rank = kernel->getAttrOfType<IntegerAttr>(kRowRankAttr);
  if (!writer || !rank || rank.getInt() != static_cast<int64_t>(writer.getNumLoops())) return false;
  AffineMap place = writer.getIndexingMapMatchingResult(written);
  if (!place.isPermutation()) return false;
  for (OpOperand& use : kernel.getArgument(argument).getUses()) {
    auto reader = dyn_cast<linalg::GenericOp>(use.getOwner());
    if (!reader || reader.getNumParallelLoops() != writer.getNumLoops() ||
        reader.getNumLoops() != writer.getNumLoops() || !reader.isDpsInput(&use) ||
        reader.getMatchingIndexingMap(&use) != place) {
      return false;
    }
    if (reader != writer && !reader->isBeforeInBlock(writer)) return false;
  }
  return true;
}

LaunchOp PlanKernels::copy(Value value, Operation* before) {
  auto type = cast<RankedTensorType>(value.getType());
  func::FuncOp& kernel = copies[type];
  if (!kernel) {
    OpBuilder b(type.getContext());
    Location loc = b.getUnknownLoc();
    kernel = func::FuncOp::create(loc, "k_copy", b.getFunctionType({type}, {type}));
    kernel.setPrivate();
    kernel->setAttr(kKernelAttr, b.getUnitAttr());
    kernel->setAttr(kRowRankAttr, b.getI64IntegerAttr(type.getRank()));
    b.setInsertionPointToEnd(kernel.addEntryBlock());
    Value empty = tensor::EmptyOp::create(b, loc, type.getShape(), type.getElementType());
    AffineMap map = b.getMultiDimIdentityMap(static_cast<unsigned>(type.getRank()));
    SmallVector<utils::IteratorType> iterators(type.getRank(), utils::IteratorType::parallel);
    auto generic =
        linalg::GenericOp::create(b, loc, TypeRange{type}, ValueRange{kernel.getArgument(0)},
                                  ValueRange{empty}, ArrayRef<AffineMap>{map, map}, iterators,
                                  [](OpBuilder& b, Location loc, ValueRange values) {
                                    linalg::YieldOp::create(b, loc, values[0]);
                                  });
    func::ReturnOp::create(b, loc, generic.getResults());
    symbols.insert(kernel);
  }
  OpBuilder b(before);
  return LaunchOp::create(b, value.getLoc(), TypeRange{type}, SymbolRefAttr::get(kernel),
                          ValueRange{value}, ArrayAttr());
}

void PlanKernels::specialize(LaunchOp launch, const LaunchLayout& layout) {
  bool plain = llvm::all_of(layout.strides, [](ArrayRef<int64_t> s) { return s.empty(); }) &&
               llvm::all_of(layout.ties, [](int64_t tie) { return tie < 0; }) &&
               llvm::none_of(layout.streamed, [](bool streamed) { return streamed; });
  if (plain) return;
  std::string key = launch.getKernel().str();
  for (ArrayRef<int64_t> strides : layout.strides) {
    key += "|" +
           llvm::join(llvm::map_range(strides, [](int64_t s) { return std::to_string(s); }), ",");
  }
  for (int64_t tie : layout.ties) key += ";" + std::to_string(tie);
  for (bool streamed : layout.streamed) key += streamed ? "!" : ".";

  func::FuncOp& variant = variants[key];
  if (!variant) {
    auto kernel = symbols.lookup<func::FuncOp>(launch.getKernel());
    variant = kernel.clone();
    Builder b(kernel.getContext());
    unsigned arguments = kernel.getNumArguments();
    for (auto [i, strides] : llvm::enumerate(layout.strides)) {
      if (strides.empty()) continue;
      Attribute attribute = b.getDenseI64ArrayAttr(strides);
      if (i < arguments) {
        variant.setArgAttr(i, kStridesAttr, attribute);
      } else {
        variant.setResultAttr(i - arguments, kStridesAttr, attribute);
      }
    }
    for (auto [i, tie] : llvm::enumerate(layout.ties)) {
      if (tie >= 0) variant.setResultAttr(i, kTiedAttr, b.getI64IntegerAttr(tie));
    }
    for (auto [i, streamed] : llvm::enumerate(layout.streamed)) {
      if (streamed) variant.setResultAttr(i, kStreamedAttr, b.getUnitAttr());
    }
    symbols.insert(variant);
  }
  launch.setKernelAttr(FlatSymbolRefAttr::get(variant.getSymNameAttr()));
}

}  // namespace weir
