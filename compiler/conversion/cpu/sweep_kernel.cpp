// Kernels that sweep over many tensors (compiler/transforms/sweeps.h).
//
// All elements of all tensors are one line, which is cut into parts of equal length, one after the
// other for each thread. A part is a list of segments: a range of one tensor. Segments are rows of
// a constant table, with the numbers of their tensors' buffers, and a body's loop is emitted once
// for all tensors that it is for. So code doesn't grow with the number of tensors, and small ones
// cost no launch.

#include "compiler/conversion/cpu/rows_emitter.h"
#include "compiler/transforms/sweeps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/OperationSupport.h"

namespace weir {

using namespace mlir;

namespace {

/// Segments begin at multiples of so many elements, which is a whole line of any type.
constexpr int64_t kGrain = 64;

/// What the table says of a segment before its buffers: the number of its body, its first element
/// in grains, and its number of elements.
enum Column : int64_t { kBody, kStart, kCount, kFirstBuffer };

class SweepEmitter {
 public:
  explicit SweepEmitter(KernelFunction& f) : f(f), b(f.b) {}

  LogicalResult emit();

 private:
  /// Ops with one body, and results that are all stored alike.
  struct Body {
    mutable linalg::GenericOp like;
    SmallVector<bool> streamed;
    int64_t longest = 0;
    bool isSum() const { return like.getNumReductionLoops() > 0; }
    unsigned operands() const { return like.getNumDpsInputs() + like.getNumResults(); }
  };
  struct Member {
    mutable linalg::GenericOp op;
    int64_t body = 0, elements = 0;
    /// Of inputs, then results.
    SmallVector<int64_t> buffers;
    int64_t firstSegment = 0;
  };

  LogicalResult collect();
  LogicalResult addMember(linalg::GenericOp op);
  void cut();
  Value tableOf(ArrayRef<int64_t> numbers, StringRef name);
  Value entry(Value table, Value at) {
    return memref::LoadOp::create(b, table, ValueRange{at}).getResult();
  }
  void emitSegment(Value segment);
  LoopNest nestOf(const Body& body, Value row, Value segment);
  void addUpSums();
  LogicalResult emitApart(linalg::GenericOp op);

  KernelFunction& f;
  KernelBuilder& b;
  std::vector<Body> bodies;
  std::vector<Member> members;
  /// With operands that are no dense tensors: emitted one by one.
  SmallVector<linalg::GenericOp> apart;
  int64_t columns = 0, segments = 0;
  SmallVector<int64_t> rows, firstOfPart;
  Value table, partialSums;
  LogicalResult status = success();
};

bool haveEqualBodies(linalg::GenericOp x, linalg::GenericOp y) {
  auto kinds = [](linalg::GenericOp op) {
    // Of operands: element type, and whether it is a scalar.
    return llvm::map_to_vector(op->getOperands(), [](Value operand) {
      auto type = cast<RankedTensorType>(operand.getType());
      return std::pair(type.getElementType(), type.getRank() == 0);
    });
  };
  return (x.getNumReductionLoops() > 0) == (y.getNumReductionLoops() > 0) && kinds(x) == kinds(y) &&
         OperationEquivalence::isRegionEquivalentTo(&x.getRegion(), &y.getRegion(),
                                                    OperationEquivalence::IgnoreLocations);
}

LogicalResult SweepEmitter::addMember(linalg::GenericOp op) {
  Member member{op, 0, 1, {}, 0};
  for (int64_t extent : op.getStaticLoopRanges()) member.elements *= extent;
  bool dense = true;
  SmallVector<bool> streamed;
  auto add = [&](const TensorValue& tensor, int64_t buffer) {
    dense &= tensor.strides == denseStrides(tensor.shape);
    member.buffers.push_back(buffer);
  };
  for (Value input : op.getInputs()) {
    auto argument = dyn_cast<BlockArgument>(input);
    if (!argument) return op.emitOpError("sweeps over what is no argument of its kernel");
    add(f.tensors[input], argument.getArgNumber());
  }
  for (Value result : op.getResults()) {
    const TensorValue* target = resultOf(f, result);
    if (!target) return op.emitOpError("sweeps, but its kernel doesn't return its results");
    add(*target, f.kernel.getNumArguments() + (target - f.results.data()));
    streamed.push_back(target->streamed);
  }
  if (!dense) {
    apart.push_back(op);
    return success();
  }
  auto known = llvm::find_if(bodies, [&](const Body& body) {
    return body.streamed == streamed && haveEqualBodies(body.like, op);
  });
  if (!bodies.empty() && (bodies[0].isSum() || op.getNumReductionLoops() > 0) &&
      bodies[0].like.getResultTypes() != op.getResultTypes())
    return op.emitOpError("is part of a sweep whose sums have another type");
  member.body = known - bodies.begin();
  if (known == bodies.end()) bodies.push_back({op, streamed});
  Body& body = bodies[member.body];
  body.longest = std::max(body.longest, member.elements);
  columns = std::max<int64_t>(columns, kFirstBuffer + body.operands());
  members.push_back(std::move(member));
  return success();
}

LogicalResult SweepEmitter::collect() {
  for (Operation& op : f.kernel.getBody().front().without_terminator()) {
    auto generic = dyn_cast<linalg::GenericOp>(op);
    if (failed(generic ? addMember(generic) : f.describeOp(&op))) return failure();
  }
  return success();
}

/// Parts depend on shapes only, and so do sums, which are added up segment by segment.
void SweepEmitter::cut() {
  int64_t total = 0;
  for (const Member& member : members) total += member.elements;
  int64_t parts = total < kParallelWork
                      ? 1
                      : std::clamp<int64_t>(total / kParallelWork, CpuTarget::kWorkers,
                                            8 * CpuTarget::kWorkers);
  int64_t length = roundUp(divideUp(total, parts), kGrain), free = length;
  firstOfPart.push_back(0);
  for (Member& member : members) {
    member.firstSegment = segments;
    for (int64_t at = 0; at < member.elements;) {
      int64_t count = std::min(roundUp(free, kGrain), member.elements - at);
      rows.append({member.body, at / kGrain, count});
      rows.append(member.buffers);
      rows.resize((++segments) * columns);
      at += count;
      free -= count;
      if (free > 0) continue;
      free += length;
      firstOfPart.push_back(segments);
    }
  }
  if (firstOfPart.back() != segments) firstOfPart.push_back(segments);
}

Value SweepEmitter::tableOf(ArrayRef<int64_t> numbers, StringRef name) {
  auto count = static_cast<int64_t>(numbers.size());
  auto type = MemRefType::get({count}, b.getIndexType());
  auto values = DenseElementsAttr::get(RankedTensorType::get({count}, b.getIndexType()),
                                       llvm::map_to_vector(numbers, [&](int64_t number) {
                                         return Attribute(b.getIndexAttr(number));
                                       }));
  auto module = b.getInsertionBlock()->getParentOp()->getParentOfType<ModuleOp>();
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(module.getBody());
    memref::GlobalOp::create(b, name, b.getStringAttr("private"), type, values, /*constant=*/true,
                             /*alignment=*/nullptr);
  }
  return memref::GetGlobalOp::create(b, type, name);
}

LoopNest SweepEmitter::nestOf(const Body& body, Value row, Value segment) {
  linalg::GenericOp op = body.like;
  LoopNest nest;
  nest.captured = &f.scalars;
  nest.body = op.getBody();
  nest.op = op;
  LoopDim dim;
  dim.extent = body.longest;
  dim.size = entry(table, b.add(row, kCount));
  dim.reduction = body.isSum();
  nest.dims.push_back(dim);
  Value start = b.mul(entry(table, b.add(row, kStart)), kGrain);
  int64_t column = kFirstBuffer;
  auto operand = [&](Type type) {
    auto tensor = cast<RankedTensorType>(type);
    bool scalar = tensor.getRank() == 0;
    Access access;
    access.element = tensor.getElementType();
    access.memref = f.buffer(entry(table, b.add(row, column++)), access.element);
    access.base = scalar ? b.constant(0) : start;
    access.strides = {scalar ? 0 : 1};
    return access;
  };
  for (Value input : op.getInputs()) nest.inputs.push_back(operand(input.getType()));
  for (auto [result, streamed] : llvm::zip(op.getResults(), body.streamed)) {
    LoopOutput output;
    output.access = operand(result.getType());
    output.access.streamed = streamed;
    if (body.isSum()) {
      output.access.memref = partialSums;
      output.access.base = segment;
    }
    nest.outputs.push_back(output);
  }
  return nest;
}

void SweepEmitter::emitSegment(Value segment) {
  Value row = b.mul(segment, columns);
  if (bodies.size() == 1) {
    if (failed(emitLoopNest(b, nestOf(bodies[0], row, segment)))) status = failure();
    return;
  }
  Value number = entry(table, b.add(row, kBody));
  for (auto [i, body] : llvm::enumerate(bodies)) {
    Value isOwn = arith::CmpIOp::create(b, arith::CmpIPredicate::eq, number, b.constant(i));
    b.ifThen(isOwn, [&, &body = body] {
      if (failed(emitLoopNest(b, nestOf(body, row, segment)))) status = failure();
    });
  }
}

/// The sum of a tensor is that of its segments, in their order.
void SweepEmitter::addUpSums() {
  SmallVector<int64_t> first, buffers;
  Type element;
  for (const Member& member : members) {
    first.push_back(member.firstSegment);
    buffers.push_back(member.buffers.back());
    element = cast<RankedTensorType>(member.op.getResult(0).getType()).getElementType();
  }
  first.push_back(segments);
  Value firsts = tableOf(first, "first_segments"), targets = tableOf(buffers, "sums");
  Access part;
  part.memref = partialSums;
  part.element = element;
  b.loop(0, static_cast<int64_t>(members.size()), 1, [&](Value member) {
    ValueList sum =
        b.loop(entry(firsts, member), entry(firsts, b.add(member, 1)), 1,
               ValueRange{b.floatConstant(element, 0)}, [&](Value segment, ValueRange sums) {
                 return ValueList{arith::AddFOp::create(b, sums[0], loadScalar(b, part, segment))};
               });
    Access target;
    target.memref = f.buffer(entry(targets, member), element);
    target.element = element;
    storeScalar(b, sum[0], target, b.constant(0));
  });
}

LogicalResult SweepEmitter::emitApart(linalg::GenericOp op) {
  LoopNest nest;
  nest.captured = &f.scalars;
  nest.body = op.getBody();
  nest.op = op;
  bool sums = op.getNumReductionLoops() > 0;
  for (int64_t extent : op.getStaticLoopRanges()) {
    LoopDim dim;
    dim.extent = extent;
    dim.reduction = sums;
    nest.dims.push_back(dim);
  }
  auto access = [&](TensorValue tensor, int64_t buffer, AffineMap map) {
    tensor.memref = f.buffer(b.constant(buffer), tensor.element);
    return f.access(op, tensor, map);
  };
  for (OpOperand* input : op.getDpsInputOperands()) {
    auto argument = cast<BlockArgument>(input->get());
    FailureOr<Access> read =
        access(f.tensors[argument], argument.getArgNumber(), op.getMatchingIndexingMap(input));
    if (failed(read)) return failure();
    nest.inputs.push_back(*read);
  }
  for (OpResult result : op->getResults()) {
    const TensorValue& target = *resultOf(f, result);
    FailureOr<Access> written =
        access(target, f.kernel.getNumArguments() + (&target - f.results.data()),
               op.getIndexingMapMatchingResult(result));
    if (failed(written)) return failure();
    LoopOutput output;
    output.access = *written;
    nest.outputs.push_back(output);
    if (!sums) continue;
    Access zero;
    zero.element = target.element;
    zero.scalar = b.floatConstant(target.element, 0);
    nest.outputs.back().init = zero;
  }
  return emitParallelNest(b, nest, f.sharedScratch, f.shared);
}

LogicalResult SweepEmitter::emit() {
  if (failed(collect())) return failure();
  if (!members.empty()) {
    cut();
    table = tableOf(rows, "segments");
    Value parts = tableOf(firstOfPart, "first_of_parts");
    bool sums = bodies[0].isSum();
    if (sums) {
      Type element = cast<RankedTensorType>(bodies[0].like.getResult(0).getType()).getElementType();
      int64_t offset = f.shared.reserve(segments * storageBytes(element));
      partialSums = b.view(f.sharedScratch, b.constant(offset), segments, element);
    }
    auto count = static_cast<int64_t>(firstOfPart.size()) - 1;
    b.parallelLoop(count, count > 1, [&](Value part) {
      b.loop(entry(parts, part), entry(parts, b.add(part, 1)), 1,
             [&](Value segment) { emitSegment(segment); });
    });
    if (sums) addUpSums();
  }
  for (linalg::GenericOp op : apart)
    if (failed(emitApart(op))) return failure();
  return status;
}

}  // namespace

bool isSweep(func::FuncOp kernel) {
  return llvm::any_of(kernel.getOps<linalg::GenericOp>(),
                      [](linalg::GenericOp op) { return isPartOfSweep(op); });
}

LogicalResult emitSweep(KernelFunction& f) { return SweepEmitter(f).emit(); }

}  // namespace weir
