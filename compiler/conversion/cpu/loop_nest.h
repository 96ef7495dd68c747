// Loops over scalar regions on strided memory.
//
// Every linalg.generic with affine maps reads and writes memory at offsets that are linear in its
// iteration indices. A LoopNest is that view of an op: extents, one stride per dimension and
// operand, and the region. Views, transposes, broadcasts and windows (`d1 + d3`) are all just
// strides; adjacent dimensions that every operand walks as one are merged.
//
// The emitter picks one dimension for vectors (unit stride wherever possible), masks its remainder
// (memory outside of an operand is never touched), and keeps reductions in registers.

#ifndef WEIR_COMPILER_CONVERSION_CPU_LOOP_NEST_H_
#define WEIR_COMPILER_CONVERSION_CPU_LOOP_NEST_H_

#include "compiler/conversion/cpu/region_vectorizer.h"

namespace weir {

/// Where an operand lives: element `base + sum(strides[d] * i[d])` of a one-dimensional memref, or
/// a uniform scalar.
struct Access {
  mlir::Value memref;
  mlir::Value scalar;
  mlir::Value base;
  llvm::SmallVector<int64_t> strides;
  /// Logical element type; i1 is a byte in memory.
  mlir::Type element;
  /// Memory of the current block of rows only: row dimensions start at the block's first row.
  bool tile = false;
  /// Whole vectors are stored past the caches where their addresses are known to be multiples of
  /// their size.
  bool streamed = false;

  bool isScalar() const { return static_cast<bool>(scalar); }
};

struct LoopDim {
  int64_t extent = 1;
  /// Number of iterations if not known at compile time (at most `extent`).
  mlir::Value size;
  /// With `size`: its value in the last block, if every other block has `extent`.
  std::optional<int64_t> lastSize;
  bool reduction = false;
  /// One of the rows that the ops of a kernel share.
  bool row = false;
  /// Added to the loop variable for linalg.index.
  mlir::Value start;
  /// Dimension of the region's linalg.index ops.
  int64_t source = -1;
};

struct LoopOutput {
  Access access;
  /// What the region's last arguments hold at first: memory or a scalar; unset if the region does
  /// not read it.
  std::optional<Access> init;
};

struct LoopNest {
  llvm::SmallVector<LoopDim> dims;
  llvm::SmallVector<Access> inputs;
  llvm::SmallVector<LoopOutput> outputs;
  /// Arguments: inputs, then outputs.
  mlir::Block* body = nullptr;
  const mlir::IRMapping* captured = nullptr;
  /// The op that says so, if it is one.
  mlir::Operation* op = nullptr;
};

/// Drops dimensions of extent 1 and merges dimensions that all operands walk as one.
void simplify(LoopNest& nest);

/// Emits the loops of `nest` at the insertion point, on the calling thread.
mlir::LogicalResult emitLoopNest(KernelBuilder& b, LoopNest nest);

/// Bytes of a line of the caches.
constexpr int64_t kLineBytes = 64;

/// Whether vectors of `lanes` that these blocks compute should be stored past the caches, if they
/// can be. Half lines should not where functions are computed: what takes its time between the two
/// halves lets the first one out by itself.
bool repaysStreaming(const Access& access, int64_t lanes, llvm::ArrayRef<mlir::Block*> blocks);

/// Loads `lanes` elements starting at `offset`, `stride` apart; lanes that `mask` (may be null)
/// leaves out are zero.
mlir::Value loadVector(KernelBuilder& b, const Access& access, mlir::Value offset, int64_t stride,
                       int64_t lanes, mlir::Value mask);
void storeVector(KernelBuilder& b, mlir::Value value, const Access& access, mlir::Value offset,
                 int64_t stride, mlir::Value mask);
/// Two vectors as one.
mlir::Value joined(KernelBuilder& b, mlir::Value low, mlir::Value high);
mlir::Value loadScalar(KernelBuilder& b, const Access& access, mlir::Value offset);
void storeScalar(KernelBuilder& b, mlir::Value value, const Access& access, mlir::Value offset);

}  // namespace weir

#endif  // WEIR_COMPILER_CONVERSION_CPU_LOOP_NEST_H_
