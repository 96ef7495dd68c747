#include "compiler/conversion/cpu/logit_blocks.h"

#include "compiler/conversion/cpu/math_expansion.h"
#include "compiler/conversion/cpu/nest_accesses.h"
#include "compiler/dialect/linalg_builder.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/TypeUtilities.h"

namespace weir {

using namespace mlir;

namespace {

/// Most and fewest tokens, or classes, of a block, and how many elements of features it has if it
/// may choose.
constexpr int64_t kLargestBlock = 512, kSmallestBlock = 128, kBlockElements = 1 << 18;

bool isRow(const TensorValue& tensor) {
  return tensor.scalar || tensor.shape[0] == 1 ||
         tensor.strides[0] == tensor.shape[1] * tensor.strides[1];
}

}  // namespace

LogicalResult checkLogitOperands(KernelFunction& f, Operation* op) {
  for (Value operand : op->getOperands().take_front(2))
    if (f.tensors[operand].scalar || f.tensors[operand].isEmpty())
      return op->emitOpError("takes features and a weight that lie in memory");
  return success();
}

LogitSizes::LogitSizes(Value x, Value weight, ArrayRef<const TensorValue*> ofTokens)
    : batch(shapeOf(x)[0]),
      time(shapeOf(x)[1]),
      features(shapeOf(x)[2]),
      classes(shapeOf(weight)[0]) {
  // Rows that follow each other are one.
  isFlat = llvm::all_of(ofTokens, [](const TensorValue* t) { return !t || isRow(*t); });
  if (isFlat) time *= batch, batch = 1;
  int64_t block = std::clamp(kBlockElements / features / kLogitRows * kLogitRows, kSmallestBlock,
                             kLargestBlock);
  tokenBlock = std::min(time, block);
  classBlock = std::min(roundUp(divideUp(classes, CpuTarget::kWorkers), kLogitRows), block);
  least = std::min({features, tokenBlock, classes, kLogitRows});
}

Logits::Logits(KernelFunction& f, const LogitSizes& size, Value x, Value weight, Value targets)
    : f(f),
      b(f.b),
      size(size),
      narrow(getElementTypeOrSelf(x.getType())),
      wide(accumulatorType(narrow)),
      x(f.tensors[x]),
      weight(f.tensors[weight]),
      targets(f.tensors[targets]) {}

Matrix Logits::tokensOf(const TensorValue& tensor, const TokenBlock& block) {
  Matrix m;
  m.access = f.origin(tensor);
  m.rows = block.count;
  m.columns = size.features;
  if (!size.isFlat) m.access.base = b.offset(m.access.base, block.row, tensor.strides[0]);
  m.access.base = b.offset(m.access.base, block.first, tensor.strides[1]);
  m.access.strides = {tensor.strides[1], tensor.strides[2]};
  return m;
}

Matrix Logits::rowOf(const TensorValue& tensor, const TokenBlock& block, int64_t rows) {
  Matrix m;
  m.access = f.origin(tensor);
  m.rows = rows;
  m.columns = block.count;
  if (tensor.scalar) return m;
  if (!size.isFlat) m.access.base = b.offset(m.access.base, block.row, tensor.strides[0]);
  m.access.base = b.offset(m.access.base, block.first, tensor.strides[1]);
  m.access.strides = {0, tensor.strides[1]};
  return m;
}

Matrix Logits::classesOf(const TensorValue& tensor, Value first, int64_t rows) {
  Matrix m;
  m.access = f.origin(tensor);
  m.access.base = b.offset(m.access.base, first, tensor.strides[0]);
  m.access.strides = {tensor.strides[0], tensor.strides[1]};
  m.rows = rows;
  m.columns = size.features;
  return m;
}

void Logits::forBlocks(int64_t count, int64_t step, function_ref<void(Value, int64_t)> body) {
  int64_t full = count / step * step;
  b.loop(0, full, step, [&](Value first) { body(first, step); });
  if (full < count) body(b.constant(full), count - full);
}

Value Logits::exponential(ElementwiseBuilder e, Value x) {
  if (!wide.isF32()) return e.exp(x);
  Value low = e.constant(-85, wide);
  Value isLow = arith::CmpFOp::create(e.builder(), b.getLoc(), arith::CmpFPredicate::OLT, x, low);
  Value value = e.exp(e.select(isLow, low, x));
  value.getDefiningOp()->setAttr(kBounded, b.getUnitAttr());
  return value;
}

void Logits::forTargets(const TokenBlock& block, Value first, int64_t rows,
                        function_ref<void(Value, Value)> body) {
  Matrix own = rowOf(targets, block, 1);
  auto type = VectorType::get({b.target.lanes()}, b.getI32Type());
  int64_t lanes = type.getNumElements();
  Value shift = arith::IndexCastOp::create(b, b.getI32Type(), first);
  auto inBlock = [&](Value target, Value shift, Value count) -> Value {
    return arith::CmpIOp::create(b, arith::CmpIPredicate::ult,
                                 arith::SubIOp::create(b, target, shift), count);
  };
  auto offsetOf = [&](Value token) {
    return own.access.isScalar() ? Value()
                                 : b.offset(own.access.base, token, own.access.strides[1]);
  };
  b.loop(0, block.count, lanes, [&](Value from) {
    Value rest = b.sub(b.constant(block.count), from);
    Value mask =
        vector::CreateMaskOp::create(b, VectorType::get({lanes}, b.getI1Type()), ValueRange{rest});
    Value several = loadVector(b, own.access, offsetOf(from), strideOf(own.access, 1), lanes, mask);
    Value any = vector::ReductionOp::create(
        b, vector::CombiningKind::OR,
        inBlock(several, b.splat(shift, lanes), b.intConstant(type, rows)));
    b.ifThen(any, [&] {
      Value to = b.add(from, b.minimum(rest, b.constant(lanes)));
      b.loop(from, to, 1, [&](Value token) {
        Value target = loadScalar(b, own.access, offsetOf(token));
        b.ifThen(inBlock(target, shift, b.intConstant(b.getI32Type(), rows)), [&] {
          Value row = arith::SubIOp::create(b, target, shift);
          body(token, arith::IndexCastOp::create(b, b.getIndexType(), row));
        });
      });
    });
  });
}

}  // namespace weir
