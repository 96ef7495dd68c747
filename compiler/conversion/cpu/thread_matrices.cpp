#include "compiler/conversion/cpu/thread_matrices.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

namespace weir {

using namespace mlir;

namespace {

/// From this extent of all sides on, matrix tiles repay packing f32 as several parts of bf16.
constexpr int64_t kLeastMatrixTiles = 64;

}  // namespace

Matrix Matrix::transposed() const {
  Matrix result = *this;
  if (!access.isScalar()) std::swap(result.access.strides[0], result.access.strides[1]);
  std::swap(result.rows, result.columns);
  return result;
}

ThreadMatrices::ThreadMatrices(KernelFunction& f, Type narrow, Type wide, Value threadOffset,
                               int64_t least)
    : narrow(narrow),
      wide(wide),
      f(f),
      b(f.b),
      threadOffset(threadOffset),
      plan(f.thread),
      matrixTiles(f.b.target.hasBf16() &&
                  (narrow.isBF16() || (narrow.isF32() && least >= kLeastMatrixTiles))) {}

namespace {

/// From row to row of scratch memory: rows a multiple of 256 bytes long would share a few sets of
/// the first cache.
int64_t scratchStride(Type element, int64_t columns) {
  int64_t bytes = storageBytes(element), stride = roundUp(columns * bytes, 64);
  if (stride % 256 == 0) stride += 64;
  return stride / bytes;
}

int64_t scratchBytes(Type element, int64_t rows, int64_t columns) {
  return rows * scratchStride(element, columns) * storageBytes(element);
}

}  // namespace

Matrix ThreadMatrices::scratch(Type element, int64_t rows, int64_t columns) {
  return scratchAt(reserve(scratchBytes(element, rows, columns)), element, rows, columns);
}

Matrix ThreadMatrices::scratchAt(Value offset, Type element, int64_t rows, int64_t columns) {
  int64_t stride = scratchStride(element, columns);
  Matrix m;
  m.rows = rows;
  m.columns = columns;
  m.access.memref = b.view(f.threadScratch, offset, rows * stride, element);
  m.access.base = b.constant(0);
  m.access.strides = {stride, 1};
  m.access.element = element;
  m.access.tile = true;
  return m;
}

int64_t ThreadMatrices::packedBytes(ArrayRef<std::pair<int64_t, int64_t>> shapes) {
  int64_t bytes = 0;
  for (auto [k, n] : shapes) {
    Matrix right;
    right.access.element = narrow;
    right.access.strides = {1, 1};
    right.rows = k;
    right.columns = n;
    bytes = std::max(bytes, operandBytes(b.target, product(right, right, right), k));
  }
  return roundUp(bytes, 64);
}

Value ThreadMatrices::reserve(int64_t bytes) {
  Value offset = b.add(threadOffset, f.thread.reserve(bytes));
  plan = f.thread;
  return offset;
}

Matrix ThreadMatrices::uniform(Value scalar, int64_t rows, int64_t columns) {
  Matrix m;
  m.access.scalar = scalar;
  m.access.element = scalar.getType();
  m.rows = rows;
  m.columns = columns;
  return m;
}

Matrix ThreadMatrices::part(const Matrix& m, Value row, int64_t rows, Value column,
                            int64_t columns) {
  Matrix result = m;
  result.rows = rows;
  result.columns = columns;
  if (m.access.isScalar()) return result;
  result.access.base = b.offset(m.access.base, row, m.access.strides[0]);
  result.access.base = b.offset(result.access.base, column, m.access.strides[1]);
  if (m.rowCount)
    result.rowCount = b.maximum(b.minimum(b.sub(m.rowCount, row), b.constant(rows)), b.constant(0));
  return result;
}

Matrix ThreadMatrices::part(const Matrix& m, int64_t row, int64_t rows, int64_t column,
                            int64_t columns) {
  return part(m, b.constant(row), rows, b.constant(column), columns);
}

Product ThreadMatrices::product(const Matrix& left, const Matrix& right, const Matrix& sums) {
  Product p;
  p.m = 0, p.n = 1, p.k = 2;
  p.nest.dims = {dimOf(left.rows), dimOf(right.columns), dimOf(left.columns)};
  p.nest.dims[p.k].extent = right.rows;
  p.nest.dims[p.k].reduction = true;
  p.nest.inputs = {left.access, right.access};
  p.nest.inputs[0].strides = {left.access.strides[0], 0, left.access.strides[1]};
  p.nest.inputs[1].strides = {0, right.access.strides[1], right.access.strides[0]};
  LoopOutput output;
  output.access = sums.access;
  output.access.strides = {sums.access.strides[0], sums.access.strides[1], 0};
  p.nest.outputs.push_back(output);
  p.nest.captured = &f.scalars;
  p.compute = wide;
  p.matrixTiles = matrixTiles;
  return p;
}

PackedMatrix ThreadMatrices::pack(Value buffer, const Matrix& right) {
  return pack(buffer, right, right.rows, b.constant(0));
}

PackedMatrix ThreadMatrices::pack(Value buffer, const Matrix& right, int64_t depth,
                                  Value firstRow) {
  PackedMatrix packed;
  packed.source = right;
  Product p = product(right, right, right);
  packed.operand = operandBuffer(f, p, buffer, depth);
  check(packInto(f, p, packed.operand, firstRow));
  return packed;
}

PackedMatrix ThreadMatrices::packed(Value buffer, const Matrix& right) {
  PackedMatrix packed;
  packed.source = right;
  packed.operand = operandBuffer(f, product(right, right, right), buffer, right.rows);
  return packed;
}

PackedMatrix ThreadMatrices::part(const PackedMatrix& packed, int64_t row, int64_t rows,
                                  int64_t column, int64_t columns) {
  PackedMatrix result = packed;
  result.source.rows = rows;
  result.source.columns = columns;
  Product p = product(packed.source, packed.source, packed.source);
  result.operand = partOf(f, p, packed.operand, column, row);
  return result;
}

Value ThreadMatrices::leftBuffer(int64_t rows, int64_t columns) {
  if (!matrixTiles) return b.constant(0);
  Matrix left;
  left.access.element = narrow;
  left.access.strides = {1, 1};
  left.rows = rows;
  left.columns = columns;
  return reserve(leftBytes(product(left, left.transposed(), left)));
}

LeftMatrix ThreadMatrices::packLeft(Value buffer, const Matrix& left) {
  LeftMatrix packed = left;
  if (matrixTiles)
    packed.operand = weir::packLeft(f, product(left, left.transposed(), left), buffer);
  return packed;
}

void ThreadMatrices::multiply(const LeftMatrix& left, const PackedMatrix& right, const Matrix& sums,
                              bool accumulate) {
  Product p = product(left.source, right.source, sums);
  p.packedLeft = left.operand;
  if (accumulate) p.nest.outputs[0].init = p.nest.outputs[0].access;
  check(emitProductTile(f, p, right.operand, threadOffset, plan));
}

/// What map() and reduce() emit, over the elements of `outputs[0]`; `block` becomes the body.
LoopNest ThreadMatrices::nestOf(Block& block, ArrayRef<Matrix> inputs, ArrayRef<Matrix> outputs,
                                bool readsOutputs, Body body) {
  LoopNest nest;
  nest.dims = {dimOf(outputs[0].rows, outputs[0].rowCount), dimOf(outputs[0].columns)};
  for (int64_t d : {0, 1}) nest.dims[d].source = d;
  for (const Matrix& input : inputs) {
    nest.inputs.push_back(input.access);
    block.addArgument(input.element(), b.getLoc());
  }
  ValueList arguments(block.getArguments());
  for (const Matrix& output : outputs) {
    nest.outputs.push_back({output.access, std::nullopt});
    if (readsOutputs) nest.outputs.back().init = output.access;
    Value argument = block.addArgument(output.element(), b.getLoc());
    if (readsOutputs) arguments.push_back(argument);
  }
  OpBuilder builder(b.getContext());
  builder.setInsertionPointToEnd(&block);
  SmallVector<Value> values = body(ElementwiseBuilder(builder, b.getLoc()), arguments);
  linalg::YieldOp::create(builder, b.getLoc(), values);
  check(expandRegionOps(*block.getParent()));
  nest.body = &block;
  nest.captured = &f.scalars;
  return nest;
}

void ThreadMatrices::map(ArrayRef<Matrix> inputs, ArrayRef<Matrix> outputs, Body body) {
  Region region;
  check(emitLoopNest(b,
                     nestOf(region.emplaceBlock(), inputs, outputs, /*readsOutputs=*/false, body)));
}

void ThreadMatrices::reduce(ArrayRef<Matrix> inputs, ArrayRef<Matrix> outputs, Body body) {
  SmallVector<Matrix> rows(outputs);
  for (Matrix& row : rows) row.access.strides[0] = 0;
  Region region;
  LoopNest nest = nestOf(region.emplaceBlock(), inputs, rows, /*readsOutputs=*/true, body);
  nest.dims[0] = dimOf(inputs[0].rows);
  nest.dims[0].source = 0;
  nest.dims[0].reduction = true;
  check(emitLoopNest(b, nest));
}

/// Fetches of `next` what belongs to `block` of a product of `columns` columns.
void ThreadMatrices::fetch(const ProductBlock& block, int64_t columns, const Matrix& next) {
  if (next.access.isScalar() || next.access.strides[1] != 1) return;
  int64_t times = next.columns / columns, line = kLineBytes / storageBytes(next.element());
  Value at = b.offset(next.access.base, block.row, next.access.strides[0]);
  at = b.offset(at, block.column, times);
  for (int64_t i = 0; i < times * block.columns; i += line)
    b.prefetch(next.access.memref, b.add(at, i), KernelBuilder::Cache::Second);
}

void ThreadMatrices::multiplyMap(const LeftMatrix& left, const PackedMatrix& right,
                                 ArrayRef<Matrix> inputs, ArrayRef<Matrix> outputs, Body body,
                                 std::optional<Matrix> next) {
  ScratchPlan mine = plan;
  int64_t rows = left.source.rows, columns = right.source.columns;
  // Matrix tiles hand their sums to the epilogue, and keep none here.
  int64_t bytes = matrixTiles ? 0 : scratchBytes(wide, rows, columns);
  Matrix sums = scratchAt(b.add(threadOffset, mine.reserve(bytes)), wide, rows, columns);
  sums.access.tile = !matrixTiles;
  SmallVector<Matrix> all{sums};
  all.append(inputs.begin(), inputs.end());
  Region region;
  LoopNest nest = nestOf(region.emplaceBlock(), all, outputs, /*readsOutputs=*/false, body);
  Product p = product(left.source, right.source, sums);
  p.packedLeft = left.operand;
  ProductEpilogue epilogue;
  epilogue.ends = {columns};
  epilogue.emit = [&](const ProductBlock& block, size_t) {
    LoopNest part = nest;
    Value count = block.rows;
    if (outputs[0].rowCount)
      count = b.maximum(b.constant(0), b.minimum(count, b.sub(outputs[0].rowCount, block.row)));
    restrictDim(b, part, 0, block.row, count, block.mostRows);
    restrictDim(b, part, 1, block.column, block.size, block.columns);
    part.inputs[0] = block.sums;
    part.inputs[0].tile = true;
    return emitLoopNest(b, part);
  };
  epilogue.fetch = [&](const ProductBlock& block, size_t) {
    if (next) fetch(block, columns, *next);
  };
  if (matrixTiles) p.epilogue = &epilogue;
  check(emitProductTile(f, p, right.operand, threadOffset, mine));
  if (!matrixTiles) check(emitLoopNest(b, nest));
}

void ThreadMatrices::copy(const Matrix& from, const Matrix& to) {
  map({from}, {to}, [&](ElementwiseBuilder e, ValueRange v) {
    return SmallVector<Value>{e.cast(v[0], to.element())};
  });
}

void ThreadMatrices::fill(const Matrix& to, double value) {
  map({}, {to}, [&](ElementwiseBuilder e, ValueRange) {
    return SmallVector<Value>{e.constant(value, to.element())};
  });
}

}  // namespace weir
