#include "compiler/dialect/region_vjp.h"

#include "compiler/dialect/interfaces.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/TypeUtilities.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "llvm/ADT/STLExtras.h"

namespace weir {

using namespace mlir;

bool isDifferentiableType(Type type) {
  return isa<FloatType, ComplexType>(getElementTypeOrSelf(type));
}

RegionVjp::RegionVjp(OpBuilder& builder, Block& body, ValueRange args)
    : builder(builder), body(body) {
  mapping.map(body.getArguments(), args);
  for (Operation& op : body.without_terminator()) builder.clone(op, mapping);
}

Value RegionVjp::yield(unsigned i) const {
  return mapping.lookupOrDefault(body.getTerminator()->getOperand(i));
}

LogicalResult RegionVjp::pullBack(ValueRange yieldCotangents, ArrayRef<bool> needed,
                                  SmallVectorImpl<Value>& argCotangents) {
  // Forward: which values depend on an argument whose cotangent is wanted.
  DenseSet<Value> active;
  for (auto [arg, wanted] : llvm::zip_equal(body.getArguments(), needed))
    if (wanted && isDifferentiableType(arg.getType())) active.insert(arg);
  for (Operation& op : body.without_terminator()) {
    if (op.hasAttr(kStopGradient)) continue;
    if (llvm::none_of(op.getOperands(), [&](Value v) { return active.contains(v); })) continue;
    for (Value result : op.getResults())
      if (isDifferentiableType(result.getType())) active.insert(result);
  }

  DenseMap<Value, Value> cotangents;
  auto accumulate = [&](Value primal, Value cotangent) {
    if (!cotangent || !active.contains(primal)) return;
    Value& sum = cotangents[primal];
    sum = addCotangents(builder, primal.getLoc(), sum, cotangent);
  };
  for (auto [value, cotangent] :
       llvm::zip_equal(body.getTerminator()->getOperands(), yieldCotangents))
    accumulate(value, cotangent);

  for (Operation& op : llvm::reverse(body.without_terminator())) {
    SmallVector<Value> resultCotangents;
    for (Value result : op.getResults()) resultCotangents.push_back(cotangents.lookup(result));
    if (llvm::none_of(resultCotangents, [](Value v) { return static_cast<bool>(v); })) continue;
    Operation* clone =
        op.getNumResults() ? mapping.lookup(op.getResult(0)).getDefiningOp() : nullptr;
    auto rule = dyn_cast_or_null<DifferentiableOpInterface>(clone);
    if (!rule) {
      return op.emitOpError("has no gradient: it implements no DifferentiableOpInterface");
    }
    SmallVector<bool> wanted;
    for (Value operand : op.getOperands()) wanted.push_back(active.contains(operand));
    SmallVector<Value> operandCotangents;
    if (failed(rule.buildNeededVjp(builder, resultCotangents, wanted, operandCotangents)))
      return failure();
    if (operandCotangents.size() != op.getNumOperands())
      return op.emitOpError("its gradient has ") << operandCotangents.size() << " cotangents for "
                                                 << op.getNumOperands() << " operands";
    for (auto [operand, cotangent] : llvm::zip_equal(op.getOperands(), operandCotangents))
      accumulate(operand, cotangent);
  }
  for (auto [arg, wanted] : llvm::zip_equal(body.getArguments(), needed))
    argCotangents.push_back(wanted ? cotangents.lookup(arg) : Value());
  return success();
}

Value addCotangents(OpBuilder& builder, Location loc, Value a, Value b) {
  if (!a || !b) return a ? a : b;
  // Two rounded terms are joined before rounding.
  auto roundedA = a.getDefiningOp<arith::TruncFOp>(), roundedB = b.getDefiningOp<arith::TruncFOp>();
  if (roundedA && roundedB && roundedA.getIn().getType() == roundedB.getIn().getType()) {
    Value sum = arith::AddFOp::create(builder, loc, roundedA.getIn(), roundedB.getIn());
    return arith::TruncFOp::create(builder, loc, a.getType(), sum);
  }
  return arith::AddFOp::create(builder, loc, a, b);
}

void eraseDeadOps(Block& block) {
  for (Operation& op : llvm::make_early_inc_range(llvm::reverse(block)))
    if (isOpTriviallyDead(&op)) op.erase();
}

}  // namespace weir
