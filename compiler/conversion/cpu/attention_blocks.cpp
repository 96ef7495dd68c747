#include "compiler/conversion/cpu/attention_blocks.h"

#include <cmath>

#include "compiler/conversion/cpu/product.h"
#include "compiler/dialect/elementwise_builder.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/TypeUtilities.h"

namespace weir {

using namespace mlir;

namespace {

int64_t dimension(Value tensor, unsigned dim) {
  return cast<RankedTensorType>(tensor.getType()).getDimSize(dim);
}

Value compare(KernelBuilder& b, arith::CmpIPredicate predicate, Value x, Value y) {
  return arith::CmpIOp::create(b, predicate, x, y);
}

Value both(KernelBuilder& b, Value x, Value y) {
  if (!x || !y) return x ? x : y;
  return arith::AndIOp::create(b, x, y);
}

}  // namespace

AttentionBlocks::AttentionBlocks(KernelFunction& f, Operation* op, AttentionSettings settings,
                                 int64_t queryBlock, int64_t keyBlock)
    : f(f),
      b(f.b),
      op(op),
      s(settings),
      tiles(f, getElementTypeOrSelf(settings.q.getType())),
      exp(f, tiles.compute(), 1, [&](OpBuilder& inner, ValueRange x) {
        return ValueList{ElementwiseBuilder(inner, b.getLoc()).exp(x[0])};
      }) {
  batch = dimension(s.q, 0), queries = dimension(s.q, 1), keys = dimension(s.k, 1);
  older = keys - queries;
  features = dimension(s.q, 2) / s.heads, valueFeatures = dimension(s.v, 2) / s.heads;
  this->queryBlock = std::min(queryBlock, roundUp(queries, tiles.columnUnit()));
  this->keyBlock = std::min(keyBlock, roundUp(keys, 32));
  vectorType = VectorType::get({tiles.lanes()}, tiles.compute());
  intType = VectorType::get({tiles.lanes()}, b.getI32Type());
}

double AttentionBlocks::scale() const {
  return isSoftmax() ? 1 / std::sqrt(static_cast<double>(features))
                     : 1.0 / static_cast<double>(s.length.value_or(queries));
}

Value AttentionBlocks::splat(double value) { return b.floatConstant(vectorType, value); }

LogicalResult AttentionBlocks::prepare() {
  for (Value operand : op->getOperands()) {
    const TensorValue& tensor = f.tensors[operand];
    if (tensor.isEmpty()) return op->emitOpError("reads a tensor that was never written");
    if (!tensor.scalar && tensor.shape.size() == 3 && tensor.strides[2] != 1)
      return op->emitOpError("needs features next to each other in memory");
  }
  if (!s.bias) return success();
  const TensorValue& bias = f.tensors[s.bias];
  int64_t size = paddedQueries() + paddedKeys() + tiles.lanes(), diagonals = dimension(s.bias, 0);
  int64_t origin = (diagonals - 1) / 2;
  biasOrigin = paddedKeys() - older;
  int64_t offset = f.shared.reserve(size * storageBytes(tiles.compute()));
  paddedBias = b.view(f.sharedScratch, b.constant(offset), size, tiles.compute());
  Access to, zero;
  zero.element = to.element = tiles.compute();
  zero.scalar = b.floatConstant(tiles.compute(), 0.0);
  to.memref = paddedBias;
  to.base = b.constant(0);
  to.strides = {1};
  if (failed(copyStrided(f, zero, to, {dimOf(size)}))) return failure();
  int64_t first = std::max<int64_t>(0, origin - biasOrigin), place = first + biasOrigin - origin;
  FailureOr<Access> from = f.access(op, bias, AffineMap::getMultiDimIdentityMap(1, b.getContext()));
  if (failed(from)) return failure();
  if (!from->isScalar()) from->base = b.add(from->base, first * bias.strides[0]);
  to.base = b.constant(place);
  return copyStrided(f, *from, to, {dimOf(std::min(diagonals - first, size - place))});
}

void AttentionBlocks::enter(Value row, Value head) {
  this->row = row, this->head = head;
  firstSeen = b.constant(0);
  if (older == 0) return;
  const TensorValue& position = f.tensors[s.position];
  Access access = f.origin(position);
  Value at = access.base;
  if (!position.shape.empty() && !position.scalar) at = b.offset(at, row, position.strides[0]);
  Value before = arith::IndexCastOp::create(b, b.getIndexType(), loadScalar(b, access, at));
  firstSeen = b.maximum(b.constant(0), b.sub(b.constant(older), before));
}

TokenRows AttentionBlocks::rows(Value tensor, const TensorValue& storage) {
  TokenRows rows;
  rows.features = dimension(tensor, 2) / s.heads;
  rows.access.memref = storage.memref;
  rows.access.scalar = storage.scalar;
  rows.access.element = storage.element;
  rows.base = b.constant(storage.offset);
  if (storage.scalar) return rows;
  if (storage.start) rows.base = b.add(rows.base, storage.start);
  rows.base = b.offset(b.offset(rows.base, row, storage.strides[0]), head, rows.features);
  rows.stride = storage.strides[1];
  return rows;
}

std::pair<Value, Value> AttentionBlocks::keysOf(Value query) {
  Value from = firstSeen, to = b.constant(keys);
  if (s.window != "full") to = b.minimum(to, b.add(query, queryBlock + older));
  if (s.windowSize) from = b.maximum(from, b.add(query, older + 1 - *s.windowSize));
  return {b.mul(b.div(from, keyBlock), keyBlock), to};
}

std::pair<Value, Value> AttentionBlocks::queryBlocksOf(Value key) {
  Value from = b.constant(0), to = b.constant(queries);
  if (s.window != "full") from = b.maximum(from, b.add(key, -older));
  if (s.windowSize) to = b.minimum(to, b.add(key, keyBlock - 1 + *s.windowSize - older));
  to = b.maximum(to, b.constant(0));
  return {b.div(from, queryBlock), b.div(b.add(to, queryBlock - 1), queryBlock)};
}

Value AttentionBlocks::countKeys(Value query, Value key) {
  if (!tiles.matrixTiles()) return Value();
  Value rest = b.sub(keysOf(query).second, key);
  Value count = b.mul(b.div(b.add(b.maximum(rest, b.constant(0)), 31), 32), 32);
  return b.minimum(count, b.constant(keyBlock));
}

void AttentionBlocks::ifMasked(Value query, Value key, function_ref<void(bool)> body) {
  if (s.segments) return body(true);
  Value whole;
  auto require = [&](arith::CmpIPredicate predicate, Value x, Value y) {
    whole = both(b, whole, compare(b, predicate, x, y));
  };
  Value last = b.add(key, keyBlock - 1);
  if (s.window != "full") require(arith::CmpIPredicate::sle, last, b.add(query, older));
  if (s.windowSize)
    require(arith::CmpIPredicate::sgt, key, b.add(query, queryBlock - 1 + older - *s.windowSize));
  if (older > 0) require(arith::CmpIPredicate::sge, key, firstSeen);
  if (keys % keyBlock != 0) require(arith::CmpIPredicate::slt, last, b.constant(keys));
  if (!whole) return body(false);
  auto branch = scf::IfOp::create(b, whole, /*withElseRegion=*/true);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(branch.thenBlock());
  body(false);
  b.setInsertionPointToStart(branch.elseBlock());
  body(true);
}

AttentionBlocks::Lanes AttentionBlocks::lanes(Value query) {
  Lanes lanes;
  lanes.query = query;
  SmallVector<int32_t> numbers;
  for (int64_t i = 0; i < tiles.lanes(); ++i) numbers.push_back(static_cast<int32_t>(i));
  Value first = arith::IndexCastOp::create(b, b.getI32Type(), query);
  Value iota = arith::ConstantOp::create(b, intType, DenseIntElementsAttr::get(intType, numbers));
  lanes.numbers = arith::AddIOp::create(b, b.splat(first, tiles.lanes()), iota);
  if (!s.segments) return lanes;
  const TensorValue& segments = f.tensors[s.segments];
  Access access = f.origin(segments);
  Value at = access.base;
  int64_t stride = segments.scalar ? 0 : segments.strides[1];
  if (!segments.scalar) at = b.offset(b.offset(at, row, segments.strides[0]), query, stride);
  Value mask = vector::CreateMaskOp::create(b, VectorType::get({tiles.lanes()}, b.getI1Type()),
                                            ValueRange{b.sub(b.constant(queries), query)});
  lanes.segments = loadVector(b, access, at, stride, tiles.lanes(), mask);
  return lanes;
}

/// Older tokens that are seen at all are of the first query's document.
Value AttentionBlocks::segmentOf(Value key) {
  const TensorValue& segments = f.tensors[s.segments];
  if (segments.scalar) return segments.scalar;
  Access access = f.origin(segments);
  Value query = b.maximum(b.add(key, -older), b.constant(0));
  query = b.minimum(query, b.constant(queries - 1));
  Value at = b.offset(b.offset(access.base, row, segments.strides[0]), query, segments.strides[1]);
  return loadScalar(b, access, at);
}

Value AttentionBlocks::visible(const Lanes& lanes, Value key) {
  auto number = [&](Value index) -> Value {
    return arith::IndexCastOp::create(b, b.getI32Type(), index);
  };
  // A key that nobody sees is one that is seen from beyond the last number only.
  Value first = s.window == "full"
                    ? b.intConstant(b.getI32Type(), std::numeric_limits<int32_t>::min())
                    : number(b.add(key, -older));
  Value hidden;
  if (older > 0) hidden = compare(b, arith::CmpIPredicate::slt, key, firstSeen);
  if (keys % keyBlock != 0) {
    Value beyond = compare(b, arith::CmpIPredicate::sge, key, b.constant(keys));
    hidden = hidden ? Value(arith::OrIOp::create(b, hidden, beyond)) : beyond;
  }
  if (hidden)
    first = arith::SelectOp::create(
        b, hidden, b.intConstant(b.getI32Type(), std::numeric_limits<int32_t>::max()), first);
  int64_t width = tiles.lanes();
  Value seen;
  if (hidden || s.window != "full")
    seen = compare(b, arith::CmpIPredicate::sge, lanes.numbers, b.splat(first, width));
  if (s.windowSize)
    seen = both(b, seen,
                compare(b, arith::CmpIPredicate::slt, lanes.numbers,
                        b.splat(number(b.add(key, *s.windowSize - older)), width)));
  if (s.segments)
    seen =
        both(b, seen,
             compare(b, arith::CmpIPredicate::eq, lanes.segments, b.splat(segmentOf(key), width)));
  return seen;
}

Value AttentionBlocks::scaled(Value score, const Lanes& lanes, Value key) {
  Value x = arith::MulFOp::create(b, score, splat(scale()));
  if (!s.bias) return x;
  Value at = b.sub(b.add(lanes.query, older + biasOrigin), key);
  return arith::AddFOp::create(b, x,
                               vector::LoadOp::create(b, vectorType, paddedBias, ValueRange{at}));
}

/// For weights that are rounded to bf16, 2^t = 2^n (1 + r Q(r)) with a Q of degree 4, right to
/// 2e-7 and the rounding of t; other weights have the exponential of all kernels.
Value AttentionBlocks::exponential(Value x, double factor, Value shift) {
  auto add = [&](Value x, Value y) -> Value { return arith::AddFOp::create(b, x, y); };
  auto sub = [&](Value x, Value y) -> Value { return arith::SubFOp::create(b, x, y); };
  auto mul = [&](Value x, Value y) -> Value { return arith::MulFOp::create(b, x, y); };
  if (!tiles.matrixTiles()) {
    if (factor != 1) x = mul(x, splat(factor));
    return exp(sub(x, shift))[0];
  }
  constexpr double kLog2E = 1.4426950408889634;
  Value low = splat(-126), magic = splat(12582912.0);
  Value t = math::FmaOp::create(b, x, splat(factor * kLog2E), mul(shift, splat(-kLog2E)));
  // nan is not below, and stays.
  Value below = arith::CmpFOp::create(b, arith::CmpFPredicate::OLT, t, low);
  t = arith::SelectOp::create(b, below, low, t);
  Value rounded = add(t, magic), r = sub(t, sub(rounded, magic)), q = splat(0.001338130253736246);
  for (double c :
       {0.009666368515388853, 0.05550381013796419, 0.24022349038020277, 0.6931471805599452, 1.0})
    q = math::FmaOp::create(b, q, r, splat(c));
  Value exponent = arith::ShLIOp::create(b, arith::BitcastOp::create(b, intType, rounded),
                                         b.intConstant(intType, 23));
  Value bits = arith::AddIOp::create(b, arith::BitcastOp::create(b, intType, q), exponent);
  return arith::SelectOp::create(b, below, splat(0), arith::BitcastOp::create(b, vectorType, bits));
}

/// One instruction, unlike a maximum that looks for nan: a score of nan becomes a weight of nan
/// anyhow.
Value AttentionBlocks::larger(Value x, Value y) {
  Value above = arith::CmpFOp::create(b, arith::CmpFPredicate::OGT, x, y);
  return arith::SelectOp::create(b, above, x, y);
}

VectorFunction::VectorFunction(KernelFunction& f, Type type, unsigned arguments,
                               function_ref<ValueList(OpBuilder&, ValueRange)> build)
    : f(f) {
  OpBuilder b(f.b.getContext());
  Block* block = b.createBlock(&region, {}, SmallVector<Type>(arguments, type),
                               SmallVector<Location>(arguments, f.b.getLoc()));
  ValueList results = build(b, block->getArguments());
  linalg::YieldOp::create(b, f.b.getLoc(), results);
  // What it is made of expands into arithmetic.
  (void)expandRegionOps(region);
}

ValueList VectorFunction::operator()(ValueRange vectors) {
  int64_t lanes = cast<VectorType>(vectors[0].getType()).getNumElements();
  return *vectorizeBlock(f.b, region.front(), vectors, lanes, f.scalars);
}

}  // namespace weir
