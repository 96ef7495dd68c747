// The gradient of linalg.generic: elementwise work, broadcasts, sums and
// products in one rule.
//
// y[out(i)] = sum_i f(x0[m0(i)], x1[m1(i)], ...) has dx0[j] = sum over {i :
// m0(i) = j} of df/dx0 * dy[out(i)]: again a linalg.generic over the same
// points i, whose output map is m0, whose body recomputes f's primal values and
// runs f backward (region_vjp.h), and which sums over the loops that m0 lacks.
// So a broadcast gives a sum, a sum gives a broadcast, and a product gives
// products with the roles of its operands exchanged.
//
// - Inputs read through one map share one generic with several results: f is
// recomputed once for them.
// - The loops of an output come first, in its order, then those that are
// summed, in the order of the original.
// - Sums are in f32 (or wider) whatever the operand is, and rounded afterwards.
// A product of bf16 operands gets its
//   cotangent rounded to bf16 first, so that backward products are bf16 x bf16
//   -> f32 like the forward one.
// - `d + c` in an input map (a fused slice) becomes an insertion into zeros;
// `d0 + k * d1 + c` (a window) becomes a
//   gather over the cotangent padded with zeros. Any other map is refused.
// - A result that sums over loops must be `acc + f` with an f that does not
// read acc; other reductions (maximumf) are
//   refused unless nothing differentiable depends on them (weir.stop_gradient).

#include "compiler/dialect/interfaces.h"
#include "compiler/dialect/region_vjp.h"
#include "compiler/dialect/upstream_vjp.h"
#include "mlir/Analysis/FlatLinearValueConstraints.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/AffineExpr.h"
#include "mlir/IR/TypeUtilities.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/STLExtras.h"

namespace weir {
namespace {

using namespace mlir;
using utils::IteratorType;

Value zeros(OpBuilder& builder, Location loc, ArrayRef<int64_t> shape, Type elementType) {
  Value zero = arith::ConstantOp::create(builder, loc, builder.getZeroAttr(elementType));
  Value empty = tensor::EmptyOp::create(builder, loc, shape, elementType);
  return linalg::FillOp::create(builder, loc, zero, empty).getResult(0);
}

/// Inserts `value` at `offsets` into zeros of type `type`.
Value padWithZeros(OpBuilder& builder, Location loc, Value value, RankedTensorType type,
                   ArrayRef<int64_t> offsets) {
  Value into = zeros(builder, loc, type.getShape(), type.getElementType());
  SmallVector<int64_t> ones(type.getRank(), 1);
  return tensor::InsertSliceOp::create(
      builder, loc, value, into, getAsIndexOpFoldResult(builder.getContext(), offsets),
      getAsIndexOpFoldResult(builder.getContext(),
                             cast<RankedTensorType>(value.getType()).getShape()),
      getAsIndexOpFoldResult(builder.getContext(), ones));
}

/// How one dimension of an input is read: the loop `dim` + `offset`, or (dim =
/// -1) the constant `offset`.
struct Access {
  int64_t dim = -1;
  int64_t offset = 0;
};

/// A window d_i + k * d_j + c turned round: the loop i runs over the input's
/// positions s instead, and whatever was indexed by d_i is read at s - k * d_j
/// - c.
struct Window {
  int64_t dim = -1;  // i; -1: none
  int64_t extent = 0;
  AffineExpr rest;  // k * d_j + c
  int64_t restMin = 0, restMax = 0;
};

class GenericVjp {
 public:
  GenericVjp(linalg::GenericOp op, OpBuilder& builder, ValueRange cotangents)
      : op(op),
        builder(builder),
        loc(op.getLoc()),
        body(*op.getBody()),
        cotangents(cotangents.begin(), cotangents.end()),
        ranges(op.getStaticLoopRanges()),
        iterators(op.getIteratorTypesArray()) {}

  LogicalResult run(ArrayRef<bool> needed, SmallVectorImpl<Value>& out);

 private:
  struct Read {  // an operand that a gradient's body may read
    Value value;
    AffineMap map;
  };

  bool isSummed(unsigned result);
  LogicalResult checkSum(unsigned result);
  bool isNarrowProduct();
  void narrowOrWidenCotangents();
  LogicalResult analyze(AffineMap map, ArrayRef<int64_t> shape, SmallVectorImpl<Access>& accesses,
                        Window& window);
  LogicalResult emitGroup(AffineMap map, ArrayRef<unsigned> args, SmallVectorImpl<Value>& out);
  Value finish(Value core, Type operandType, ArrayRef<Access> accesses);

  linalg::GenericOp op;
  OpBuilder& builder;
  Location loc;
  Block& body;
  SmallVector<Value> cotangents;
  SmallVector<int64_t> ranges;
  SmallVector<IteratorType> iterators;
};

/// Whether the result joins several points of the loops.
bool GenericVjp::isSummed(unsigned result) {
  AffineMap map = op.getMatchingIndexingMap(op.getDpsInitOperand(result));
  for (auto [dim, iterator] : llvm::enumerate(iterators))
    if (iterator == IteratorType::reduction && !map.isFunctionOfDim(dim)) return true;
  return false;
}

LogicalResult GenericVjp::checkSum(unsigned result) {
  Value value = body.getArgument(op.getNumDpsInputs() + result);
  while (value.hasOneUse()) {
    OpOperand& use = *value.use_begin();
    Operation* user = use.getOwner();
    if (user == body.getTerminator() && use.getOperandNumber() == result) return success();
    bool adds =
        isa<arith::AddFOp>(user) || (isa<arith::SubFOp>(user) && use.getOperandNumber() == 0);
    if (!adds) break;
    value = user->getResult(0);
  }
  InFlightDiagnostic diagnostic = op.emitOpError("has no gradient: result #")
                                  << result << " reduces by something other than a sum";
  diagnostic.attachNote() << "mark the op with '" << kStopGradient
                          << "' if it is to count as a constant";
  return diagnostic;
}

/// A product of two narrow (bf16, f16) operands that is summed, or taken, in a
/// wider type.
bool GenericVjp::isNarrowProduct() {
  if (op.getNumDpsInputs() != 2 || op.getNumResults() != 1) return false;
  unsigned products = 0;
  for (Operation& inner : body.without_terminator()) {
    if (!isa<arith::ExtFOp, arith::MulFOp, arith::AddFOp>(inner)) return false;
    products += isa<arith::MulFOp>(inner);
  }
  Type lhs = body.getArgument(0).getType(), rhs = body.getArgument(1).getType();
  Type acc = body.getArgument(2).getType();
  auto narrow = dyn_cast<FloatType>(lhs), wide = dyn_cast<FloatType>(acc);
  bool sameMap = op.getIndexingMapsArray()[0] == op.getIndexingMapsArray()[1];
  return products == 1 && lhs == rhs && narrow && wide && narrow.getWidth() < wide.getWidth() &&
         !sameMap;
}

/// Chooses the width in which cotangents are read (see the head of the file,
/// and truncVjp for casts).
void GenericVjp::narrowOrWidenCotangents() {
  if (isNarrowProduct()) {
    Value& dy = cotangents[0];
    Type narrow = cast<ShapedType>(dy.getType()).clone(body.getArgument(0).getType());
    auto extended = dy.getDefiningOp<arith::ExtFOp>();
    if (extended && extended.getIn().getType() == narrow) {
      dy = extended.getIn();
    } else {
      dy = arith::TruncFOp::create(builder, loc, narrow, dy);
    }
    return;
  }
  bool isCast =
      llvm::hasSingleElement(body.without_terminator()) && isa<arith::TruncFOp>(body.front());
  if (!isCast || op.getNumResults() != 1) return;
  auto rounded = cotangents[0].getDefiningOp<arith::TruncFOp>();
  Type wide = body.front().getOperand(0).getType();
  if (rounded && getElementTypeOrSelf(rounded.getIn()) == wide) cotangents[0] = rounded.getIn();
}

LogicalResult GenericVjp::run(ArrayRef<bool> needed, SmallVectorImpl<Value>& out) {
  out.assign(op->getNumOperands(), Value());
  if (llvm::none_of(cotangents, [](Value v) { return static_cast<bool>(v); })) return success();
  if (!op.hasPureTensorSemantics() || llvm::any_of(ranges, ShapedType::isDynamic))
    return op.emitOpError("has no gradient: it needs tensors of static shape");

  // Arguments of the body, grouped by the map through which their operands are
  // read.
  llvm::MapVector<AffineMap, SmallVector<unsigned>> groups;
  for (OpOperand& operand : op->getOpOperands()) {
    unsigned i = operand.getOperandNumber();
    if (!needed[i] || !isDifferentiableType(operand.get().getType())) continue;
    if (!isa<RankedTensorType>(operand.get().getType()))
      return op.emitOpError("has no gradient: its scalar operand #") << i << " needs one";
    if (op.isDpsInit(&operand)) {
      unsigned result = i - op.getNumDpsInputs();
      if (!cotangents[result]) continue;
      if (isSummed(result)) {
        out[i] = cotangents[result];  // the sum starts from the operand
        continue;
      }
      if (op.getMatchingBlockArgument(&operand).use_empty()) continue;
    }
    groups[op.getMatchingIndexingMap(&operand)].push_back(i);
  }
  for (auto [result, cotangent] : llvm::enumerate(cotangents))
    if (cotangent && isSummed(result) && failed(checkSum(result))) return failure();
  if (groups.empty()) return success();
  if (op.getNumResults() == 1) narrowOrWidenCotangents();
  for (auto& [map, args] : groups)
    if (failed(emitGroup(map, args, out))) return failure();
  return success();
}

LogicalResult GenericVjp::analyze(AffineMap map, ArrayRef<int64_t> shape,
                                  SmallVectorImpl<Access>& accesses, Window& window) {
  auto refuse = [&]() {
    return op.emitOpError("has no gradient: cannot invert the input map ")
           << AffineMapAttr::get(map);
  };
  llvm::SmallBitVector seen(ranges.size());
  for (auto [position, expr] : llvm::enumerate(map.getResults())) {
    Access access;
    SmallVector<int64_t> flat;
    if (failed(getFlattenedAffineExpr(expr, map.getNumDims(), 0, &flat)) ||
        flat.size() != ranges.size() + 1)
      return refuse();
    access.offset = flat.back();
    SmallVector<int64_t> dims;
    for (auto [dim, factor] : llvm::enumerate(ArrayRef(flat).drop_back()))
      if (factor) dims.push_back(dim);
    if (dims.size() == 1 && flat[dims[0]] == 1) {
      access.dim = dims[0];
    } else if (dims.size() > 1) {
      if (window.dim >= 0) return refuse();
      // The loop that is turned round is the one a result keeps, with factor 1.
      for (int64_t dim : dims)
        if (flat[dim] == 1 && iterators[dim] == IteratorType::parallel && window.dim < 0)
          window.dim = dim;
      if (window.dim < 0) return refuse();
      window.extent = shape[position];
      window.rest = getAffineConstantExpr(access.offset, expr.getContext());
      window.restMin = window.restMax = access.offset;
      for (int64_t dim : dims) {
        if (flat[dim] < 0) return refuse();
        if (dim == window.dim) continue;
        window.rest = getAffineDimExpr(dim, expr.getContext()) * flat[dim] + window.rest;
        window.restMax += flat[dim] * (ranges[dim] - 1);
      }
      access = {window.dim, 0};
    } else if (!dims.empty()) {
      return refuse();
    }
    if (access.dim >= 0) {
      if (seen.test(access.dim)) return refuse();
      seen.set(access.dim);
    }
    accesses.push_back(access);
  }
  return success();
}

LogicalResult GenericVjp::emitGroup(AffineMap map, ArrayRef<unsigned> args,
                                    SmallVectorImpl<Value>& out) {
  MLIRContext* context = op.getContext();
  SmallVector<Access> accesses;
  Window window;
  auto operandShape = cast<RankedTensorType>(op->getOperand(args[0]).getType()).getShape();
  if (failed(analyze(map, operandShape, accesses, window))) return failure();

  // The new loops: those of the output, then the summed ones.
  SmallVector<int64_t> order;
  for (const Access& access : accesses)
    if (access.dim >= 0) order.push_back(access.dim);
  unsigned kept = order.size(), loops = ranges.size();
  for (unsigned dim = 0; dim < loops; ++dim)
    if (!llvm::is_contained(order, dim)) order.push_back(dim);
  SmallVector<AffineExpr> renamed(loops);
  for (auto [position, dim] : llvm::enumerate(order))
    renamed[dim] = getAffineDimExpr(position, context);
  auto rename = [&](AffineMap m) { return m.replaceDimsAndSymbols(renamed, {}, loops, 0); };
  auto extent = [&](int64_t dim) { return dim == window.dim ? window.extent : ranges[dim]; };
  bool sums = kept < loops;

  // What the body may read, in the order: operands of the op, cotangents.
  SmallVector<Read> reads;
  SmallVector<bool> conflicts;  // reads that the window has moved out of reach
  for (OpOperand& operand : op->getOpOperands()) {
    AffineMap m = op.getMatchingIndexingMap(&operand);
    bool moved = window.dim >= 0 && m.isFunctionOfDim(window.dim);
    if (moved && m == map) {
      SmallVector<AffineExpr> exprs;
      for (const Access& access : accesses)
        exprs.push_back(access.dim >= 0 ? getAffineDimExpr(access.dim, context) + access.offset
                                        : getAffineConstantExpr(access.offset, context));
      m = AffineMap::get(loops, 0, exprs, context);
      moved = false;
    }
    reads.push_back({operand.get(), rename(m)});
    conflicts.push_back(moved);
  }
  unsigned firstCotangent = reads.size();
  for (auto [result, cotangent] : llvm::enumerate(cotangents)) {
    Value value = cotangent;
    AffineMap m = op.getMatchingIndexingMap(op.getDpsInitOperand(result));
    if (value && window.dim >= 0 && m.isFunctionOfDim(window.dim)) {
      auto type = cast<RankedTensorType>(value.getType());
      int64_t before = std::max<int64_t>(0, window.restMax);
      SmallVector<int64_t> shape(type.getShape()), offsets(type.getRank(), 0);
      SmallVector<AffineExpr> exprs(m.getResults());
      for (auto [position, expr] : llvm::enumerate(exprs)) {
        if (expr != getAffineDimExpr(window.dim, context)) continue;
        offsets[position] = before;
        shape[position] = window.extent - window.restMin + before;
        expr = expr - window.rest + before;
      }
      value = padWithZeros(builder, loc, value, type.clone(shape), offsets);
      m = AffineMap::get(loops, 0, exprs, context);
    }
    reads.push_back({value, rename(m)});
    conflicts.push_back(false);
  }

  // The body, in a block of its own until it is known what it reads.
  auto block = std::make_unique<Block>();
  for (const Read& read : reads)
    block->addArgument(read.value ? getElementTypeOrSelf(read.value) : builder.getI1Type(), loc);
  OpBuilder inner(context);
  inner.setInsertionPointToEnd(block.get());
  RegionVjp vjp(inner, body, block->getArguments().take_front(body.getNumArguments()));
  for (auto index : llvm::to_vector(block->getOps<linalg::IndexOp>())) {
    if (static_cast<int64_t>(index.getDim()) == window.dim && !index->use_empty())
      return op.emitOpError("has no gradient: its body uses the index of a window's loop");
    index.setDim(cast<AffineDimExpr>(renamed[index.getDim()]).getPosition());
  }
  SmallVector<Value> yieldCotangents;
  for (unsigned result = 0; result < op.getNumResults(); ++result) {
    Value dy = cotangents[result] ? Value(block->getArgument(firstCotangent + result)) : Value();
    auto type = dyn_cast<FloatType>(vjp.yield(result).getType());
    if (dy && type && dy.getType() != type) {
      bool widen = cast<FloatType>(dy.getType()).getWidth() < type.getWidth();
      dy = widen ? Value(arith::ExtFOp::create(inner, loc, type, dy))
                 : Value(arith::TruncFOp::create(inner, loc, type, dy));
    }
    yieldCotangents.push_back(dy);
  }
  SmallVector<bool> wanted(body.getNumArguments(), false);
  for (unsigned arg : args) wanted[arg] = true;
  SmallVector<Value> gradients;
  if (failed(vjp.pullBack(yieldCotangents, wanted, gradients))) return failure();

  // What it gives: one output per argument, summed in f32 at least.
  SmallVector<AffineExpr> keptDims;
  for (unsigned dim = 0; dim < kept; ++dim) keptDims.push_back(getAffineDimExpr(dim, context));
  AffineMap outputMap = AffineMap::get(loops, 0, keptDims, context);
  SmallVector<int64_t> shape;
  for (int64_t dim : ArrayRef(order).take_front(kept)) shape.push_back(extent(dim));
  SmallVector<unsigned> outputs;
  SmallVector<Value> yields, inits;
  for (unsigned arg : args) {
    Value gradient = gradients[arg];
    if (!gradient) continue;
    auto passed = dyn_cast<BlockArgument>(gradient);
    if (!sums && passed && reads[passed.getArgNumber()].map == outputMap) {
      // The cotangent itself, as for the terms of a sum.
      out[arg] =
          finish(reads[passed.getArgNumber()].value, op->getOperand(arg).getType(), accesses);
      continue;
    }
    auto type = dyn_cast<FloatType>(gradient.getType());
    if (sums && type && type.getWidth() < 32) {
      auto rounded = gradient.getDefiningOp<arith::TruncFOp>();
      gradient = rounded && rounded.getIn().getType().isF32()
                     ? rounded.getIn()
                     : Value(arith::ExtFOp::create(inner, loc, inner.getF32Type(), gradient));
    }
    Type element = gradient.getType();
    BlockArgument accumulator = block->addArgument(element, loc);
    if (sums) gradient = arith::AddFOp::create(inner, loc, accumulator, gradient);
    yields.push_back(gradient);
    outputs.push_back(arg);
    inits.push_back(sums ? zeros(builder, loc, shape, element)
                         : Value(tensor::EmptyOp::create(builder, loc, shape, element)));
  }
  if (outputs.empty()) return success();
  linalg::YieldOp::create(inner, loc, yields);
  eraseDeadOps(*block);

  // Drop what it does not read, but keep an operand for every loop: extents are
  // inferred from operands.
  llvm::SmallBitVector covered(loops), keep(reads.size());
  auto cover = [&](AffineMap m) {
    bool added = false;
    for (AffineExpr expr : m.getResults()) {
      auto dim = dyn_cast<AffineDimExpr>(expr);
      if (!dim || covered.test(dim.getPosition())) continue;
      covered.set(dim.getPosition());
      added = true;
    }
    return added;
  };
  cover(outputMap);
  for (auto [i, read] : llvm::enumerate(reads)) {
    if (block->getArgument(i).use_empty()) continue;
    if (conflicts[i])
      return op.emitOpError("has no gradient: operand #")
             << i << " moves with a window and is read by its gradient";
    unsigned inputs = op.getNumDpsInputs();
    bool isAccumulator = i >= inputs && i < firstCotangent && isSummed(i - inputs);
    if (isAccumulator)
      return op.emitOpError("has no gradient: its body reads the sum while it is being formed");
    keep.set(i);
    cover(read.map);
  }
  for (auto [i, read] : llvm::enumerate(reads))
    if (read.value && !conflicts[i] && !keep.test(i) && cover(read.map)) keep.set(i);
  if (!covered.all())
    return op.emitOpError("has no gradient: the extent of a loop cannot be inferred");

  SmallVector<Value> inputs;
  SmallVector<AffineMap> maps;
  for (auto [i, read] : llvm::enumerate(reads)) {
    if (!keep.test(i)) continue;
    inputs.push_back(read.value);
    maps.push_back(read.map);
  }
  block->eraseArguments([&](BlockArgument arg) {
    return arg.getArgNumber() < reads.size() && !keep.test(arg.getArgNumber());
  });
  maps.append(outputs.size(), outputMap);
  SmallVector<IteratorType> newIterators(kept, IteratorType::parallel);
  newIterators.append(loops - kept, IteratorType::reduction);
  auto generic = linalg::GenericOp::create(builder, loc, TypeRange(ValueRange(inits)), inputs,
                                           inits, maps, newIterators);
  generic.getRegion().push_back(block.release());
  for (auto [arg, result] : llvm::zip_equal(outputs, generic.getResults()))
    out[arg] = finish(result, op->getOperand(arg).getType(), accesses);
  return success();
}

/// From the points that the loops visit to the whole operand: its type, its
/// constant dimensions, zeros elsewhere.
Value GenericVjp::finish(Value core, Type operandType, ArrayRef<Access> accesses) {
  auto type = cast<RankedTensorType>(operandType);
  auto coreType = cast<RankedTensorType>(core.getType());
  if (coreType.getElementType() != type.getElementType()) {
    coreType = coreType.clone(type.getElementType());
    core = arith::TruncFOp::create(builder, loc, coreType, core);
  }
  SmallVector<int64_t> shape, offsets;
  SmallVector<ReassociationIndices> reassociation;
  unsigned next = 0;
  for (auto [position, access] : llvm::enumerate(accesses)) {
    offsets.push_back(access.offset);
    shape.push_back(access.dim >= 0 ? coreType.getDimSize(next++) : 1);
    // Every constant dimension joins the group of the loop before it (the first
    // ones, of the loop after them).
    if (reassociation.empty() || (access.dim >= 0 && next > 1)) reassociation.emplace_back();
    reassociation.back().push_back(position);
  }
  if (next == 0) reassociation.clear();
  if (coreType.getRank() < type.getRank())
    core = tensor::ExpandShapeOp::create(builder, loc, type.clone(shape), core, reassociation);
  if (ArrayRef<int64_t>(shape) != type.getShape())
    core = padWithZeros(builder, loc, core, type, offsets);
  return core;
}

struct GenericModel : DifferentiableOpInterface::ExternalModel<GenericModel, linalg::GenericOp> {
  LogicalResult buildVjp(Operation* op, OpBuilder& builder, ValueRange cotangents,
                         SmallVectorImpl<Value>& operandCotangents) const {
    SmallVector<bool> all(op->getNumOperands(), true);
    return buildNeededVjp(op, builder, cotangents, all, operandCotangents);
  }
  LogicalResult buildNeededVjp(Operation* op, OpBuilder& builder, ValueRange cotangents,
                               ArrayRef<bool> needed,
                               SmallVectorImpl<Value>& operandCotangents) const {
    return GenericVjp(cast<linalg::GenericOp>(op), builder, cotangents)
        .run(needed, operandCotangents);
  }
};

}  // namespace

void registerLinalgVjpModels(DialectRegistry& registry) {
  registry.addExtension(+[](MLIRContext* context, linalg::LinalgDialect*) {
    context->loadDialect<arith::ArithDialect, tensor::TensorDialect>();
    linalg::GenericOp::attachInterface<GenericModel>(*context);
  });
}

}  // namespace weir
