// weir.gather_rows, weir.scatter_rows and weir.write_ring: rows of a table by index.

#include "compiler/conversion/cpu/kernel_function.h"
#include "compiler/dialect/dispatch_ops.h"
#include "compiler/dialect/embedding_ops.h"
#include "compiler/dialect/ring_ops.h"
#include "mlir/Dialect/Arith/IR/Arith.h"

namespace weir {

using namespace mlir;

namespace {

/// One row of `width` elements: to = from, or to += from, or to = 0 (without `from`).
LogicalResult moveRow(KernelFunction& f, int64_t width, std::optional<Access> from, Access to,
                      int64_t fromStride, int64_t toStride, bool add) {
  KernelBuilder& b = f.b;
  LoopNest nest;
  nest.captured = &f.scalars;
  LoopDim dim;
  dim.extent = width;
  nest.dims.push_back(dim);
  Block block;
  OpBuilder builder(b.getContext());
  builder.setInsertionPointToEnd(&block);
  Access source;
  if (from) {
    source = *from;
  } else {
    source.element = to.element;
    source.scalar = b.floatConstant(to.element, 0.0);
  }
  if (!source.isScalar()) source.strides = {fromStride};
  to.strides = {toStride};
  block.addArguments({source.element, to.element}, {b.getLoc(), b.getLoc()});
  Value value = block.getArgument(0);
  if (add) value = arith::AddFOp::create(builder, b.getLoc(), block.getArgument(1), value);
  linalg::YieldOp::create(builder, b.getLoc(), ValueRange{value});
  nest.inputs.push_back(source);
  LoopOutput output;
  output.access = to;
  if (add) output.init = to;
  nest.outputs.push_back(output);
  nest.body = &block;
  return emitLoopNest(b, nest);
}

/// The tensors of either op: `many` has a row per index, `table` a row per value of an index.
struct TableRows {
  KernelFunction& f;
  KernelBuilder& b;
  TensorValue many, table, indices;

  int64_t count() const { return ShapedType::getNumElements(indices.shape); }
  int64_t tableRows() const { return table.shape[0]; }
  int64_t width() const { return table.shape[1]; }

  Access access(const TensorValue& tensor) const {
    Access result;
    result.memref = tensor.memref;
    result.scalar = tensor.scalar;
    result.element = tensor.element;
    return result;
  }
  /// Offset of the row (or the index) of `tensor` that belongs to number `n` of the indices.
  Value offsetOf(const TensorValue& tensor, Value n) const {
    Value offset = b.constant(tensor.offset);
    for (size_t d = indices.shape.size(); d-- > 0;) {
      offset = b.offset(offset, d == 0 ? n : b.rem(n, indices.shape[d]), tensor.strides[d]);
      n = b.div(n, indices.shape[d]);
    }
    return offset;
  }
  /// Index number `n`, clamped to the table.
  Value rowOf(Value n) const {
    Value row = loadScalar(b, access(indices), indices.scalar ? Value() : offsetOf(indices, n));
    row = arith::IndexCastOp::create(b, b.getIndexType(), row);
    return b.minimum(b.maximum(row, b.constant(0)), b.constant(tableRows() - 1));
  }
};

FailureOr<TensorValue> read(KernelFunction& f, Operation* op, Value value) {
  const TensorValue& tensor = f.tensors[value];
  if (tensor.isEmpty()) return op->emitOpError("reads a tensor that was never written");
  return tensor;
}

}  // namespace

LogicalResult emitGatherRows(KernelFunction& f, Operation* operation) {
  auto op = cast<GatherRowsOp>(operation);
  KernelBuilder& b = f.b;
  FailureOr<TensorValue> table = read(f, op, op.getTable()), indices = read(f, op, op.getIndices());
  if (failed(table) || failed(indices)) return failure();
  TableRows t{f, b, f.results[0], *table, *indices};
  int64_t count = t.count(), work = count * t.width();
  int64_t blocks = std::clamp<int64_t>(work / kParallelWork, 1,
                                       std::min<int64_t>(count, 8 * CpuTarget::kWorkers));
  int64_t chunk = divideUp(count, blocks);
  LogicalResult result = success();
  b.parallelLoop(divideUp(count, chunk), work >= kParallelWork, [&](Value block) {
    Value from = b.mul(block, chunk);
    b.loop(from, b.minimum(b.add(from, chunk), b.constant(count)), 1, [&](Value n) {
      Access source = t.access(t.table), target = t.access(t.many);
      source.base =
          b.offset(b.constant(t.table.offset), t.rowOf(n), t.table.scalar ? 0 : t.table.strides[0]);
      target.base = t.offsetOf(t.many, n);
      if (failed(moveRow(f, t.width(), source, target, t.table.scalar ? 0 : t.table.strides[1],
                         t.many.strides.back(), false)))
        result = failure();
    });
  });
  return result;
}

/// Every block owns a range of the table's rows and walks all indices: sums are in the order of the
/// indices.
LogicalResult emitScatterRows(KernelFunction& f, Operation* operation) {
  auto op = cast<ScatterRowsOp>(operation);
  KernelBuilder& b = f.b;
  FailureOr<TensorValue> updates = read(f, op, op.getUpdates()),
                         indices = read(f, op, op.getIndices());
  if (failed(updates) || failed(indices)) return failure();
  TableRows t{f, b, *updates, f.results[0], *indices};
  int64_t count = t.count(), rows = t.tableRows(), work = (count + rows) * t.width();
  int64_t blocks = std::clamp<int64_t>(work / kParallelWork, 1,
                                       std::min<int64_t>(rows, 2 * CpuTarget::kWorkers));
  int64_t chunk = divideUp(rows, blocks);
  LogicalResult result = success();
  b.parallelLoop(divideUp(rows, chunk), work >= kParallelWork, [&](Value block) {
    Value from = b.mul(block, chunk), to = b.minimum(b.add(from, chunk), b.constant(rows));
    auto target = [&](Value row) {
      Access access = t.access(t.table);
      access.base = b.offset(b.constant(t.table.offset), row, t.table.strides[0]);
      return access;
    };
    b.loop(from, to, 1, [&](Value row) {
      if (failed(moveRow(f, t.width(), std::nullopt, target(row), 0, t.table.strides[1], false)))
        result = failure();
    });
    b.loop(0, count, 1, [&](Value n) {
      Value row = t.rowOf(n);
      Value mine = arith::AndIOp::create(
          b, arith::CmpIOp::create(b, arith::CmpIPredicate::sge, row, from), b.lessThan(row, to));
      b.ifThen(mine, [&] {
        Access source = t.access(t.many);
        if (!source.isScalar()) source.base = t.offsetOf(t.many, n);
        if (failed(moveRow(f, t.width(), source, target(row),
                           source.isScalar() ? 0 : t.many.strides.back(), t.table.strides[1],
                           true)))
          result = failure();
      });
    });
  });
  return result;
}

/// The result has the memory of the old ring, all of whose other rows stay.
LogicalResult emitWriteRing(KernelFunction& f, Operation* operation) {
  auto op = cast<WriteRingOp>(operation);
  if (!f.kernel.getResultAttr(0, kTiedAttr))
    return op.emitOpError("writes to a part of a ring, which must be in the result's memory");
  KernelBuilder& b = f.b;
  FailureOr<TensorValue> rows = read(f, op, op.getRows()), start = read(f, op, op.getStart());
  if (failed(rows) || failed(start)) return failure();
  const TensorValue& ring = f.results[0];
  int64_t size = ring.shape[1], width = ring.shape[2], count = rows->shape[1],
          all = rows->shape[0] * count;
  Access number = f.origin(*start), source = f.origin(*rows), target = f.origin(ring);
  Value first = arith::IndexCastOp::create(b, b.getIndexType(), loadScalar(b, number, number.base));
  first = b.rem(first, size);
  int64_t blocks = std::clamp<int64_t>(all * width / kParallelWork, 1,
                                       std::min<int64_t>(all, 8 * CpuTarget::kWorkers));
  int64_t chunk = divideUp(all, blocks);
  LogicalResult result = success();
  b.parallelLoop(divideUp(all, chunk), all * width >= kParallelWork, [&](Value block) {
    Value from = b.mul(block, chunk);
    b.loop(from, b.minimum(b.add(from, chunk), b.constant(all)), 1, [&](Value n) {
      Value batch = b.div(n, count), token = b.rem(n, count);
      auto at = [&](Access access, const TensorValue& tensor, Value row) {
        if (access.isScalar()) return access;
        access.base =
            b.offset(b.offset(access.base, batch, tensor.strides[0]), row, tensor.strides[1]);
        return access;
      };
      Value place = b.rem(b.add(first, token), size);
      if (failed(moveRow(f, width, at(source, *rows, token), at(target, ring, place),
                         source.isScalar() ? 0 : rows->strides[2], ring.strides[2], false)))
        result = failure();
    });
  });
  return result;
}

}  // namespace weir
