// What weir.scan and weir.scan_vjp have in common: operands, the walk along time, and sums that do
// not drift.

#ifndef WEIR_COMPILER_CONVERSION_CPU_SCAN_STEPS_H_
#define WEIR_COMPILER_CONVERSION_CPU_SCAN_STEPS_H_

#include "compiler/conversion/cpu/scan_nest.h"

namespace weir {

/// Steps that inputs are fetched ahead where whole rows are walked.
constexpr int64_t kPrefetchSteps = 4;
/// Steps between which states are normalized where the scan itself has no chunks.
constexpr int64_t kScanChunk = 32;

struct ScanOperands {
  /// Of weir.scan or weir.scan_vjp, in its general form.
  template <typename Op>
  ScanOperands(KernelFunction& f, Op op, int64_t chunk)
      : f(f),
        op(op),
        extents(op.getIterationSizes()),
        maps(op.getMaps()),
        stateMap(op.getStateMap()),
        time(op.getTimeDim()),
        reverse(op.getReverse()),
        chunk(chunk) {}

  KernelFunction& f;
  mlir::Operation* op;
  llvm::SmallVector<int64_t> extents;
  llvm::SmallVector<mlir::AffineMap> maps;
  mlir::AffineMap stateMap;
  size_t time;
  bool reverse;
  int64_t chunk;
  llvm::SmallVector<Access> inputs;
  std::optional<Access> initial, segments;

  int64_t length() const { return extents[time]; }
  int64_t chunks() const { return divideUp(length(), chunk); }
  llvm::SmallVector<bool> dimsOf(mlir::AffineMap map) const;
  mlir::FailureOr<Access> accessOf(mlir::Value value, mlir::AffineMap map);
  mlir::LogicalResult read(mlir::ValueRange inputs, mlir::Value initial, mlir::Value segments);
  /// The states entering chunks, without the dimension of chunks.
  mlir::FailureOr<Access> chunkStates(TensorValue tensor);
};

/// Access to the states entering chunks, for use at a point of chunk `c`.
Access atChunk(KernelBuilder& b, const TensorValue& tensor, Access states, mlir::Value c);

/// A number as the sum of a rounded one and of what rounding lost, so that long sums drift by no
/// more than rounding.
struct TwoFloats {
  mlir::Value high, low;
};

mlir::Value valueOf(KernelBuilder& b, TwoFloats x);
/// x with the value itself as its high part. To be done every some ten steps: `low` is rounded too.
TwoFloats normalized(KernelBuilder& b, TwoFloats x);

/// a x + y. What rounding lost is found as in Knuth's two-sum, whose first term is the exact
/// product; all of it where the result is not smaller than y.
TwoFloats advanced(KernelBuilder& b, mlir::Value a, TwoFloats x, mlir::Value y);

/// States of a block of columns in scratch memory, as sums of two.
struct StateBuffer {
  /// Reserves the memory.
  explicit StateBuffer(ScanNest& nest)
      : nest(nest),
        highOffset(nest.reserve(1, nest.state)),
        lowOffset(nest.reserve(1, nest.state)) {}
  /// To be called in the code of a thread.
  void open(mlir::Value threadOffset) {
    high = nest.buffer(threadOffset, highOffset, 1, nest.state);
    low = nest.buffer(threadOffset, lowOffset, 1, nest.state);
  }
  TwoFloats load(const ScanPoint& at) { return {nest.loadAt(high, at), nest.loadAt(low, at)}; }
  void store(TwoFloats x, const ScanPoint& at) {
    nest.storeAt(x.high, high, at);
    nest.storeAt(x.low, low, at);
  }

 private:
  ScanNest& nest;
  int64_t highOffset, lowOffset;
  Access high, low;
};

/// Emits code shared by both directions. Steps are counted in the direction of the scan.
class ScanSteps {
 public:
  ScanSteps(ScanOperands& s, ScanNest& nest) : s(s), nest(nest), b(nest.b) {}

  /// Time of step `i` of chunk `c`.
  mlir::Value timeOf(mlir::Value c, mlir::Value i);
  mlir::Value sizeOf(mlir::Value c);
  /// A time of the sequence, `steps` after t or nearest to that.
  mlir::Value later(mlir::Value t, int64_t steps);

  /// Whether another document begins at time t of a block (null without segments, and where a block
  /// has several rows).
  mlir::Value startsSegment(const ScanPoint& at, mlir::Value t);
  /// Whether a document begins at each point of a vector (null without segments); `start` is that
  /// of the block.
  mlir::Value startsAt(const ScanPoint& at, mlir::Value t, mlir::Value start);
  /// x, or 0 where a document begins. A decay of 0 alone wouldn't keep documents apart: the state
  /// it meets may be NaN.
  mlir::Value resetAt(mlir::Value start, mlir::Value x);
  TwoFloats resetAt(mlir::Value start, TwoFloats x) {
    return {resetAt(start, x.high), resetAt(start, x.low)};
  }

  mlir::FailureOr<ValueList> run(mlir::Block& block, mlir::ValueRange args) {
    return vectorizeBlock(b, block, args, nest.lanes, s.f.scalars);
  }
  /// The inputs at a point: those that one of the `blocks`, which have them from argument `first`
  /// on, makes use of. Others are null.
  ValueList loadInputs(const ScanPoint& at,
                       llvm::ArrayRef<std::pair<mlir::Block*, unsigned>> blocks);

 private:
  /// The dimension of rows.
  size_t batch() const { return s.time == 0 ? 1 : 0; }

  ScanOperands& s;
  ScanNest& nest;
  KernelBuilder& b;
};

}  // namespace weir

#endif  // WEIR_COMPILER_CONVERSION_CPU_SCAN_STEPS_H_
