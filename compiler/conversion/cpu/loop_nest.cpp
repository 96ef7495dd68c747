#include "compiler/conversion/cpu/loop_nest.h"

#include "compiler/conversion/cpu/combiners.h"
#include "compiler/conversion/cpu/nest_accesses.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

namespace weir {

using namespace mlir;

namespace {

/// Bytes of a first cache.
constexpr int64_t kFirstCache = 48 << 10;

/// Emits one nest. A Position holds the element offset of every access as loops are entered.
class LoopNestEmitter {
 public:
  LoopNestEmitter(KernelBuilder& b, LoopNest& nest) : b(b), nest(nest) {}

  LogicalResult emit();

 private:
  struct Position {
    ValueList inputs, outputs, inits;
    /// Inputs that are loaded already, as vectors of equal lanes.
    ValueList uniform;
    /// Current index per dimension (null until its loop is entered).
    ValueList indices;
  };

  Value sizeOf(size_t dim) {
    return nest.dims[dim].size ? nest.dims[dim].size : b.constant(nest.dims[dim].extent);
  }
  void chooseVectorDim();
  double cost(size_t dim);
  Position advance(const Position& at, size_t dim, Value index);
  Position withUniformInputs(const Position& at, ArrayRef<size_t> inner);
  /// Loops over `dims` in order, then `body`.
  LogicalResult emitLoops(ArrayRef<size_t> dims, const Position& at,
                          function_ref<LogicalResult(const Position&)> body);
  FailureOr<ValueList> emitLoops(
      ArrayRef<size_t> dims, const Position& at, ValueRange values,
      function_ref<FailureOr<ValueList>(const Position&, ValueRange)> body);
  /// Splits the vector dimension into blocks of `unroll` vectors, single vectors, and a masked
  /// rest. `values` are `unroll` groups of loop-carried values; body `u` maps group u. `block`, if
  /// given, emits the first of these at once, without such values.
  FailureOr<ValueList> emitVectors(
      int64_t unroll, ValueRange values,
      function_ref<FailureOr<ValueList>(Value, ValueRange, Value)> body,
      function_ref<LogicalResult(Value)> block = nullptr);
  FailureOr<ValueList> evaluate(const Position& at, ValueRange outputs, Value mask);
  Value loadInit(size_t output, const Position& at, Value mask);

  Position start();
  void storeOutputs(const Position& at, ValueRange values, Value mask);
  LogicalResult emitHorizontal();
  /// Whether two vectors of an output go past the caches as one, which is a whole line.
  bool storesPairs(const Access& output) const {
    return output.streamed && stride(output) == 1 &&
           2 * lanes * storageBytes(output.element) == kLineBytes;
  }
  LogicalResult emitSums(const Position& row, Value i, int64_t count, Value mask);
  void fetchNextRow(const Position& row, Value i);
  LogicalResult emitRegisters(int64_t unroll);
  LogicalResult emitInMemory();

  int64_t stride(const Access& access) const { return strideOf(access, vectorDim); }

  KernelBuilder& b;
  LoopNest& nest;
  size_t vectorDim = 0;
  int64_t lanes = 16;
  SmallVector<size_t> parallelDims, reductionDims;  // without the vector dimension
};

/// Cycles per element, roughly, with vectors along `dim`: gathers and scatters cost about as much
/// as all their lanes, operands that the dimension does not move are loaded outside of the loop.
double LoopNestEmitter::cost(size_t dim) {
  const LoopDim& d = nest.dims[dim];
  double cost = 0, sums = 1;
  for (const LoopDim& other : nest.dims)
    if (other.reduction) sums *= other.extent;
  auto price = [&](const Access& access, double strided) {
    if (access.isScalar()) return 0.0;
    int64_t stride = access.strides[dim];
    return stride == 1 ? 1.0 : stride == 0 ? 0.1 : strided;
  };
  for (const Access& input : nest.inputs) cost += price(input, lanes);
  // Outputs are visited once per sum; a sum across lanes is a tree of shuffles.
  double vectors = static_cast<double>(divideUp(d.extent, lanes));
  for (const LoopOutput& output : nest.outputs)
    cost += d.reduction ? 1.5 * lanes / (sums / d.extent * vectors)
                        : price(output.access, 1.5 * lanes) / std::min(sums, 64.0);
  return cost * vectors / d.extent;
}

void LoopNestEmitter::chooseVectorDim() {
  double best = std::numeric_limits<double>::infinity();
  for (size_t dim = 0; dim < nest.dims.size(); ++dim) {
    if (nest.dims[dim].reduction) {
      bool possible = true;
      for (unsigned i = 0; i < nest.outputs.size(); ++i)
        possible &= findCombiner(*nest.body, nest.inputs.size(), i) != nullptr;
      if (!possible) continue;
    } else if (llvm::any_of(nest.outputs, [&](const LoopOutput& output) {
                 return strideOf(output.access, dim) == 0 && nest.dims[dim].extent > 1;
               })) {
      continue;  // A sum that is read and stored at each step.
    }
    double c = cost(dim);
    if (c <= best) {
      best = c;
      vectorDim = dim;
    }
  }
  for (size_t dim = 0; dim < nest.dims.size(); ++dim)
    if (dim != vectorDim) (nest.dims[dim].reduction ? reductionDims : parallelDims).push_back(dim);
}

LoopNestEmitter::Position LoopNestEmitter::advance(const Position& at, size_t dim, Value index) {
  Position next = at;
  auto step = [&](const Access& access, Value& offset) {
    if (!access.isScalar()) offset = b.offset(offset, index, access.strides[dim]);
  };
  for (auto [access, offset] : llvm::zip(nest.inputs, next.inputs)) step(access, offset);
  for (auto [output, offset] : llvm::zip(nest.outputs, next.outputs)) step(output.access, offset);
  for (auto [output, offset] : llvm::zip(nest.outputs, next.inits))
    if (output.init) step(*output.init, offset);
  next.indices[dim] = index;
  return next;
}

/// Loads inputs that neither vectors nor the loops over `inner` move, ahead of those loops: LLVM
/// cannot, as it does not know that the loops' stores leave them alone.
LoopNestEmitter::Position LoopNestEmitter::withUniformInputs(const Position& at,
                                                             ArrayRef<size_t> inner) {
  Position next = at;
  for (auto [i, access] : llvm::enumerate(nest.inputs)) {
    if (access.isScalar() || stride(access) != 0) continue;
    if (llvm::any_of(inner, [&, &access = access](size_t dim) { return access.strides[dim] != 0; }))
      continue;
    next.uniform[i] = loadVector(b, access, at.inputs[i], 0, lanes, Value());
  }
  return next;
}

LogicalResult LoopNestEmitter::emitLoops(ArrayRef<size_t> dims, const Position& at,
                                         function_ref<LogicalResult(const Position&)> body) {
  if (dims.empty()) return body(at);
  LogicalResult result = success();
  b.loop(b.constant(0), sizeOf(dims[0]), 1,
         [&](Value i) { result = emitLoops(dims.drop_front(), advance(at, dims[0], i), body); });
  return result;
}

FailureOr<ValueList> LoopNestEmitter::emitLoops(
    ArrayRef<size_t> dims, const Position& at, ValueRange values,
    function_ref<FailureOr<ValueList>(const Position&, ValueRange)> body) {
  if (dims.empty()) return body(at, values);
  bool ok = true;
  ValueList results =
      b.loop(b.constant(0), sizeOf(dims[0]), 1, values, [&](Value i, ValueRange inner) {
        FailureOr<ValueList> r = emitLoops(dims.drop_front(), advance(at, dims[0], i), inner, body);
        ok = succeeded(r);
        return ok ? *r : ValueList(inner);
      });
  if (!ok) return failure();
  return results;
}

FailureOr<ValueList> LoopNestEmitter::emitVectors(
    int64_t unroll, ValueRange values,
    function_ref<FailureOr<ValueList>(Value, ValueRange, Value)> body,
    function_ref<LogicalResult(Value)> block) {
  const LoopDim& dim = nest.dims[vectorDim];
  bool known = !dim.size;
  size_t group = values.size() / unroll;
  ValueList current(values);
  bool ok = true;
  auto run = [&](Value at, ValueRange in, Value mask) -> ValueList {
    FailureOr<ValueList> r = body(at, in, mask);
    if (failed(r)) {
      ok = false;
      return ValueList(in);
    }
    return *r;
  };
  Value from = b.constant(0), size = sizeOf(vectorDim);
  bool first = true;
  int64_t done = 0;
  auto blocks = [&](int64_t count) {  // vectors per iteration
    int64_t width = count * lanes;
    Value to;
    if (known) {
      int64_t end = done + (dim.extent - done) / width * width;
      if (end == done) return;
      done = end;
      to = b.constant(end);
    } else {
      to = b.sub(size, b.rem(size, width));
    }
    auto emitBody = [&](Value at, ValueRange in) {
      ValueList out(in);
      if (block && count == unroll) {
        ok &= succeeded(block(at));
        return out;
      }
      for (int64_t u = 0; u < count; ++u) {
        ValueList r = run(b.add(at, u * lanes), ValueRange(in).slice(u * group, group), Value());
        std::copy(r.begin(), r.end(), out.begin() + u * group);
      }
      return out;
    };
    if (known && done == width && first) {  // one iteration
      current = emitBody(from, current);
    } else {
      current = b.loop(from, to, width, current, emitBody);
    }
    from = to;
    first = false;
  };
  if (unroll > 1) blocks(unroll);
  blocks(1);
  auto finish = [&]() -> FailureOr<ValueList> {
    if (!ok) return failure();
    return current;
  };
  if (known && done == dim.extent) return finish();
  // A mask of no lanes is harmless, so that a size unknown here needs no branch.
  Value mask = vector::CreateMaskOp::create(b, VectorType::get({lanes}, b.getI1Type()),
                                            ValueRange{b.sub(size, from)});
  ValueList rest = run(from, ValueRange(current).take_front(group), mask);
  std::copy(rest.begin(), rest.end(), current.begin());
  return finish();
}

FailureOr<ValueList> LoopNestEmitter::evaluate(const Position& at, ValueRange outputs, Value mask) {
  ValueList args;
  for (auto [i, access] : llvm::enumerate(nest.inputs))
    args.push_back(at.uniform[i]
                       ? at.uniform[i]
                       : loadVector(b, access, at.inputs[i], stride(access), lanes, mask));
  args.append(outputs.begin(), outputs.end());
  auto index = [&](int64_t source) -> Value {
    auto type = VectorType::get({lanes}, b.getIndexType());
    for (size_t dim = 0; dim < nest.dims.size(); ++dim) {
      const LoopDim& d = nest.dims[dim];
      if (d.source != source) continue;
      Value i = at.indices[dim];
      if (d.start) i = b.add(i, d.start);
      Value splat = b.splat(i, lanes);
      if (dim != vectorDim) return splat;
      return arith::AddIOp::create(b, splat, vector::StepOp::create(b, type));
    }
    return b.intConstant(type, 0);
  };
  return vectorizeBlock(b, *nest.body, args, lanes, *nest.captured, index);
}

Value LoopNestEmitter::loadInit(size_t i, const Position& at, Value mask) {
  const LoopOutput& output = nest.outputs[i];
  if (!output.init) {  // The region does not read it.
    auto type = VectorType::get({lanes}, output.access.element);
    return arith::ConstantOp::create(b, type, cast<TypedAttr>(b.getZeroAttr(type)));
  }
  return loadVector(b, *output.init, at.inits[i], strideOf(*output.init, vectorDim), lanes, mask);
}

void LoopNestEmitter::storeOutputs(const Position& at, ValueRange values, Value mask) {
  for (auto [i, output] : llvm::enumerate(nest.outputs))
    storeVector(b, values[i], output.access, at.outputs[i], stride(output.access), mask);
}

/// The outputs of `count` vectors from index `i` on, with the values of reductions in registers.
LogicalResult LoopNestEmitter::emitSums(const Position& row, Value i, int64_t count, Value mask) {
  size_t outputs = nest.outputs.size();
  auto moved = [&](const Position& at, int64_t u) {
    Position next = advance(at, vectorDim, b.constant(u * lanes));
    next.indices[vectorDim] = b.add(i, u * lanes);
    return next;
  };
  Position first = advance(row, vectorDim, i);
  ValueList values;
  for (int64_t u = 0; u < count; ++u)
    for (size_t o = 0; o < outputs; ++o) values.push_back(loadInit(o, moved(first, u), mask));
  FailureOr<ValueList> results =
      emitLoops(reductionDims, first, values,
                [&](const Position& at, ValueRange current) -> FailureOr<ValueList> {
                  ValueList next;
                  for (int64_t u = 0; u < count; ++u) {
                    FailureOr<ValueList> one =
                        evaluate(moved(at, u), current.slice(u * outputs, outputs), mask);
                    if (failed(one)) return failure();
                    llvm::append_range(next, *one);
                  }
                  return next;
                });
  if (failed(results)) return failure();
  auto valueOf = [&](int64_t u, size_t o) { return (*results)[u * outputs + o]; };
  for (int64_t u = 0; u < count; ++u)
    for (size_t o = 0; o < outputs; ++o) {
      const Access& output = nest.outputs[o].access;
      Value value = valueOf(u, o);
      if (count % 2 == 0 && storesPairs(output)) {
        if (u % 2 == 1) continue;
        value = joined(b, value, valueOf(u + 1, o));
      }
      storeVector(b, value, output, moved(first, u).outputs[o], stride(output), mask);
    }
  return success();
}

/// Fetches what the next row has in place of the vectors at `i`: rows that lie apart are too short
/// for the processor to find out by itself.
void LoopNestEmitter::fetchNextRow(const Position& row, Value i) {
  if (parallelDims.empty()) return;
  size_t outer = parallelDims.back();
  for (auto [access, base] : llvm::zip(nest.inputs, row.inputs)) {
    if (access.isScalar() || access.tile || stride(access) != 1) continue;
    int64_t apart = access.strides[outer];
    if (apart == 0) continue;
    b.prefetch(access.memref, b.add(b.add(base, i), apart));
  }
}

/// Outputs are walked by vectors; reductions, if any, run inside, for `unroll` vectors at once.
LogicalResult LoopNestEmitter::emitRegisters(int64_t unroll) {
  return emitLoops(parallelDims, start(), [&](const Position& begin) -> LogicalResult {
    Position row = withUniformInputs(begin, reductionDims);
    auto one = [&](Value i, ValueRange, Value mask) -> FailureOr<ValueList> {
      if (failed(emitSums(row, i, 1, mask))) return failure();
      return ValueList();
    };
    auto several = [&](Value i) {
      if (reductionDims.empty()) fetchNextRow(row, i);
      return emitSums(row, i, unroll, Value());
    };
    bool pairs =
        llvm::any_of(nest.outputs, [&](const LoopOutput& o) { return storesPairs(o.access); });
    if (reductionDims.empty() && !pairs && unroll == 1) return emitVectors(unroll, {}, one);
    return emitVectors(unroll, {}, one, several);
  });
}

/// The vector dimension is reduced: several vectors of partial results, combined at the end of
/// every row. The order depends on the extents only.
LogicalResult LoopNestEmitter::emitHorizontal() {
  int64_t unroll = nest.dims[vectorDim].extent >= 4 * lanes ? 4 : 1;
  SmallVector<Operation*> combiners;
  ValueList neutral;
  for (size_t o = 0; o < nest.outputs.size(); ++o) {
    combiners.push_back(findCombiner(*nest.body, nest.inputs.size(), o));
    auto type = VectorType::get({lanes}, nest.outputs[o].access.element);
    neutral.push_back(arith::ConstantOp::create(
        b, type, DenseElementsAttr::get(type, Attribute(neutralElement(combiners.back())))));
  }
  ValueList inits;
  for (int64_t u = 0; u < unroll; ++u) inits.append(neutral);
  return emitLoops(parallelDims, start(), [&](const Position& row) -> LogicalResult {
    FailureOr<ValueList> sums =
        emitLoops(reductionDims, row, inits, [&](const Position& begin, ValueRange current) {
          Position outer = withUniformInputs(begin, {});
          return emitVectors(
              unroll, current, [&](Value i, ValueRange values, Value mask) -> FailureOr<ValueList> {
                FailureOr<ValueList> results = evaluate(advance(outer, vectorDim, i), values, mask);
                if (succeeded(results) && mask)
                  for (auto [result, value] : llvm::zip(*results, values))
                    result = arith::SelectOp::create(b, mask, result, value);
                return results;
              });
        });
    if (failed(sums)) return failure();
    for (auto [o, output] : llvm::enumerate(nest.outputs)) {
      size_t count = nest.outputs.size();
      for (int64_t half = unroll / 2; half >= 1; half /= 2)
        for (int64_t u = 0; u < half; ++u)
          (*sums)[u * count + o] =
              combine(b, combiners[o], (*sums)[u * count + o], (*sums)[(u + half) * count + o]);
      // Without `reassoc` LLVM adds the lanes one after the other.
      auto flags = isa<FloatType>(output.access.element) ? arith::FastMathFlags::reassoc
                                                         : arith::FastMathFlags::none;
      Value value = vector::ReductionOp::create(b, combiningKind(combiners[o]), (*sums)[o], flags);
      if (output.init)
        value = combine(b, combiners[o], loadScalar(b, *output.init, row.inits[o]), value);
      storeScalar(b, value, output.access, row.outputs[o]);
    }
    return success();
  });
}

/// Long reductions over rows (bias gradients): memory is read in order, the sums stay in the cache.
LogicalResult LoopNestEmitter::emitInMemory() {
  for (LoopOutput& output : nest.outputs) output.access.streamed = false;
  LogicalResult cleared =
      emitLoops(parallelDims, start(), [&](const Position& row) -> LogicalResult {
        return emitVectors(1, {}, [&](Value i, ValueRange, Value mask) -> FailureOr<ValueList> {
          Position at = advance(row, vectorDim, i);
          ValueList values;
          for (size_t o = 0; o < nest.outputs.size(); ++o) values.push_back(loadInit(o, at, mask));
          storeOutputs(at, values, mask);
          return ValueList();
        });
      });
  if (failed(cleared)) return failure();
  // All sums together fit in the first cache, or else one row of them at a time.
  int64_t size = 0;
  for (const LoopOutput& output : nest.outputs) {
    int64_t bytes = storageBytes(output.access.element) * nest.dims[vectorDim].extent;
    for (size_t dim : parallelDims) bytes *= nest.dims[dim].extent;
    size += bytes;
  }
  SmallVector<size_t> order(parallelDims);
  order.insert(size <= kFirstCache / 2 ? order.begin() : order.end(), reductionDims.begin(),
               reductionDims.end());
  return emitLoops(order, start(), [&](const Position& begin) -> LogicalResult {
    Position inner = withUniformInputs(begin, {});
    return emitVectors(2, {}, [&](Value i, ValueRange, Value mask) -> FailureOr<ValueList> {
      Position at = advance(inner, vectorDim, i);
      ValueList values;
      for (auto [o, output] : llvm::enumerate(nest.outputs))
        values.push_back(
            loadVector(b, output.access, at.outputs[o], stride(output.access), lanes, mask));
      FailureOr<ValueList> results = evaluate(at, values, mask);
      if (failed(results)) return failure();
      storeOutputs(at, *results, mask);
      return ValueList();
    });
  });
}

LoopNestEmitter::Position LoopNestEmitter::start() {
  Position at;
  for (Access& input : nest.inputs) at.inputs.push_back(input.base);
  for (LoopOutput& output : nest.outputs) {
    at.outputs.push_back(output.access.base);
    at.inits.push_back(output.init ? output.init->base : Value());
  }
  at.indices.resize(nest.dims.size());
  at.uniform.resize(nest.inputs.size());
  return at;
}

LogicalResult LoopNestEmitter::emit() {
  lanes = b.target.lanes();
  for (const LoopOutput& output : nest.outputs)
    if (output.access.element.isF64() || output.access.element.isInteger(64))
      lanes = b.target.lanes64();
  chooseVectorDim();
  if (nest.dims[vectorDim].reduction) return emitHorizontal();
  bool gathers = llvm::any_of(nest.inputs, [&](const Access& input) { return stride(input) > 1; });
  int64_t unroll = reductionDims.empty() && nest.dims[vectorDim].extent >= 4 * lanes ? 2 : 1;
  for (LoopOutput& output : nest.outputs)
    output.access.streamed &=
        !gathers && repaysStreaming(output.access, unroll * lanes, {nest.body});
  if (reductionDims.empty()) return emitRegisters(unroll);
  int64_t vectors = divideUp(nest.dims[vectorDim].extent, lanes), length = 1;
  for (size_t dim : reductionDims) length *= nest.dims[dim].extent;
  bool unitOutputs =
      llvm::all_of(nest.outputs, [&](const LoopOutput& o) { return stride(o.access) == 1; });
  if (length <= 64 || vectors <= 2 || !unitOutputs)
    return emitRegisters(std::min<int64_t>(vectors, 4));
  return emitInMemory();
}

}  // namespace

LogicalResult emitLoopNest(KernelBuilder& b, LoopNest nest) {
  simplify(nest);
  if (nest.dims.empty()) {
    nest.dims.emplace_back();
    forEachAccess(nest, [](Access& access) {
      if (!access.isScalar()) access.strides.push_back(0);
    });
  }
  return LoopNestEmitter(b, nest).emit();
}

}  // namespace weir
