#include "compiler/driver/check/count.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Transforms/RegionUtils.h"

#include "compiler/dialect/dialect.h"
#include "compiler/dialect/embedding_ops.h"
#include "compiler/dialect/recurrence_ops.h"
#include "compiler/dialect/scan_ops.h"
#include "compiler/driver/costs.h"
#include "compiler/entry_points/arguments.h"
#include "compiler/transforms/decompose_pass.h"
#include "compiler/transforms/op_kinds.h"
#include "compiler/transforms/specialize.h"

namespace weir::check {

using namespace mlir;

namespace {

/// The number of an op in the expanded function, which its clones keep.
constexpr llvm::StringLiteral kNumber = "weir.check.number";

double bytesOf(Type type) {
  auto tensor = dyn_cast<RankedTensorType>(type);
  if (!tensor) return 0;
  return static_cast<double>(tensor.getNumElements()) *
         std::max(1u, tensor.getElementTypeBitWidth() / 8);
}

/// Floating-point operations of a body of scalars.
double scalarFlops(Region& body) {
  double flops = 0;
  body.walk([&](Operation* op) {
    if (op->getNumResults() == 0 || op->hasTrait<OpTrait::ConstantLike>() ||
        isa<CastOpInterface, arith::SelectOp>(op) || !isa<FloatType>(op->getResult(0).getType()))
      return;
    flops += op->getNumResults();
  });
  return flops;
}

/// Counts a function that holds one op, taken apart.
class Counter {
 public:
  absl::Status count(func::FuncOp function) {
    for (Block& block : function.getBody()) {
      absl::Status status = count(block, 1);
      if (!status.ok()) return status;
    }
    for (BlockArgument argument : function.getArguments()) bytes += readOf(argument);
    for (Type type : function.getResultTypes()) bytes += bytesOf(type);
    return absl::OkStatus();
  }

  double flops = 0, bytes = 0;
  bool copies() const { return !touches; }

 private:
  absl::Status count(Block& block, double times) {
    for (Operation& op : block) {
      if (isView(&op) || op.hasTrait<OpTrait::ConstantLike>() ||
          op.hasTrait<OpTrait::IsTerminator>() ||
          isa<tensor::EmptyOp, tensor::CastOp, tensor::ExtractOp, linalg::FillOp>(op))
        continue;
      if (llvm::none_of(op.getResultTypes(), llvm::IsaPred<RankedTensorType>)) continue;
      if (auto generic = dyn_cast<linalg::GenericOp>(op)) {
        double points = times;
        for (int64_t extent : generic.getStaticLoopRanges()) points *= extent;
        double each = scalarFlops(generic.getRegion());
        flops += points * each;
        touches |= each > 0;
      } else if (auto scan = dyn_cast<ScanOp>(op)) {
        double points = times;
        scan.materializeRegions();
        for (int64_t extent : scan.getIterationSizes()) points *= extent;
        flops += points * (2 + scalarFlops(scan.getPrologue()) + scalarFlops(scan.getEpilogue()));
        touches = true;
      } else if (auto recurrence = dyn_cast<RecurrenceOp>(op)) {
        auto type = cast<RankedTensorType>(recurrence.getInputs().empty()
                                               ? recurrence.getResults()[0].getType()
                                               : recurrence.getInputs()[0].getType());
        touches = true;
        absl::Status status = count(recurrence.getStep().front(), times * type.getDimSize(1));
        if (!status.ok()) return status;
      } else if (isKernelRoot(&op)) {
        touches = true;  // a lookup: no arithmetic
      } else {
        return absl::UnimplementedError(absl::StrCat(
            "can't count ", op.getName().getStringRef().str(), ", which has no decomposition"));
      }
    }
    return absl::OkStatus();
  }

  /// The bytes of an argument that are read: all, except where rows of it are looked up.
  static double readOf(BlockArgument argument) {
    double rows = 0;
    for (Operation* user : argument.getUsers()) {
      auto gather = dyn_cast<GatherRowsOp>(user);
      if (!gather || gather.getTable() != argument) return bytesOf(argument.getType());
      rows += bytesOf(gather.getResult().getType());
    }
    return std::min(rows, bytesOf(argument.getType()));
  }

  bool touches = false;
};

/// A module with a function that holds a copy of `op` alone.
OwningOpRef<ModuleOp> isolate(Operation* op) {
  OpBuilder b(op->getContext());
  OwningOpRef<ModuleOp> module = ModuleOp::create(op->getLoc());
  b.setInsertionPointToStart(module->getBody());
  SetVector<Value> captured;
  for (Value operand : op->getOperands()) captured.insert(operand);
  getUsedValuesDefinedAbove(op->getRegions(), captured);
  SmallVector<Value> arguments;
  SmallVector<Type> types;
  for (Value value : captured) {
    if (matchPattern(value, m_Constant())) continue;
    arguments.push_back(value);
    types.push_back(value.getType());
  }
  auto function = func::FuncOp::create(b, op->getLoc(), "alone",
                                       b.getFunctionType(types, op->getResultTypes()));
  Block* body = function.addEntryBlock();
  b.setInsertionPointToStart(body);
  IRMapping mapping;
  for (auto [value, argument] : llvm::zip(arguments, body->getArguments()))
    mapping.map(value, argument);
  for (Value value : captured)
    if (!mapping.contains(value)) mapping.map(value, b.clone(*value.getDefiningOp())->getResult(0));
  Operation* copy = b.clone(*op, mapping);
  func::ReturnOp::create(b, op->getLoc(), copy->getResults());
  return module;
}

absl::Status countAlone(Operation* op, CountedOp& counted) {
  OwningOpRef<ModuleOp> module = isolate(op);
  PassManager passes(op->getContext());
  DecomposeOptions decompose;
  decompose.whole = false;
  passes.addNestedPass<func::FuncOp>(createDecompose(decompose));
  std::string name = op->getName().getStringRef().str();
  if (failed(passes.run(*module)))
    return absl::UnimplementedError(absl::StrCat("can't count ", name));
  Counter counter;
  absl::Status status = counter.count(*module->getOps<func::FuncOp>().begin());
  counted.flops = counter.flops;
  counted.bytes = counter.bytes;
  counted.copies = counter.copies();
  return status;
}

}  // namespace

absl::StatusOr<std::vector<CountedOp>> countOps(func::FuncOp expanded, int64_t batch,
                                                int64_t length) {
  OwningOpRef<ModuleOp> module = ModuleOp::create(expanded.getLoc());
  func::FuncOp copy = expanded.clone();
  module->push_back(copy);
  std::vector<CountedOp> all;
  Builder b(expanded.getContext());
  auto numbered = copy.getBody().front().begin();
  for (Operation& op : expanded.getBody().front()) {
    numbered->setAttr(kNumber, b.getI64IntegerAttr(static_cast<int64_t>(all.size())));
    ++numbered;
    all.push_back({&op, costOf(&op), 0, 0});
  }
  if (failed(specializeFunction(copy, {batch, length, /*isF64=*/false, /*isTraining=*/false})))
    return absl::InvalidArgumentError("can't be specialized");
  std::vector<CountedOp> counted;
  for (Operation& op : copy.getBody().front()) {
    auto number = op.getAttrOfType<IntegerAttr>(kNumber);
    bool isTensor = llvm::any_of(op.getResultTypes(), llvm::IsaPred<RankedTensorType>);
    if (!number || !isTensor || op.hasTrait<OpTrait::ConstantLike>()) continue;
    CountedOp entry = all[number.getInt()];
    if (absl::Status status = countAlone(&op, entry); !status.ok()) return status;
    counted.push_back(entry);
  }
  return counted;
}

}  // namespace weir::check
