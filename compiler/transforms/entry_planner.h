// The planner of one entry point: plan_entry.cpp has its steps, plan_places.cpp how a place is
// handed on to what writes to it.

#ifndef WEIR_COMPILER_TRANSFORMS_ENTRY_PLANNER_H_
#define WEIR_COMPILER_TRANSFORMS_ENTRY_PLANNER_H_

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

#include "compiler/transforms/op_kinds.h"
#include "compiler/transforms/plan_entry.h"
#include "compiler/transforms/plan_layout.h"

namespace weir {

class EntryPlanner {
 public:
  EntryPlanner(mlir::func::FuncOp entry, mlir::SymbolTable& symbols, PlanKernels& kernels,
               PlanShared& shared)
      : entry(entry),
        block(entry.getBody().front()),
        symbols(symbols),
        kernels(kernels),
        shared(shared) {}

  mlir::FailureOr<PlannedEntry> run();

 private:
  struct Buffer {
    runtime::Space space = runtime::Space::kArena;
    int64_t index = 0;
    int64_t bytes = 0;
    /// Launches that touch it; -1 if none does.
    int64_t first = -1;
    int64_t last = -1;
  };

  void sinkToUsers();
  mlir::LogicalResult placeArguments();
  mlir::LogicalResult placeResults();
  void placeParts();
  mlir::LogicalResult placeViews();
  mlir::FailureOr<PlannedEntry> finish();

  int64_t newBuffer(runtime::Space space, int64_t index, mlir::Type type) {
    buffers.push_back({space, index, byteSize(type), -1, -1});
    return static_cast<int64_t>(buffers.size()) - 1;
  }
  /// A buffer that holds just a tensor (or number) of this type.
  Place newPlace(runtime::Space space, int64_t index, mlir::Type type) {
    llvm::SmallVector<int64_t> strides;
    if (auto tensor = mlir::dyn_cast<mlir::RankedTensorType>(type))
      strides = rowMajorStrides(tensor.getShape());
    return {newBuffer(space, index, type), 0, strides};
  }
  Place newArenaPlace(mlir::Type type) { return newPlace(runtime::Space::kArena, 0, type); }

  /// Has `value` written to `place` by whoever computes it; false (and nothing changed) if that
  /// can't be.
  bool place(mlir::Value value, const Place& place);
  bool placeInsert(mlir::tensor::InsertSliceOp insert, const Place& place);
  void placeUpdated(LaunchOp launch, unsigned result, const Place& place);
  void placeConcatAround(mlir::tensor::ConcatOp concat);
  /// A copy of `value` that is made before `before` and written to `place`.
  mlir::Value copyTo(mlir::Value value, const Place& place, mlir::Operation* before) {
    LaunchOp launch = kernels.copy(value, before);
    places[launch.getResult(0)] = place;
    return launch.getResult(0);
  }

  /// The operand in whose memory a result has to be.
  std::optional<unsigned> updatedOperand(LaunchOp launch, unsigned result) {
    auto kernel = symbols.lookup<mlir::func::FuncOp>(launch.getKernel());
    return kernel ? updatedArgument(kernel, result) : std::nullopt;
  }

  /// Whether the new value of a variable can be written over the old one, `old`.
  bool canUpdateInPlace(mlir::Value value, mlir::BlockArgument old);

  mlir::FailureOr<Place> placeOfConstant(mlir::arith::ConstantOp constant);

  mlir::func::FuncOp entry;
  mlir::Block& block;
  mlir::SymbolTable& symbols;
  PlanKernels& kernels;
  PlanShared& shared;
  PlannedEntry plan;
  std::vector<Buffer> buffers;
  llvm::DenseMap<mlir::Value, Place> places;
  /// The buffer of each variable that this entry point mentions.
  llvm::StringMap<int64_t> variableBuffers;
};

}  // namespace weir

#endif  // WEIR_COMPILER_TRANSFORMS_ENTRY_PLANNER_H_
