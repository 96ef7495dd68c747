// Emission of kernels of linalg ops: see rows_kernel.cpp (storage and loops of each op),
// row_blocks.cpp (blocks of rows) and row_epilogues.cpp (work at each element of a product).

#ifndef WEIR_COMPILER_CONVERSION_CPU_ROWS_EMITTER_H_
#define WEIR_COMPILER_CONVERSION_CPU_ROWS_EMITTER_H_

#include "compiler/conversion/cpu/kernel_function.h"
#include "compiler/conversion/cpu/product.h"

namespace weir {

class RowsEmitter {
 public:
  /// `body` holds the ops, `targets` is where the operands of its terminator go, `rowRank` how many
  /// dimensions are rows.
  RowsEmitter(KernelFunction& f, mlir::Block& body, llvm::ArrayRef<TensorValue> targets,
              size_t rowRank)
      : f(f), b(f.b), body(body), targets(targets.begin(), targets.end()), rowRank(rowRank) {}

  /// The current block: indices of the groups before `split`, and the range of group `split`.
  struct RowBlock {
    ValueList outer;
    mlir::Value from, size, threadOffset;
  };

  /// Emits the ops once.
  mlir::LogicalResult emit();

  /// For ops that run several times on each block of rows, with tensors moving in between:
  /// `collect`, `assignResults`, `prepare`, then, in a loop over `blocks`, `enterBlock` and any
  /// number of `emitSteps`.
  /// With `addsUpRows` steps may be sums over the rows, of which blocks make parts.
  mlir::LogicalResult prepare(bool addsUpRows = false);
  int64_t blocks() const;
  RowBlock enterBlock(mlir::Value block);
  mlir::LogicalResult emitSteps(const RowBlock& block);

  /// Changes where the operands of the terminator go.
  void moveTargets(llvm::ArrayRef<TensorValue> moved);
  mlir::LogicalResult collect();
  void assignResults();
  /// Evaluations of regions that one run takes; rows of a block at most.
  int64_t work = 0, chunk = 1;

 private:
  /// Row dimensions [first, last] of the ops, which all operands walk as one of `extent` steps.
  struct RowGroup {
    size_t first = 0, last = 0;
    int64_t extent = 1;
  };

  /// Elementwise steps that run on the sums of a product, block by block, in their order: each is
  /// about columns [from, to) of the product.
  struct FusedStep {
    mlir::linalg::GenericOp op;
    int64_t from, to;
  };
  struct FusedSteps {
    llvm::SmallVector<FusedStep> steps;
    /// Where the steps for a column change: ends of segments.
    llvm::SmallVector<int64_t> ends;
    bool has(mlir::Operation* op) const;
  };
  /// Columns of a product's result that a value is about, at each of its elements, and the result
  /// of a step that it is, or is a slice of.
  struct ColumnRange {
    mlir::Value root;
    int64_t from, to;
  };

  mlir::LogicalResult resolveViews();
  mlir::LogicalResult emitByOp();
  bool hasFewRows();
  mlir::LogicalResult emitOnAllThreads(const LoopNest& nest);

  mlir::LogicalResult emitByRows();
  /// Whether `op` adds up rows: it has them as its first loops, and its results don't.
  bool sumsRows(mlir::Operation* op) const;
  /// Memory for what each part of the rows adds up to, and where the sums of all go.
  mlir::LogicalResult planRowSums();
  mlir::LogicalResult startRowSums(mlir::Value part);
  mlir::LogicalResult finishRowSums();
  mlir::LogicalResult groupRows(llvm::ArrayRef<LoopNest> nests, bool addsUpRows);
  /// `tile`: rows of the tiles of products, 0 without products. `asked`: rows of a block, 0 if
  /// free.
  void chooseBlocks(int64_t tile, int64_t asked);
  int64_t planTiles();

  /// Decides which steps run with which of `products`, and which values need no memory then. The
  /// flag: the product's result needs it in any case.
  void fuseEpilogues(llvm::ArrayRef<std::pair<mlir::Operation*, bool>> products);
  class EpilogueFinder;
  std::optional<bool> takesEpilogue(mlir::Operation* op, const LoopNest& nest);
  /// Steps that read `value`, through views too; null for the kernel's results.
  llvm::SmallVector<mlir::Operation*> readersOf(mlir::Value value) const;
  bool isReadElsewhere(mlir::Value value, mlir::Operation* product) const;
  /// Whether a step takes the result of another one from memory.
  bool isReadBack(mlir::OpResult result) const;
  mlir::FailureOr<LoopNest> segmentNest(mlir::Operation* product, size_t segment,
                                        const RowBlock& rowBlock);
  mlir::LogicalResult emitWithEpilogue(Product product, mlir::Operation* op,
                                       std::optional<PackedOperand> operand,
                                       const RowBlock& rowBlock);
  /// Emits steps on the rows of a block, a few rows at a time.
  mlir::LogicalResult emitRun(llvm::ArrayRef<LoopNest> run, const RowBlock& rowBlock);
  int64_t rowsAtOnce(llvm::ArrayRef<LoopNest> run) const;
  LoopNest mergeRows(const LoopNest& nest);
  LoopNest toBlock(const LoopNest& nest, const RowBlock& block);
  std::optional<Product> productOf(mlir::Operation* op, const LoopNest& nest) const;

  /// The loops of a step: one for a linalg.generic, one per part for ops that put tensors together.
  mlir::FailureOr<std::vector<LoopNest>> nestsOf(mlir::Operation* op);
  mlir::FailureOr<LoopNest> genericNest(mlir::linalg::GenericOp op);
  LoopNest copyNest(const TensorValue& from, const TensorValue& to);

  KernelFunction& f;
  KernelBuilder& b;
  mlir::Block& body;
  llvm::SmallVector<TensorValue> targets;
  /// Ops that make storage, and ops that make views of it, in order.
  llvm::SmallVector<mlir::Operation*> steps, views;
  /// Returned values that live elsewhere, and the number of the result.
  llvm::SmallVector<std::pair<mlir::Value, unsigned>> copies;
  /// Values that only the kernel sees.
  llvm::SetVector<mlir::Value> tiles;
  llvm::DenseMap<mlir::Value, int64_t> tileOffsets;
  llvm::DenseSet<mlir::Operation*> products;
  llvm::DenseMap<mlir::Operation*, PackedOperand> packed;
  llvm::SmallPtrSet<mlir::Operation*, 4> byMatrixTiles;
  /// By product, and back: fused steps follow their product in `steps`.
  llvm::DenseMap<mlir::Operation*, FusedSteps> epilogues;
  llvm::DenseMap<mlir::Operation*, mlir::Operation*> fusedInto;
  /// Steps that sum rows, with their loops over all rows. `f.tensors` has what the current part of
  /// the rows adds up to: the `blocksOfPart` blocks that a thread takes one after the other.
  llvm::MapVector<mlir::Operation*, LoopNest> rowSums;
  int64_t parts = 0, blocksOfPart = 1;
  llvm::SmallVector<RowGroup> rows;
  size_t rowRank = 0, split = 0;
  llvm::SmallVector<std::unique_ptr<mlir::Block>> ownBlocks;
};

}  // namespace weir

#endif  // WEIR_COMPILER_CONVERSION_CPU_ROWS_EMITTER_H_
