#include "compiler/transforms/evaluator.h"

#include <cmath>

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/TypeUtilities.h"
#include "compiler/dialect/embedding_ops.h"
#include "compiler/dialect/recurrence_ops.h"
#include "compiler/dialect/scan_ops.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringSwitch.h"
#include "llvm/ADT/TypeSwitch.h"

namespace weir {

using namespace mlir;

namespace {

std::vector<int64_t> shapeOf(Type type) {
  if (auto shaped = dyn_cast<ShapedType>(type)) return shaped.getShape().vec();
  return {};
}

std::optional<double> evaluateCompare(arith::CmpFPredicate predicate, double a, double b) {
  switch (predicate) {
    case arith::CmpFPredicate::OLT:
      return a < b;
    case arith::CmpFPredicate::OLE:
      return a <= b;
    case arith::CmpFPredicate::OGT:
      return a > b;
    case arith::CmpFPredicate::OGE:
      return a >= b;
    case arith::CmpFPredicate::OEQ:
      return a == b;
    case arith::CmpFPredicate::UNE:
      return a != b;
    default:
      return std::nullopt;
  }
}

std::optional<double> evaluateCompare(arith::CmpIPredicate predicate, double a, double b) {
  switch (predicate) {
    case arith::CmpIPredicate::eq:
      return a == b;
    case arith::CmpIPredicate::ne:
      return a != b;
    case arith::CmpIPredicate::slt:
      return a < b;
    case arith::CmpIPredicate::sle:
      return a <= b;
    case arith::CmpIPredicate::sgt:
      return a > b;
    case arith::CmpIPredicate::sge:
      return a >= b;
    default:
      return std::nullopt;
  }
}

double sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }
double softplus(double x) { return std::fmax(x, 0.0) + std::log1p(std::exp(-std::fabs(x))); }

std::optional<double> evaluateScalar(Operation& op, ArrayRef<double> x) {
  if (auto compare = dyn_cast<arith::CmpFOp>(op))
    return evaluateCompare(compare.getPredicate(), x[0], x[1]);
  if (auto compare = dyn_cast<arith::CmpIOp>(op))
    return evaluateCompare(compare.getPredicate(), x[0], x[1]);
  StringRef name = op.getName().getStringRef();
  if (x.size() == 1) {
    if (isa<arith::ExtFOp, arith::TruncFOp, arith::SIToFPOp, arith::IndexCastOp, arith::ExtSIOp,
            arith::ExtUIOp, arith::UIToFPOp, arith::TruncIOp>(op))
      return x[0];
    using Function = double (*)(double);
    auto function =
        llvm::StringSwitch<Function>(name)
            .Case("arith.negf", [](double a) { return -a; })
            .Case("arith.fptosi", [](double a) { return std::trunc(a); })
            .Case("math.exp", [](double a) { return std::exp(a); })
            .Case("math.exp2", [](double a) { return std::exp2(a); })
            .Case("math.expm1", [](double a) { return std::expm1(a); })
            .Case("math.log", [](double a) { return std::log(a); })
            .Case("math.log2", [](double a) { return std::log2(a); })
            .Case("math.log1p", [](double a) { return std::log1p(a); })
            .Case("math.sqrt", [](double a) { return std::sqrt(a); })
            .Case("math.rsqrt", [](double a) { return 1.0 / std::sqrt(a); })
            .Case("math.tanh", [](double a) { return std::tanh(a); })
            .Case("math.sin", [](double a) { return std::sin(a); })
            .Case("math.cos", [](double a) { return std::cos(a); })
            .Case("math.sinh", [](double a) { return std::sinh(a); })
            .Case("math.cosh", [](double a) { return std::cosh(a); })
            .Case("math.atan", [](double a) { return std::atan(a); })
            .Case("math.erf", [](double a) { return std::erf(a); })
            .Case("math.absf", [](double a) { return std::fabs(a); })
            .Case("math.floor", [](double a) { return std::floor(a); })
            .Case("math.ceil", [](double a) { return std::ceil(a); })
            .Case("weir.sigmoid", sigmoid)
            .Case("weir.silu", [](double a) { return a * sigmoid(a); })
            .Case("weir.gelu", [](double a) { return 0.5 * a * std::erfc(-a * M_SQRT1_2); })
            .Case("weir.relu", [](double a) { return std::fmax(a, 0.0); })
            .Case("weir.gelu_tanh",
                  [](double a) {
                    return 0.5 * a *
                           (1.0 + std::tanh(std::sqrt(2.0 / M_PI) * (a + 0.044715 * a * a * a)));
                  })
            .Case("weir.relu_squared", [](double a) { return a > 0.0 ? a * a : 0.0; })
            .Case("math.roundeven", [](double a) { return std::nearbyint(a); })
            .Case("weir.softplus", softplus)
            .Case("weir.log_sigmoid", [](double a) { return -softplus(-a); })
            .Case("weir.positive", [](double a) { return a >= 0.0 ? a + 0.5 : sigmoid(a); })
            .Default(nullptr);
    if (function) return function(x[0]);
  }
  if (x.size() == 2) {
    using Function = double (*)(double, double);
    auto function =
        llvm::StringSwitch<Function>(name)
            .Cases({"arith.addf", "arith.addi"}, [](double a, double b) { return a + b; })
            .Cases({"arith.subf", "arith.subi"}, [](double a, double b) { return a - b; })
            .Cases({"arith.mulf", "arith.muli"}, [](double a, double b) { return a * b; })
            .Case("arith.divf", [](double a, double b) { return a / b; })
            .Case("arith.divsi", [](double a, double b) { return std::trunc(a / b); })
            .Case("arith.remsi", [](double a, double b) { return std::fmod(a, b); })
            .Cases({"arith.maximumf", "arith.maxnumf", "arith.maxsi"},
                   [](double a, double b) { return std::fmax(a, b); })
            .Cases({"arith.minimumf", "arith.minnumf", "arith.minsi"},
                   [](double a, double b) { return std::fmin(a, b); })
            .Case("arith.andi", [](double a, double b) { return double(int64_t(a) & int64_t(b)); })
            .Case("arith.ori", [](double a, double b) { return double(int64_t(a) | int64_t(b)); })
            .Case("math.powf", [](double a, double b) { return std::pow(a, b); })
            .Default(nullptr);
    if (function) return function(x[0], x[1]);
  }
  if (isa<arith::SelectOp>(op)) return x[0] != 0.0 ? x[1] : x[2];
  if (isa<math::FmaOp>(op)) return std::fma(x[0], x[1], x[2]);
  return std::nullopt;
}

HostTensor evaluateConstant(arith::ConstantOp op) {
  HostTensor result = HostTensor::zeros(shapeOf(op.getType()));
  if (auto dense = dyn_cast<DenseElementsAttr>(op.getValue())) {
    int64_t i = 0;
    if (isa<FloatType>(dense.getElementType())) {
      for (APFloat value : dense.getValues<APFloat>()) result.data[i++] = value.convertToDouble();
    } else {
      for (APInt value : dense.getValues<APInt>()) result.data[i++] = value.getSExtValue();
    }
    return result;
  }
  if (auto value = dyn_cast<FloatAttr>(op.getValue())) result.data[0] = value.getValueAsDouble();
  if (auto value = dyn_cast<IntegerAttr>(op.getValue()))
    result.data[0] =
        value.getType().isInteger(1) ? value.getValue().getZExtValue() : double(value.getInt());
  return result;
}

}  // namespace

HostTensor HostTensor::zeros(ArrayRef<int64_t> shape, double value) {
  int64_t size = 1;
  for (int64_t extent : shape) size *= extent;
  return {shape.vec(), std::vector<double>(size, value)};
}

int64_t HostTensor::offset(ArrayRef<int64_t> index) const {
  int64_t result = 0;
  for (auto [i, extent] : llvm::zip_equal(index, shape)) {
    if (i < 0 || i >= extent) llvm::report_fatal_error("evaluator: index out of bounds");
    result = result * extent + i;
  }
  return result;
}

void forEachIndex(ArrayRef<int64_t> shape, llvm::function_ref<void(ArrayRef<int64_t>)> f) {
  if (llvm::is_contained(shape, 0)) return;
  SmallVector<int64_t> index(shape.size(), 0);
  while (true) {
    f(index);
    int64_t dim = static_cast<int64_t>(shape.size()) - 1;
    for (; dim >= 0; --dim) {
      if (++index[dim] < shape[dim]) break;
      index[dim] = 0;
    }
    if (dim < 0) return;
  }
}

FailureOr<std::vector<HostTensor>> Evaluator::run(func::FuncOp func,
                                                  ArrayRef<HostTensor> arguments) {
  Env env;
  for (auto [argument, value] : llvm::zip_equal(func.getArguments(), arguments))
    env[argument] = value;
  if (failed(runBlock(func.front(), env))) return failure();
  std::vector<HostTensor> results;
  for (Value value : func.front().getTerminator()->getOperands()) results.push_back(env.at(value));
  return results;
}

LogicalResult Evaluator::runBlock(Block& block, Env& env) {
  for (Operation& op : block.without_terminator())
    if (failed(runOp(op, env))) return failure();
  return success();
}

LogicalResult Evaluator::runElementwise(Operation& op, Env& env) {
  HostTensor result = HostTensor::zeros(shapeOf(op.getResult(0).getType()));
  for (size_t i = 0; i < result.data.size(); ++i) {
    SmallVector<double> operands;
    for (Value operand : op.getOperands()) {
      const HostTensor& value = env.at(operand);
      operands.push_back(value.data[value.data.size() == 1 ? 0 : i]);
    }
    std::optional<double> value = evaluateScalar(op, operands);
    if (!value) return op.emitOpError("is unknown to the evaluator");
    result.data[i] = *value;
  }
  env[op.getResult(0)] = std::move(result);
  return success();
}

LogicalResult Evaluator::runGeneric(linalg::GenericOp op, Env& env) {
  std::vector<HostTensor> results;
  for (Value init : op.getDpsInits()) results.push_back(env.at(init));
  Block& body = *op.getBody();
  LogicalResult status = success();
  forEachIndex(op.getStaticLoopRanges(), [&](ArrayRef<int64_t> index) {
    if (failed(status)) return;
    auto offsetIn = [&](const HostTensor& tensor, AffineMap map) {
      SmallVector<int64_t> position;
      for (AffineExpr expr : map.getResults()) {
        SmallVector<AffineExpr> dims;
        for (int64_t i : index) dims.push_back(getAffineConstantExpr(i, op.getContext()));
        position.push_back(cast<AffineConstantExpr>(expr.replaceDims(dims)).getValue());
      }
      return tensor.offset(position);
    };
    for (OpOperand& operand : op->getOpOperands()) {
      const HostTensor& tensor = op.isDpsInit(&operand)
                                     ? results[operand.getOperandNumber() - op.getNumDpsInputs()]
                                     : env.at(operand.get());
      env[op.getMatchingBlockArgument(&operand)] = {
          {}, {tensor.data[offsetIn(tensor, op.getMatchingIndexingMap(&operand))]}};
    }
    point.assign(index.begin(), index.end());
    status = runBlock(body, env);
    if (failed(status)) return;
    for (auto [i, value] : llvm::enumerate(body.getTerminator()->getOperands())) {
      AffineMap map = op.getMatchingIndexingMap(op.getDpsInitOperand(i));
      results[i].data[offsetIn(results[i], map)] = env.at(value).data[0];
    }
  });
  for (auto [result, value] : llvm::zip_equal(op.getResults(), results))
    env[result] = std::move(value);
  return status;
}

/// Decomposes the op in place, runs what it consists of, and takes that away again.
LogicalResult Evaluator::runDecomposition(linalg::AggregatedOpInterface op, Env& env) {
  OpBuilder builder(op);
  Operation* before = op->getPrevNode();
  FailureOr<SmallVector<Value>> values = op.decomposeOperation(builder);
  if (failed(values)) return failure();
  Block* block = op->getBlock();
  SmallVector<Operation*> parts;
  for (Operation* part = before ? before->getNextNode() : &block->front(); part != op;
       part = part->getNextNode())
    parts.push_back(part);
  LogicalResult status = success();
  for (Operation* part : parts)
    if (succeeded(status)) status = runOp(*part, env);
  if (succeeded(status)) {
    for (auto [result, value] : llvm::zip_equal(op->getResults(), *values)) {
      HostTensor copy = env.at(value);
      env[result] = std::move(copy);
    }
  }
  // Their values go with them: an address may come back as another value's.
  for (Operation* part : llvm::reverse(parts)) {
    for (Value result : part->getResults()) env.erase(result);
    part->erase();
  }
  return status;
}

LogicalResult Evaluator::runOp(Operation& op, Env& env) {
  if (auto constant = dyn_cast<arith::ConstantOp>(op)) {
    env[constant] = evaluateConstant(constant);
    return success();
  }
  if (isa<tensor::EmptyOp>(op)) {
    env[op.getResult(0)] = HostTensor::zeros(shapeOf(op.getResult(0).getType()), std::nan(""));
    return success();
  }
  if (auto fill = dyn_cast<linalg::FillOp>(op)) {
    env[fill.getResult(0)] = HostTensor::zeros(shapeOf(fill.getResult(0).getType()),
                                               env.at(fill.getInputs()[0]).data[0]);
    return success();
  }
  if (auto index = dyn_cast<linalg::IndexOp>(op)) {
    env[index] = {{}, {static_cast<double>(point[index.getDim()])}};
    return success();
  }
  if (auto generic = dyn_cast<linalg::GenericOp>(op)) return runGeneric(generic, env);
  if (auto scan = dyn_cast<ScanOp>(op)) return runScan(scan, env);
  if (auto scan = dyn_cast<ScanVjpOp>(op)) return runScanVjp(scan, env);
  if (auto gather = dyn_cast<GatherRowsOp>(op)) return runGatherRows(gather, env);
  if (auto scatter = dyn_cast<ScatterRowsOp>(op)) return runScatterRows(scatter, env);
  if (auto recurrence = dyn_cast<RecurrenceOp>(op)) return runRecurrence(recurrence, env);
  if (isa<tensor::ExpandShapeOp, tensor::CollapseShapeOp, tensor::CastOp>(op)) {
    HostTensor value = env.at(op.getOperand(0));
    value.shape = shapeOf(op.getResult(0).getType());
    env[op.getResult(0)] = std::move(value);
    return success();
  }
  // Slices that drop unit dimensions keep the order of elements: sizes with
  // their ones and the reduced shape agree.
  if (auto extract = dyn_cast<tensor::ExtractSliceOp>(op)) {
    const HostTensor& source = env.at(extract.getSource());
    HostTensor result = HostTensor::zeros(shapeOf(extract.getType()));
    int64_t next = 0;
    forEachIndex(extract.getStaticSizes(), [&](ArrayRef<int64_t> index) {
      SmallVector<int64_t> at(index);
      for (auto [i, offset, stride] :
           llvm::zip_equal(at, extract.getStaticOffsets(), extract.getStaticStrides()))
        i = i * stride + offset;
      result.data[next++] = source.data[source.offset(at)];
    });
    env[extract] = std::move(result);
    return success();
  }
  if (auto insert = dyn_cast<tensor::InsertSliceOp>(op)) {
    const HostTensor& source = env.at(insert.getSource());
    HostTensor result = env.at(insert.getDest());
    int64_t next = 0;
    forEachIndex(insert.getStaticSizes(), [&](ArrayRef<int64_t> index) {
      SmallVector<int64_t> at(index);
      for (auto [i, offset, stride] :
           llvm::zip_equal(at, insert.getStaticOffsets(), insert.getStaticStrides()))
        i = i * stride + offset;
      result.data[result.offset(at)] = source.data[next++];
    });
    env[insert] = std::move(result);
    return success();
  }
  if (auto concat = dyn_cast<tensor::ConcatOp>(op)) {
    HostTensor result = HostTensor::zeros(shapeOf(concat.getType()));
    int64_t start = 0;
    for (Value input : concat.getInputs()) {
      const HostTensor& part = env.at(input);
      forEachIndex(part.shape, [&](ArrayRef<int64_t> index) {
        SmallVector<int64_t> at(index);
        at[concat.getDim()] += start;
        result.data[result.offset(at)] = part.data[part.offset(index)];
      });
      start += part.shape[concat.getDim()];
    }
    env[concat] = std::move(result);
    return success();
  }
  if (auto aggregated = dyn_cast<linalg::AggregatedOpInterface>(op);
      aggregated && isa<ShapedType>(op.getResult(0).getType()))
    return runDecomposition(aggregated, env);
  if (op.getNumResults() == 1 && op.getNumRegions() == 0) return runElementwise(op, env);
  return op.emitOpError("is unknown to the evaluator");
}

}  // namespace weir
