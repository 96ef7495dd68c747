// Loops of scans: blocks of sequences in parallel, time in order, vectors across features inside.
//
// What limits a scan is how it walks memory, not arithmetic: time is the outer loop and whole rows
// are read and written at every step, with the state in a buffer that stays in L1. (Narrow blocks
// of columns with the state in registers are three times slower: the hardware does not prefetch
// their strided reads.)

#ifndef WEIR_COMPILER_CONVERSION_CPU_SCAN_NEST_H_
#define WEIR_COMPILER_CONVERSION_CPU_SCAN_NEST_H_

#include "compiler/conversion/cpu/kernel_function.h"

namespace weir {

/// A point of the iteration space while loops are emitted: an index per dimension (null outside of
/// its loop).
struct ScanPoint {
  llvm::SmallVector<mlir::Value> index;
  mlir::Value mask;
  /// Index of the vector from the start of the block's columns.
  mlir::Value column;
};

/// Something that values at points are summed into or stored to.
struct ScanSink {
  Access target;
  /// Dimensions that the target has.
  llvm::SmallVector<bool> has;

  // Chosen by ScanNest::addSink:
  bool lacksTime = false, lacksVector = false, lacksOuter = false, lacksInner = false,
       lacksAllInner = false;
  /// Where a block puts its values: the target, or its part of a buffer that is added up at the
  /// end.
  Access stage;
  /// Parts are numbered by these strides of the outer dimensions.
  llvm::SmallVector<int64_t> partStrides;
  int64_t parts = 1, partSize = 0;
  /// Vectors that are summed across lanes at the end: bytes in thread scratch memory.
  int64_t lanesOffset = 0, lanesCount = 0;

  bool inRegisters() const { return lacksAllInner && !lacksVector; }
  bool accumulates() const { return !lacksVector && !inRegisters() && (lacksTime || lacksInner); }
};

class ScanNest {
 public:
  /// `accesses` are all operands: they decide which dimension is walked by vectors and which loops
  /// are outside of time. `sinks` are the dimensions of every output; a sum over columns keeps them
  /// in one block.
  ScanNest(KernelFunction& f, llvm::ArrayRef<int64_t> extents, size_t time,
           llvm::ArrayRef<const Access*> accesses, mlir::Type state,
           llvm::ArrayRef<llvm::SmallVector<bool>> sinks);

  size_t time, vector;
  llvm::SmallVector<size_t> outer, inner;
  llvm::SmallVector<int64_t> extents;
  int64_t lanes = 16;
  mlir::Type state;

  /// Elements of the state in a block of columns.
  int64_t stateSize() const { return innerSize * columns; }
  /// Adds an output; the number is its position in `values` of `consume`.
  mlir::LogicalResult addSink(const Access& target, llvm::ArrayRef<bool> has);

  /// Loops over blocks on all threads, then adds up what sinks collected by block.
  mlir::LogicalResult forBlocks(llvm::function_ref<mlir::LogicalResult(const ScanPoint&)> body);
  /// Loops over columns (downwards if `down`), then inner dimensions. The body gives one value per
  /// sink in its result (or none at all); the sinks get them.
  mlir::LogicalResult forPoints(
      const ScanPoint& at, bool down,
      llvm::function_ref<mlir::FailureOr<ValueList>(const ScanPoint&)> body);
  /// Before and after the points of one time.
  mlir::LogicalResult beginTime(const ScanPoint& at);
  mlir::LogicalResult endTime(const ScanPoint& at);

  mlir::Value offsetOf(const Access& access, const ScanPoint& at);
  mlir::Value load(const Access& access, const ScanPoint& at);
  void store(mlir::Value value, const Access& access, const ScanPoint& at);
  /// Touches the cache lines of an input some steps ahead.
  void prefetch(const Access& access, const ScanPoint& at, mlir::Value time);
  /// Reserves scratch memory of the thread for values at the points of `steps` steps; returns its
  /// offset.
  int64_t reserve(int64_t steps, mlir::Type element) {
    return f.thread.reserve(steps * stateSize() * storageBytes(element));
  }
  /// What was reserved there, for use with loadAt and storeAt.
  Access buffer(mlir::Value threadOffset, int64_t byteOffset, int64_t steps, mlir::Type element);
  mlir::Value loadAt(const Access& buffer, const ScanPoint& at, mlir::Value step = {});
  void storeAt(mlir::Value value, const Access& buffer, const ScanPoint& at, mlir::Value step = {});
  /// `value` converted to another float type.
  mlir::Value fitted(mlir::Value value, mlir::Type element);
  ScanPoint atTime(const ScanPoint& at, mlir::Value t) const;

  KernelFunction& f;
  KernelBuilder& b;

 private:
  mlir::Value bufferOffset(const ScanPoint& at, mlir::Value step);
  mlir::LogicalResult innerLoops(
      size_t depth, const ScanPoint& at, ValueList& sums,
      llvm::function_ref<mlir::FailureOr<ValueList>(const ScanPoint&)> body);
  void consume(ScanSink& sink, mlir::Value value, const ScanPoint& at);
  void clear(ScanSink& sink, const ScanPoint& at);
  void forSinkPoints(ScanSink& sink, const ScanPoint& at, bool columns,
                     llvm::function_ref<void(const ScanPoint&)> body);
  mlir::Value lanesBuffer(ScanSink& sink);
  void reduceLanes(ScanSink& sink, const ScanPoint& at);
  mlir::LogicalResult addParts(ScanSink& sink);
  std::vector<ScanSink> sinks;
  int64_t innerSize = 1, columns = 1, columnBlocks = 1;
  mlir::Value threadOffset;
};

}  // namespace weir

#endif  // WEIR_COMPILER_CONVERSION_CPU_SCAN_NEST_H_
