// The body is cloned op by op into a new block whose arguments have static types; all other types
// follow.

#include "compiler/transforms/specialize.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/AttrTypeSubElements.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

#include "compiler/dialect/model_ops.h"
#include "compiler/dialect/sequence_interfaces.h"
#include "compiler/transforms/infer_types.h"
#include "compiler/transforms/specialize_pass.h"

namespace weir {

#define GEN_PASS_DEF_SPECIALIZE
#include "compiler/transforms/specialize_pass.h.inc"

using namespace mlir;

namespace {

/// f32 to f64 in types and in the numbers that attributes hold.
AttrTypeReplacer makeWidening() {
  AttrTypeReplacer replacer;
  replacer.addReplacement([](Type type) -> std::optional<Type> {
    if (type.isF32()) return Float64Type::get(type.getContext());
    return std::nullopt;
  });
  replacer.addReplacement(
      [](Attribute attribute) -> std::optional<std::pair<Attribute, WalkResult>> {
        auto wide = Float64Type::get(attribute.getContext());
        if (auto number = dyn_cast<FloatAttr>(attribute); number && number.getType().isF32())
          return std::make_pair(Attribute(FloatAttr::get(wide, number.getValueAsDouble())),
                                WalkResult::skip());
        auto dense = dyn_cast<DenseFPElementsAttr>(attribute);
        if (!dense || !dense.getElementType().isF32()) return std::nullopt;
        DenseElementsAttr widened = dense.mapValues(wide, [](const APFloat& value) {
          APFloat result = value;
          bool losesInfo;
          result.convert(APFloat::IEEEdouble(), APFloat::rmNearestTiesToEven, &losesInfo);
          return result.bitcastToAPInt();
        });
        return std::make_pair(Attribute(widened), WalkResult::skip());
      });
  return replacer;
}

class Specializer {
 public:
  Specializer(func::FuncOp function, const Specialization& specialization)
      : function(function),
        specialization(specialization),
        builder(function.getContext()),
        widening(makeWidening()) {}

  LogicalResult run() {
    Block& old = function.getBody().front();
    Block* body = builder.createBlock(&function.getBody());
    for (BlockArgument argument : old.getArguments()) {
      FailureOr<Type> type = argumentType(argument);
      if (failed(type)) return failure();
      mapping.map(argument, body->addArgument(*type, argument.getLoc()));
    }
    for (Operation& op : old)
      if (failed(specializeOp(&op))) return failure();
    old.dropAllReferences();
    for (Operation& op : llvm::make_early_inc_range(llvm::reverse(old))) {
      op.dropAllUses();
      op.erase();
    }
    old.erase();
    for (Operation& op : llvm::make_early_inc_range(llvm::reverse(*body)))
      if (isOpTriviallyDead(&op)) op.erase();
    dropUnusedCounter(*body);
    function.setFunctionType(builder.getFunctionType(body->getArgumentTypes(),
                                                     body->getTerminator()->getOperandTypes()));
    return verify(function);
  }

 private:
  Type widen(Type type) { return specialization.isF64 ? widening.replace(type) : type; }

  /// The first dimension of what the model is given is the batch, the second the time; states have
  /// no time.
  FailureOr<Type> argumentType(BlockArgument argument) {
    auto type = dyn_cast<RankedTensorType>(argument.getType());
    if (!type) return argument.getType();
    bool isState = static_cast<bool>(function.getArgAttr(argument.getArgNumber(), "weir.state"));
    SmallVector<int64_t> shape(type.getShape());
    for (auto [index, size] : llvm::enumerate(shape)) {
      if (!ShapedType::isDynamic(size)) continue;
      if (index > (isState ? 0 : 1)) {
        function.emitError() << "argument #" << argument.getArgNumber() << " is a " << type
                             << ", of which dimension " << index
                             << " is open, but neither batch nor time";
        return failure();
      }
      size = index == 0 ? specialization.batch : specialization.time;
    }
    return widen(RankedTensorType::get(shape, type.getElementType(), type.getEncoding()));
  }

  LogicalResult specializeOp(Operation* op) {
    if (auto dim = dyn_cast<DimOp>(op)) {
      auto type = cast<RankedTensorType>(mapping.lookup(dim.getInput()).getType());
      mapping.map(dim.getResult(), arith::ConstantIndexOp::create(
                                       builder, dim.getLoc(), type.getDimSize(dim.getDimension()))
                                       .getResult());
      return success();
    }
    if (auto random = dyn_cast<RandomOpInterface>(op); random && !specialization.isTraining) {
      mapping.map(op->getResult(0), mapping.lookup(random.deterministicResult()));
      return success();
    }
    FailureOr<Operation*> clone = cloneWithInference(
        builder, op, mapping, op->getLoc(), [&](Operation* inner) { return specializeOp(inner); },
        [&](Operation* clone) {
          if (specialization.isF64)
            widenOp(clone, /*withRegions=*/!isa<RegionArgumentsOpInterface>(op));
          return success();
        });
    if (failed(clone)) return failure();
    if (!*clone) return success();
    if (!(*clone)->hasTrait<OpTrait::IsTerminator>() && failed(verify(*clone))) return failure();
    return fold(op, *clone);
  }

  void widenOp(Operation* op, bool withRegions) {
    if (withRegions)
      widening.recursivelyReplaceElementsIn(op, /*replaceAttrs=*/true, /*replaceLocs=*/false,
                                            /*replaceTypes=*/true);
    else
      widening.replaceElementsIn(op, /*replaceAttrs=*/true, /*replaceLocs=*/false,
                                 /*replaceTypes=*/true);
  }

  /// Arithmetic on sizes becomes numbers; anything else stays as it is written.
  LogicalResult fold(Operation* op, Operation* clone) {
    if (clone->getNumResults() == 0 || !llvm::all_of(clone->getResultTypes(), [](Type type) {
          return type.isIntOrIndexOrFloat();
        }))
      return success();
    SmallVector<Value> folded;
    if (failed(builder.tryFold(clone, folded)) || folded.size() != op->getNumResults())
      return success();
    for (auto [result, value] : llvm::zip(op->getResults(), folded)) mapping.map(result, value);
    clone->erase();
    return success();
  }

  void dropUnusedCounter(Block& body) {
    for (BlockArgument argument : llvm::make_early_inc_range(llvm::reverse(body.getArguments()))) {
      unsigned index = argument.getArgNumber();
      if (!argument.use_empty() || !function.getArgAttr(index, "weir.rng")) continue;
      SmallVector<DictionaryAttr> attributes;
      function.getAllArgAttrs(attributes);
      attributes.erase(attributes.begin() + index);
      body.eraseArgument(index);
      function.setFunctionType(
          builder.getFunctionType(body.getArgumentTypes(), function.getResultTypes()));
      function.setAllArgAttrs(attributes);
    }
  }

  func::FuncOp function;
  Specialization specialization;
  OpBuilder builder;
  AttrTypeReplacer widening;
  IRMapping mapping;
};

struct Specialize : impl::SpecializeBase<Specialize> {
  using SpecializeBase::SpecializeBase;

  void runOnOperation() override {
    func::FuncOp function = getOperation();
    if (function.isExternal()) return;
    if (type != "f32" && type != "f64") {
      function.emitError() << "type must be f32 or f64, not '" << type << "'";
      return signalPassFailure();
    }
    if (failed(specializeFunction(function, {batch, time, type == "f64", train})))
      signalPassFailure();
  }
};

}  // namespace

LogicalResult specializeFunction(func::FuncOp function, const Specialization& specialization) {
  if (specialization.batch <= 0 || specialization.time <= 0)
    return function.emitError() << "batch and time must be above 0, not " << specialization.batch
                                << " and " << specialization.time;
  return Specializer(function, specialization).run();
}

}  // namespace weir
