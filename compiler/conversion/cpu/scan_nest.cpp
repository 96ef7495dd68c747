#include "compiler/conversion/cpu/scan_nest.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/TypeUtilities.h"

namespace weir {

using namespace mlir;

namespace {

/// Blocks that scans are split into at least, if columns allow: each of them reads rows of its
/// columns.
constexpr int64_t kScanBlocks = 4;
/// Elements of a state that stay in the first cache, beside what is read and written.
constexpr int64_t kStateElements = 4096;
/// Narrowest block of columns in lanes.
constexpr int64_t kLeastColumns = 32;

}  // namespace

ScanNest::ScanNest(KernelFunction& f, ArrayRef<int64_t> sizes, size_t time,
                   ArrayRef<const Access*> accesses, Type state,
                   ArrayRef<SmallVector<bool>> sinkDims)
    : time(time), extents(sizes), state(state), f(f), b(f.b) {
  lanes = state.isF64() ? b.target.lanes64() : b.target.lanes();
  // The dimension of vectors: unit strides in most operands, in every output if possible.
  int64_t best = std::numeric_limits<int64_t>::min();
  vector = time == 0 && extents.size() > 1 ? 1 : 0;
  for (size_t d = 0; d < extents.size(); ++d) {
    if (d == time) continue;
    int64_t score = 0;
    for (const Access* access : accesses) {
      if (access->isScalar()) continue;
      int64_t stride = access->strides[d];
      score += stride == 1 ? 4 : stride == 0 ? 0 : -4;
    }
    for (const SmallVector<bool>& has : sinkDims) score -= has[d] ? 0 : 3;
    if (extents[d] < lanes) score -= 4;
    if (score >= best) {
      best = score;
      vector = d;
    }
  }
  // A dimension is inside of time if some operand steps through it more finely than through time.
  for (size_t d = 0; d < extents.size(); ++d) {
    if (d == time || d == vector) continue;
    bool fine = false, coarse = false;
    for (const Access* access : accesses) {
      if (access->isScalar() || access->strides[d] == 0 || access->strides[time] == 0) continue;
      (access->strides[d] < access->strides[time] ? fine : coarse) = true;
    }
    bool isInner = fine || !coarse;
    (isInner ? inner : outer).push_back(d);
    if (isInner) innerSize *= extents[d];
  }
  // A state that does not fit into the first cache is computed in parts: inner dimensions move
  // outside of time, unless an output is summed over them.
  for (bool moved = true; moved && innerSize * extents[vector] > kStateElements;) {
    moved = false;
    for (size_t d : inner) {
      if (llvm::any_of(sinkDims, [&](const SmallVector<bool>& has) { return !has[d]; })) continue;
      inner.erase(llvm::find(inner, d));
      outer.push_back(d);
      innerSize /= extents[d];
      moved = true;
      break;
    }
  }
  bool wholeRows = false;
  for (const SmallVector<bool>& has : sinkDims) wholeRows |= !has[vector];
  int64_t sequences = 1;
  for (size_t d : outer) sequences *= extents[d];
  columns = extents[vector];
  if (!wholeRows && sequences < kScanBlocks && columns >= 2 * kLeastColumns) {
    int64_t wanted = std::min(divideUp(kScanBlocks, sequences), columns / kLeastColumns);
    columns = roundUp(divideUp(columns, wanted), kLeastColumns);
    columnBlocks = divideUp(extents[vector], columns);
  }
}

LogicalResult ScanNest::addSink(const Access& target, ArrayRef<bool> has) {
  ScanSink sink;
  sink.target = target;
  sink.has.assign(has.begin(), has.end());
  sink.lacksTime = !has[time];
  sink.lacksVector = !has[vector];
  sink.lacksAllInner = !inner.empty();
  for (size_t d : inner) {
    sink.lacksInner |= !has[d];
    sink.lacksAllInner &= !has[d];
  }
  sink.partStrides.assign(extents.size(), 0);
  for (size_t d : llvm::reverse(outer)) {
    if (has[d]) continue;
    sink.lacksOuter = true;
    sink.partStrides[d] = sink.parts;
    sink.parts *= extents[d];
  }
  sink.stage = target;
  // Sums are read again.
  sink.stage.streamed &= !llvm::is_contained(has, false);
  if (sink.lacksOuter) {
    SmallVector<int64_t> strides(extents.size(), 0);
    sink.partSize = 1;
    for (size_t d = extents.size(); d-- > 0;) {
      if (!has[d]) continue;
      strides[d] = sink.partSize;
      sink.partSize *= extents[d];
    }
    for (int64_t& stride : sink.partStrides) stride *= sink.partSize;
    int64_t size = sink.parts * sink.partSize;
    int64_t offset = f.shared.reserve(size * storageBytes(state));
    sink.stage.memref = b.view(f.sharedScratch, b.constant(offset), size, state);
    sink.stage.element = state;
    sink.stage.base = b.constant(0);
    for (size_t d = 0; d < extents.size(); ++d) strides[d] += sink.partStrides[d];
    sink.stage.strides = strides;
  }
  if (sink.lacksVector) {
    sink.lanesCount = 1;
    for (size_t d : inner)
      if (has[d]) sink.lanesCount *= extents[d];
    sink.lanesOffset = f.thread.reserve(sink.lanesCount * lanes * storageBytes(state));
  }
  bool sums = sink.lacksTime || sink.lacksInner;
  if (sums && !sink.lacksVector && sink.stage.element != state)
    return f.kernel.emitError("a scan cannot sum into elements of type ") << sink.stage.element;
  sinks.push_back(sink);
  return success();
}

Value ScanNest::offsetOf(const Access& access, const ScanPoint& at) {
  Value offset = access.base;
  auto add = [&](size_t d) {
    if (at.index[d]) offset = b.offset(offset, at.index[d], access.strides[d]);
  };
  // Outer loops first, so that their share is computed outside of the inner ones.
  for (size_t d : outer) add(d);
  add(time);
  add(vector);
  for (size_t d : inner) add(d);
  return offset;
}

Value ScanNest::load(const Access& access, const ScanPoint& at) {
  Value offset = access.isScalar() ? Value() : offsetOf(access, at);
  return loadVector(b, access, offset, access.isScalar() ? 0 : access.strides[vector], lanes,
                    at.mask);
}

Value ScanNest::fitted(Value value, Type element) {
  Type from = getElementTypeOrSelf(value.getType());
  if (from == element) return value;
  Type type = element;
  if (auto vectorType = dyn_cast<VectorType>(value.getType())) type = vectorType.clone(element);
  if (from.getIntOrFloatBitWidth() > element.getIntOrFloatBitWidth())
    return arith::TruncFOp::create(b, type, value);
  return arith::ExtFOp::create(b, type, value);
}

void ScanNest::store(Value value, const Access& access, const ScanPoint& at) {
  storeVector(b, fitted(value, access.element), access, offsetOf(access, at),
              access.strides[vector], at.mask);
}

void ScanNest::prefetch(const Access& access, const ScanPoint& at, Value t) {
  if (access.isScalar() || access.strides[vector] != 1 || access.strides[time] == 0 || at.mask)
    return;
  int64_t size = 1;
  for (size_t d = 0; d < extents.size(); ++d)
    if (access.strides[d]) size *= extents[d];
  if (size * storageBytes(access.element) < (int64_t(1) << 20)) return;
  b.prefetch(access.memref, offsetOf(access, atTime(at, t)));
}

ScanPoint ScanNest::atTime(const ScanPoint& at, Value t) const {
  ScanPoint point = at;
  point.index[time] = t;
  return point;
}

Access ScanNest::buffer(Value offset, int64_t byteOffset, int64_t steps, Type element) {
  Access access;
  access.memref = b.view(f.threadScratch, b.add(offset, byteOffset), steps * stateSize(), element);
  access.element = element;
  return access;
}

Value ScanNest::bufferOffset(const ScanPoint& at, Value step) {
  Value offset = step ? b.mul(step, stateSize()) : b.constant(0);
  offset = b.add(offset, at.column);
  int64_t stride = columns;
  for (size_t d : llvm::reverse(inner)) {
    offset = b.offset(offset, at.index[d], stride);
    stride *= extents[d];
  }
  return offset;
}

Value ScanNest::loadAt(const Access& buffer, const ScanPoint& at, Value step) {
  return loadVector(b, buffer, bufferOffset(at, step), 1, lanes, at.mask);
}

void ScanNest::storeAt(Value value, const Access& buffer, const ScanPoint& at, Value step) {
  storeVector(b, value, buffer, bufferOffset(at, step), 1, at.mask);
}

LogicalResult ScanNest::forBlocks(function_ref<LogicalResult(const ScanPoint&)> body) {
  int64_t blocks = columnBlocks, work = 1;
  for (size_t d : outer) blocks *= extents[d];
  for (int64_t extent : extents) work *= extent;
  LogicalResult result = success();
  b.parallelLoop(blocks, work >= kParallelWork / 2, [&](Value block) {
    threadOffset = f.threadOffset();
    ScanPoint at;
    at.index.resize(extents.size());
    at.index[vector] = b.mul(b.rem(block, columnBlocks), columns);
    Value rest = b.div(block, columnBlocks);
    for (size_t d : llvm::reverse(outer)) {
      at.index[d] = b.rem(rest, extents[d]);
      rest = b.div(rest, extents[d]);
    }
    for (ScanSink& sink : sinks)
      if (sink.lacksTime) clear(sink, at);
    result = body(at);
    for (ScanSink& sink : sinks)
      if (sink.lacksTime && sink.lacksVector) reduceLanes(sink, at);
  });
  if (failed(result)) return failure();
  for (ScanSink& sink : sinks)
    if (sink.lacksOuter && failed(addParts(sink))) return failure();
  return success();
}

LogicalResult ScanNest::innerLoops(size_t depth, const ScanPoint& at, ValueList& sums,
                                   function_ref<FailureOr<ValueList>(const ScanPoint&)> body) {
  if (depth == inner.size()) {
    FailureOr<ValueList> values = body(at);
    if (failed(values)) return failure();
    if (values->empty()) return success();
    size_t next = 0;
    for (auto [i, sink] : llvm::enumerate(sinks)) {
      if (sink.inRegisters()) {
        sums[next] = arith::AddFOp::create(b, sums[next], fitted((*values)[i], state));
        ++next;
      } else {
        consume(sink, (*values)[i], at);
      }
    }
    return success();
  }
  LogicalResult result = success();
  size_t d = inner[depth];
  sums = b.loop(b.constant(0), b.constant(extents[d]), 1, sums, [&](Value i, ValueRange current) {
    ScanPoint point = at;
    point.index[d] = i;
    ValueList mine(current);
    if (failed(innerLoops(depth + 1, point, mine, body))) result = failure();
    return mine;
  });
  return result;
}

LogicalResult ScanNest::forPoints(const ScanPoint& at, bool down,
                                  function_ref<FailureOr<ValueList>(const ScanPoint&)> body) {
  LogicalResult result = success();
  auto vectorType = VectorType::get({lanes}, state);
  // Sums over inner dimensions in registers want their loops innermost; otherwise memory is walked
  // in order.
  bool sumsInRegisters =
      llvm::any_of(sinks, [](const ScanSink& sink) { return sink.inRegisters(); });
  auto run = [&](const ScanPoint& begin, Value column, Value mask) {
    ScanPoint point = begin;
    point.column = column;
    point.index[vector] = b.add(at.index[vector], column);
    point.mask = mask;
    ValueList sums;
    for (ScanSink& sink : sinks)
      if (sink.inRegisters()) sums.push_back(b.floatConstant(vectorType, 0.0));
    ValueList none;
    bool wantsSums = true;
    auto wrapped = [&](const ScanPoint& p) -> FailureOr<ValueList> {
      FailureOr<ValueList> values = body(p);
      if (succeeded(values) && values->empty()) wantsSums = false;
      return values;
    };
    if (failed(innerLoops(sumsInRegisters ? 0 : inner.size(), point, sums, wrapped)))
      result = failure();
    if (!wantsSums) return;
    size_t next = 0;
    for (ScanSink& sink : sinks) {
      if (!sink.inRegisters()) continue;
      Value sum = sums[next++];
      if (sink.lacksTime) sum = arith::AddFOp::create(b, load(sink.stage, point), sum);
      store(sum, sink.stage, point);
    }
  };
  // Full vectors, then one with a mask. The last block of columns may be narrower.
  int64_t last = extents[vector] - (columnBlocks - 1) * columns;
  bool uniform = last == columns;
  Value width = uniform ? b.constant(columns)
                        : b.minimum(b.constant(columns),
                                    b.sub(b.constant(extents[vector]), at.index[vector]));
  Value rem = b.rem(width, lanes), full = b.sub(width, rem);
  bool hasRest = columns % lanes != 0 || last % lanes != 0;
  auto rest = [&](const ScanPoint& begin) {
    if (!hasRest) return;
    Value mask =
        vector::CreateMaskOp::create(b, VectorType::get({lanes}, b.getI1Type()), ValueRange{rem});
    if (uniform || columns % lanes != 0) return run(begin, full, mask);
    b.ifThen(b.lessThan(b.constant(0), rem), [&] { run(begin, full, mask); });
  };
  auto row = [&](const ScanPoint& begin) {
    if (down) rest(begin);
    if (columns >= lanes)
      b.loop(b.constant(0), full, lanes, [&](Value i) {
        run(begin, down ? b.sub(b.sub(full, b.constant(lanes)), i) : i, Value());
      });
    if (!down) rest(begin);
  };
  std::function<void(size_t, const ScanPoint&)> rows = [&](size_t depth, const ScanPoint& begin) {
    if (sumsInRegisters || depth == inner.size()) return row(begin);
    int64_t extent = extents[inner[depth]];
    b.loop(0, extent, 1, [&](Value i) {
      ScanPoint next = begin;
      next.index[inner[depth]] = down ? b.sub(b.constant(extent - 1), i) : i;
      rows(depth + 1, next);
    });
  };
  rows(0, at);
  return result;
}

void ScanNest::consume(ScanSink& sink, Value value, const ScanPoint& at) {
  if (sink.lacksVector) {
    value = fitted(value, state);
    if (at.mask)
      value = arith::SelectOp::create(b, at.mask, value, b.floatConstant(value.getType(), 0.0));
    Access lanesAccess;
    lanesAccess.memref = lanesBuffer(sink);
    lanesAccess.element = state;
    Value offset = b.constant(0);
    int64_t stride = lanes;
    for (size_t d : llvm::reverse(inner)) {
      if (!sink.has[d]) continue;
      offset = b.offset(offset, at.index[d], stride);
      stride *= extents[d];
    }
    Value sum = loadVector(b, lanesAccess, offset, 1, lanes, Value());
    storeVector(b, arith::AddFOp::create(b, sum, value), lanesAccess, offset, 1, Value());
    return;
  }
  if (sink.accumulates())
    value = arith::AddFOp::create(b, load(sink.stage, at), fitted(value, state));
  store(value, sink.stage, at);
}

Value ScanNest::lanesBuffer(ScanSink& sink) {
  return b.view(f.threadScratch, b.add(threadOffset, sink.lanesOffset), sink.lanesCount * lanes,
                state);
}

/// Loops over the inner dimensions that the sink has, and over columns if asked for.
void ScanNest::forSinkPoints(ScanSink& sink, const ScanPoint& at, bool withColumns,
                             function_ref<void(const ScanPoint&)> body) {
  std::function<void(size_t, const ScanPoint&)> loops = [&](size_t depth, const ScanPoint& point) {
    if (depth == inner.size()) return body(point);
    size_t d = inner[depth];
    if (!sink.has[d]) return loops(depth + 1, point);
    b.loop(0, extents[d], 1, [&](Value i) {
      ScanPoint next = point;
      next.index[d] = i;
      loops(depth + 1, next);
    });
  };
  if (!withColumns) return loops(0, at);
  Value end = b.minimum(b.add(at.index[vector], columns), b.constant(extents[vector]));
  b.loop(at.index[vector], end, lanes, [&](Value i) {
    ScanPoint point = at;
    point.index[vector] = i;
    point.mask = vector::CreateMaskOp::create(b, VectorType::get({lanes}, b.getI1Type()),
                                              ValueRange{b.sub(end, i)});
    loops(0, point);
  });
}

void ScanNest::clear(ScanSink& sink, const ScanPoint& at) {
  Value zero = b.floatConstant(VectorType::get({lanes}, state), 0.0);
  if (sink.lacksVector) {
    Access access;
    access.memref = lanesBuffer(sink);
    access.element = state;
    b.loop(0, sink.lanesCount * lanes, lanes,
           [&](Value i) { storeVector(b, zero, access, i, 1, Value()); });
    return;
  }
  forSinkPoints(sink, at, /*withColumns=*/true,
                [&](const ScanPoint& point) { store(zero, sink.stage, point); });
}

void ScanNest::reduceLanes(ScanSink& sink, const ScanPoint& at) {
  Access access;
  access.memref = lanesBuffer(sink);
  access.element = state;
  ScanPoint base = at;
  base.index[vector] = Value();
  forSinkPoints(sink, base, /*withColumns=*/false, [&](const ScanPoint& point) {
    Value offset = b.constant(0);
    int64_t stride = lanes;
    for (size_t d : llvm::reverse(inner)) {
      if (!sink.has[d]) continue;
      offset = b.offset(offset, point.index[d], stride);
      stride *= extents[d];
    }
    Value sum = vector::ReductionOp::create(b, vector::CombiningKind::ADD,
                                            loadVector(b, access, offset, 1, lanes, Value()),
                                            arith::FastMathFlags::reassoc);
    storeScalar(b, fitted(sum, sink.stage.element), sink.stage, offsetOf(sink.stage, point));
  });
}

LogicalResult ScanNest::beginTime(const ScanPoint& at) {
  for (ScanSink& sink : sinks)
    if (!sink.lacksTime && (sink.lacksVector || sink.accumulates())) clear(sink, at);
  return success();
}

LogicalResult ScanNest::endTime(const ScanPoint& at) {
  for (ScanSink& sink : sinks)
    if (!sink.lacksTime && sink.lacksVector) reduceLanes(sink, at);
  return success();
}

/// target = sum of the parts of all blocks, in order.
LogicalResult ScanNest::addParts(ScanSink& sink) {
  if (sink.target.element != state)
    return f.kernel.emitError("a scan cannot sum over blocks into elements of type ")
           << sink.target.element;
  LoopNest nest;
  nest.captured = &f.scalars;
  Access from = sink.stage;
  from.strides = {sink.partSize};
  LoopOutput output;
  output.access = sink.target;
  output.access.strides = {0};
  LoopDim parts;
  parts.extent = sink.parts;
  parts.reduction = true;
  nest.dims.push_back(parts);
  for (size_t d = 0; d < extents.size(); ++d) {
    if (!sink.has[d]) continue;
    LoopDim dim;
    dim.extent = extents[d];
    nest.dims.push_back(dim);
    from.strides.push_back(sink.stage.strides[d] - sink.partStrides[d]);
    output.access.strides.push_back(sink.target.strides[d]);
  }
  Access zero;
  zero.element = state;
  zero.scalar = b.floatConstant(state, 0.0);
  output.init = zero;
  nest.inputs.push_back(from);
  nest.outputs.push_back(output);
  Block block;
  block.addArguments({state, state}, {b.getLoc(), b.getLoc()});
  OpBuilder builder(b.getContext());
  builder.setInsertionPointToEnd(&block);
  Value sum =
      arith::AddFOp::create(builder, b.getLoc(), block.getArgument(1), block.getArgument(0));
  linalg::YieldOp::create(builder, b.getLoc(), ValueRange{sum});
  nest.body = &block;
  return emitParallelNest(b, nest, Value(), f.shared);
}

}  // namespace weir
