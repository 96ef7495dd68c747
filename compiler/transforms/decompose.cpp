// Brings a function to the level that fusion and dispatch work on: linalg.generic, fills, views and
// kernel roots.
//
// Every op that isn't a kernel of its own says what it means by `decomposeOperation`; this pass
// asks until none is left. What remains is arithmetic on tensors, for which upstream has the
// patterns. Constants that are the same everywhere become scalars captured by bodies: as tensors
// they would be buffers.

#include "llvm/ADT/StringSet.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Linalg/Transforms/Transforms.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

#include "compiler/dialect/dialect.h"
#include "compiler/dialect/interfaces.h"
#include "compiler/dialect/sequence_interfaces.h"
#include "compiler/transforms/decompose_pass.h"
#include "compiler/transforms/op_kinds.h"
#include "compiler/transforms/sink_widening.h"

namespace weir {

#define GEN_PASS_DEF_DECOMPOSE
#include "compiler/transforms/decompose_pass.h.inc"

using namespace mlir;

namespace {

bool isElementwiseOnTensors(Operation* op) {
  return OpTrait::hasElementwiseMappableTraits(op) && op->getNumResults() > 0 &&
         llvm::all_of(op->getResultTypes(), llvm::IsaPred<RankedTensorType>);
}

/// Whether the loops are still bounded by a plain dimension of an operand when `dropped` is gone.
bool boundsLoopsWithout(linalg::GenericOp op, ArrayRef<unsigned> dropped) {
  llvm::SmallBitVector bounded(op.getNumLoops());
  for (auto [i, map] : llvm::enumerate(op.getIndexingMapsArray())) {
    if (llvm::is_contained(dropped, i)) continue;
    for (AffineExpr expr : map.getResults()) {
      if (auto dim = dyn_cast<AffineDimExpr>(expr)) bounded.set(dim.getPosition());
    }
  }
  return bounded.all();
}

/// The scalar that `value` holds at every place, built at `b`'s insertion point; null if there is
/// none.
Value scalarEverywhere(OpBuilder& b, Value value) {
  if (!isa<ShapedType>(value.getType())) return value;
  Type element = getElementTypeOrSelf(value.getType());
  if (auto fill = value.getDefiningOp<linalg::FillOp>()) {
    Value scalar = fill.getInputs()[0];
    return scalar.getType() == element ? scalar : Value();
  }
  SplatElementsAttr splat;
  if (!matchPattern(value, m_Constant(&splat)) || isa<ComplexType>(element)) return {};
  return arith::ConstantOp::create(b, value.getLoc(),
                                   cast<TypedAttr>(splat.getSplatValue<Attribute>()));
}

/// Inputs that hold one value everywhere become captured scalars.
struct CaptureScalarInputs : OpRewritePattern<linalg::GenericOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(linalg::GenericOp op, PatternRewriter& rewriter) const override {
    SmallVector<unsigned> dropped;
    SmallVector<Value> scalars;
    for (OpOperand* input : op.getDpsInputOperands()) {
      unsigned number = input->getOperandNumber();
      dropped.push_back(number);
      Value scalar =
          boundsLoopsWithout(op, dropped) ? scalarEverywhere(rewriter, input->get()) : Value();
      if (scalar) {
        scalars.push_back(scalar);
      } else {
        dropped.pop_back();
      }
    }
    if (dropped.empty()) return failure();

    SmallVector<Value> inputs;
    SmallVector<AffineMap> maps;
    for (auto [i, map] : llvm::enumerate(op.getIndexingMapsArray())) {
      if (llvm::is_contained(dropped, i)) continue;
      maps.push_back(map);
      if (i < static_cast<size_t>(op.getNumDpsInputs())) inputs.push_back(op.getInputs()[i]);
    }
    auto replacement = linalg::GenericOp::create(rewriter, op.getLoc(), op.getResultTypes(), inputs,
                                                 op.getOutputs(), maps, op.getIteratorTypesArray());
    Block* from = op.getBody();
    SmallVector<Type> types;
    SmallVector<Location> locs;
    for (BlockArgument argument : from->getArguments()) {
      if (llvm::is_contained(dropped, argument.getArgNumber())) continue;
      types.push_back(argument.getType());
      locs.push_back(argument.getLoc());
    }
    Block* to = rewriter.createBlock(&replacement.getRegion(), {}, types, locs);
    SmallVector<Value> arguments;
    unsigned scalar = 0, kept = 0;
    for (BlockArgument argument : from->getArguments()) {
      bool isDropped = llvm::is_contained(dropped, argument.getArgNumber());
      arguments.push_back(isDropped ? scalars[scalar++] : Value(to->getArgument(kept++)));
    }
    rewriter.mergeBlocks(from, to, arguments);
    rewriter.replaceOp(op, replacement);
    return success();
  }
};

/// Destinations whose old values nobody reads must not look like inputs.
struct DropUnreadDestinations : OpRewritePattern<linalg::GenericOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(linalg::GenericOp op, PatternRewriter& rewriter) const override {
    bool changed = false;
    for (OpOperand& init : op.getDpsInitsMutable()) {
      if (op.payloadUsesValueFromOperand(&init) || init.get().getDefiningOp<tensor::EmptyOp>())
        continue;
      auto type = dyn_cast<RankedTensorType>(init.get().getType());
      if (!type || !type.hasStaticShape()) continue;
      Value empty =
          tensor::EmptyOp::create(rewriter, op.getLoc(), type.getShape(), type.getElementType());
      rewriter.modifyOpInPlace(op, [&] { init.set(empty); });
      changed = true;
    }
    return success(changed);
  }
};

/// linalg.contract, linalg.broadcast, linalg.reduce and so on; fills stay.
struct Generalize : OpInterfaceRewritePattern<linalg::LinalgOp> {
  using OpInterfaceRewritePattern::OpInterfaceRewritePattern;

  LogicalResult matchAndRewrite(linalg::LinalgOp op, PatternRewriter& rewriter) const override {
    if (isa<linalg::GenericOp, linalg::FillOp>(op.getOperation())) return failure();
    Attribute tiles = op->getAttr(kTilesAttr);
    FailureOr<linalg::GenericOp> generic = linalg::generalizeNamedOp(rewriter, op);
    if (succeeded(generic) && tiles) (*generic)->setAttr(kTilesAttr, tiles);
    return generic;
  }
};

struct Decompose : impl::DecomposeBase<Decompose> {
  using DecomposeBase::DecomposeBase;

  void runOnOperation() override {
    func::FuncOp function = getOperation();
    if (function.isExternal()) return;
    if (failed(decomposeAll(function))) return signalPassFailure();

    RewritePatternSet sinking(&getContext());
    populateSinkWideningPatterns(sinking);
    if (failed(applyPatternsGreedily(function, std::move(sinking)))) return signalPassFailure();

    RewritePatternSet patterns(&getContext());
    linalg::populateElementwiseToLinalgConversionPatterns(patterns);
    patterns.add<CaptureScalarInputs, DropUnreadDestinations, Generalize,
                 linalg::DecomposePadOpPattern>(&getContext());
    SmallVector<Operation*> ops;
    forEachOp(function.getBody(), [&](Operation* op) { ops.push_back(op); });
    GreedyRewriteConfig config;
    config.setStrictness(GreedyRewriteStrictness::ExistingAndNewOps);
    if (failed(applyOpPatternsGreedily(ops, std::move(patterns), config)))
      return signalPassFailure();
    fillConstants(function);
  }

 private:
  bool isKept(Operation* op, const llvm::StringSet<>& names) {
    if (names.contains(op->getName().getStringRef())) return true;
    if (isKernelOrProducts(op)) return whole && isKernelRoot(op);
    if (isKernelRoot(op)) return true;
    return keepDifferentiable && isa<DifferentiableOpInterface>(op);
  }

  /// The ops on whole tensors: those of the function, and those of the steps of recurrences, which
  /// stay as they are written until they are differentiated.
  void forEachOp(Region& region, llvm::function_ref<void(Operation*)> visit) {
    for (Block& block : region)
      for (Operation& op : block) {
        visit(&op);
        if (!keepDifferentiable && isa<RegionArgumentsOpInterface>(&op))
          for (Region& step : op.getRegions()) forEachOp(step, visit);
      }
  }

  LogicalResult decomposeAll(func::FuncOp function) {
    llvm::StringSet<> names;
    for (const std::string& name : keep) names.insert(name);
    // Bodies of structured ops hold scalars: emitters evaluate those. Only ops on whole tensors are
    // taken apart.
    std::vector<Operation*> worklist;
    forEachOp(function.getBody(), [&](Operation* op) { worklist.push_back(op); });
    IRRewriter rewriter(&getContext());
    while (!worklist.empty()) {
      Operation* op = worklist.back();
      worklist.pop_back();
      auto aggregated = dyn_cast<linalg::AggregatedOpInterface>(op);
      if (!aggregated || isElementwiseOnTensors(op) || isKept(op, names)) continue;
      rewriter.setInsertionPoint(op);
      Operation* before = op->getPrevNode();
      FailureOr<SmallVector<Value>> values = aggregated.decomposeOperation(rewriter);
      if (failed(values) || values->size() != op->getNumResults()) {
        return op->emitOpError() << "can't be decomposed";
      }
      Attribute tiles = op->getAttr(kTilesAttr);
      bool hasProduct = false;
      for (Operation* added = before ? before->getNextNode() : &op->getBlock()->front();
           added != op; added = added->getNextNode()) {
        worklist.push_back(added);
        auto generic = dyn_cast<linalg::GenericOp>(added);
        if (!tiles || !generic || !isContraction(generic)) continue;
        generic->setAttr(kTilesAttr, tiles);
        hasProduct = true;
      }
      if (tiles && !hasProduct)
        return op->emitOpError() << "has '" << kTilesAttr
                                 << "', but means no product: take it away";
      rewriter.replaceOp(op, *values);
    }
    return success();
  }

  /// Constants that are the same everywhere and are still needed as tensors are filled, not stored.
  void fillConstants(func::FuncOp function) {
    IRRewriter rewriter(&getContext());
    function.walk([&](arith::ConstantOp constant) {
      auto type = dyn_cast<RankedTensorType>(constant.getType());
      if (!type || !isa<SplatElementsAttr>(constant.getValue())) return;
      if (constant->getParentOp() != function || constant->use_empty()) return;
      if (type.getNumElements() == 1 && type.getElementType().isIntOrFloat() &&
          type.getRank() == 0 &&
          llvm::any_of(constant->getUsers(), llvm::IsaPred<tensor::ExtractOp>)) {
        return;
      }
      rewriter.setInsertionPoint(constant);
      Value scalar = scalarEverywhere(rewriter, constant);
      if (!scalar) return;
      Value empty = tensor::EmptyOp::create(rewriter, constant.getLoc(), type.getShape(),
                                            type.getElementType());
      auto fill = linalg::FillOp::create(rewriter, constant.getLoc(), scalar, empty);
      rewriter.replaceOp(constant, fill.getResult(0));
    });
  }
};

}  // namespace
}  // namespace weir
