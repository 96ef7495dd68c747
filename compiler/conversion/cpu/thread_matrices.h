// Matrices of one thread: products and elementwise work on parts of a kernel's arguments and on
// scratch memory that stays in a core's cache. Fused kernels are written with it.
//
//   ThreadMatrices t(f, bf16, f32, threadOffset);
//   Matrix c = t.scratch(t.wide, m, n);
//   PackedMatrix packed = t.pack(buffer, rightOperand);
//   t.multiply(left, packed, c, /*accumulate=*/false);
//   t.map({c}, {rounded}, [](ElementwiseBuilder e, ValueRange v) { ... });
//   t.multiplyMap(left, packed, {}, {rounded}, [](ElementwiseBuilder e, ValueRange v) { ... });

#ifndef WEIR_COMPILER_CONVERSION_CPU_THREAD_MATRICES_H_
#define WEIR_COMPILER_CONVERSION_CPU_THREAD_MATRICES_H_

#include "compiler/conversion/cpu/product.h"
#include "compiler/dialect/elementwise_builder.h"

namespace weir {

/// Element (i, j) is at `base + i * strides[0] + j * strides[1]`.
struct Matrix {
  Access access;
  int64_t rows = 0, columns = 0;
  /// How many rows are worked on if not all.
  mlir::Value rowCount;

  mlir::Type element() const { return access.element; }
  Matrix transposed() const;
};

/// A right operand (k x n) in the order in which products read it, or a part of it.
struct PackedMatrix {
  Matrix source;
  PackedOperand operand;
};

/// A left operand (m x k) as it lies, or in the order in which matrix tiles read it.
struct LeftMatrix {
  LeftMatrix(const Matrix& source) : source(source) {}
  Matrix source;
  std::optional<PackedOperand> operand;
};

class ThreadMatrices {
 public:
  /// Operands of products are `narrow`, their sums `wide`; `least` is the smallest of the rows,
  /// columns and depths of most of them.
  ThreadMatrices(KernelFunction& f, mlir::Type narrow, mlir::Type wide, mlir::Value threadOffset,
                 int64_t least = 1);

  const mlir::Type narrow, wide;

  /// Parts of a packed operand begin at multiples of this many rows.
  int64_t unit() const { return matrixTiles ? kTilePair : 1; }

  /// Scratch memory of the thread; rows begin a few cache sets apart.
  Matrix scratch(mlir::Type element, int64_t rows, int64_t columns);
  /// Scratch memory for packed operands of k x n, for one of `shapes` at a time.
  mlir::Value packBuffer(llvm::ArrayRef<std::pair<int64_t, int64_t>> shapes) {
    return reserve(packedBytes(shapes));
  }
  /// The same for `count` of them, each packedBytes(shapes) after the one before.
  mlir::Value packBuffers(llvm::ArrayRef<std::pair<int64_t, int64_t>> shapes, int64_t count) {
    return reserve(count * packedBytes(shapes));
  }
  int64_t packedBytes(llvm::ArrayRef<std::pair<int64_t, int64_t>> shapes);
  /// A scalar as a matrix.
  Matrix uniform(mlir::Value scalar, int64_t rows, int64_t columns);

  Matrix part(const Matrix& m, mlir::Value row, int64_t rows, mlir::Value column, int64_t columns);
  Matrix part(const Matrix& m, int64_t row, int64_t rows, int64_t column, int64_t columns);

  /// Packs `right` to rows [firstRow, ...) of a buffer for `depth` rows.
  PackedMatrix pack(mlir::Value buffer, const Matrix& right, int64_t depth, mlir::Value firstRow);
  PackedMatrix pack(mlir::Value buffer, const Matrix& right);
  /// What pack() gave for this operand and buffer, elsewhere in the kernel.
  PackedMatrix packed(mlir::Value buffer, const Matrix& right);
  /// `rows` rows and `columns` columns from (row, column) on of a buffer that `packed` is part of
  /// and that begins where `packed` does. Columns must be a multiple of 32.
  PackedMatrix part(const PackedMatrix& packed, int64_t row, int64_t rows, int64_t column,
                    int64_t columns);

  /// A left operand that several products read, packed where that pays, to a buffer for rows x
  /// columns of it.
  LeftMatrix packLeft(mlir::Value buffer, const Matrix& left);
  mlir::Value leftBuffer(int64_t rows, int64_t columns);

  /// sums = left * right, or sums += left * right.
  void multiply(const LeftMatrix& left, const PackedMatrix& right, const Matrix& sums,
                bool accumulate);

  using Body = llvm::function_ref<llvm::SmallVector<mlir::Value>(ElementwiseBuilder e,
                                                                 mlir::ValueRange inputs)>;
  /// outputs = body(left * right, inputs), as map() has it, with the product's elements in the
  /// first cache at most. With matrix tiles `next`, with a row for each of the product's and some
  /// elements for each of its columns, is fetched to the second cache meanwhile.
  void multiplyMap(const LeftMatrix& left, const PackedMatrix& right, llvm::ArrayRef<Matrix> inputs,
                   llvm::ArrayRef<Matrix> outputs, Body body,
                   std::optional<Matrix> next = std::nullopt);
  /// outputs = body(inputs), element by element; they may be the same memory. In the body
  /// e.index(0) and e.index(1) are row and column. Works on the rows that the first output counts.
  void map(llvm::ArrayRef<Matrix> inputs, llvm::ArrayRef<Matrix> outputs, Body body);
  /// outputs = body(inputs, outputs) for one row of the inputs after the other, for sums, maxima
  /// and the like; outputs are of one row.
  void reduce(llvm::ArrayRef<Matrix> inputs, llvm::ArrayRef<Matrix> outputs, Body body);
  /// Copies, converting elements.
  void copy(const Matrix& from, const Matrix& to);
  void fill(const Matrix& to, double value);

  /// Whether all that was emitted could be.
  mlir::LogicalResult status = mlir::success();

 private:
  mlir::Value reserve(int64_t bytes);
  Product product(const Matrix& left, const Matrix& right, const Matrix& sums);
  void fetch(const ProductBlock& block, int64_t columns, const Matrix& next);
  Matrix scratchAt(mlir::Value offset, mlir::Type element, int64_t rows, int64_t columns);
  LoopNest nestOf(mlir::Block& block, llvm::ArrayRef<Matrix> inputs, llvm::ArrayRef<Matrix> outputs,
                  bool readsOutputs, Body body);
  void check(mlir::LogicalResult result) {
    if (failed(result)) status = mlir::failure();
  }

  KernelFunction& f;
  KernelBuilder& b;
  mlir::Value threadOffset;
  /// What matrices have of the thread's scratch memory: products take turns with what is beyond.
  ScratchPlan plan;
  bool matrixTiles;
};

}  // namespace weir

#endif  // WEIR_COMPILER_CONVERSION_CPU_THREAD_MATRICES_H_
