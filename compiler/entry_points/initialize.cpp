#include "compiler/entry_points/initialize.h"

#include <cmath>

#include "compiler/dialect/elementwise_ops.h"
#include "compiler/dialect/linalg_builder.h"
#include "compiler/dialect/sizes.h"
#include "compiler/entry_points/arguments.h"
#include "compiler/entry_points/entry_function.h"
#include "mlir/Dialect/Arith/IR/Arith.h"

namespace weir {
using namespace mlir;

namespace {

/// Streams of parameters; those of dropout count from 0.
constexpr int64_t kFirstStream = int64_t{1} << 30;

Value initialValue(LinalgBuilder& l, Location loc, const Initializer& init, RankedTensorType type,
                   Value rng, int64_t number) {
  Type element = type.getElementType();
  ArrayRef<int64_t> shape = type.getShape();
  if (init.kind == "zeros" || init.kind == "ones" || init.kind == "constant")
    return l.filled(init.kind == "zeros"  ? 0
                    : init.kind == "ones" ? 1
                                          : *init.value,
                    shape, element);

  OpBuilder& b = l.builder();
  Type i64 = b.getI64Type();
  // Outside of the body, so that parameters of one shape share a kernel.
  ElementwiseBuilder outer(b, loc);
  Value firstStream = outer.integer(kFirstStream + 2 * number, i64);
  Value secondStream = outer.integer(kFirstStream + 2 * number + 1, i64);
  Value scale = outer.constant(*init.value, element);
  auto entry = [&](int64_t position) {
    return AffineMap::get(shape.size(), 0, b.getAffineConstantExpr(position));
  };
  return l.elementwise(
      shape, element, {rng, rng}, {entry(0), entry(1)}, [&](ElementwiseBuilder e, ValueRange v) {
        Value position = e.integer(0, i64);
        for (unsigned dim = 0; dim < shape.size(); ++dim)
          position =
              e.addIntegers(e.mulIntegers(position, e.integer(shape[dim], i64)), e.index(dim, i64));
        auto draw = [&](Value stream) -> Value {
          return RandomUniformOp::create(e.builder(), loc, element, v[0], v[1], stream, position);
        };
        Value u = draw(firstStream), one = e.constant(1, element), two = e.constant(2, element);
        if (init.kind == "uniform") return e.mul(scale, e.sub(e.mul(two, u), one));
        // Box and Muller; 1 - u is never zero.
        Value radius = e.sqrt(e.mul(e.constant(-2, element), e.log(e.sub(one, u))));
        return e.mul(
            scale, e.mul(radius, e.cos(e.mul(e.constant(2 * M_PI, element), draw(secondStream)))));
      });
}

}  // namespace

SmallVector<ParameterInit> parametersOf(func::FuncOp model) {
  SmallVector<ParameterInit> parameters;
  for (unsigned i = 0; i < model.getNumArguments(); ++i) {
    StringRef name = stringAttr(model.getArgAttr(i, kParamAttr));
    if (name.empty()) continue;
    parameters.push_back({name.str(), cast<RankedTensorType>(model.getArgument(i).getType()),
                          stringAttr(model.getArgAttr(i, kInitAttr), "zeros").str()});
  }
  return parameters;
}

SmallVector<ParameterInit> statesOf(func::FuncOp model) {
  SmallVector<ParameterInit> states;
  for (unsigned i = 0; i < model.getNumArguments(); ++i)
    if (StringRef name = stringAttr(model.getArgAttr(i, kStateAttr)); !name.empty())
      states.push_back({stateVariable(name), cast<RankedTensorType>(model.getArgument(i).getType()),
                        stringAttr(model.getArgAttr(i, kInitAttr), "zeros").str()});
  return states;
}

FailureOr<Value> initialState(LinalgBuilder& l, Location loc, StringRef name, StringRef text,
                              RankedTensorType type) {
  std::string error;
  FailureOr<Initializer> init = Initializer::parse(text, error);
  if (failed(init)) {
    emitError(loc) << "state '" << name << "': " << error;
    return failure();
  }
  if (init->kind != "zeros" && init->kind != "ones" && init->kind != "constant") {
    emitError(loc) << "state '" << name << "' cannot start as " << text
                   << "; a state starts as zeros, ones or constant(x)";
    return failure();
  }
  double value = init->kind == "ones" ? 1 : init->kind == "constant" ? *init->value : 0;
  if (isa<FloatType>(type.getElementType()))
    return l.filled(value, type.getShape(), type.getElementType());
  // Counters and ids.
  return l.elementwise(type.getShape(), type.getElementType(), {}, {},
                       [&](ElementwiseBuilder e, ValueRange) {
                         return e.integer(static_cast<int64_t>(value), type.getElementType());
                       });
}

LogicalResult addResetEntry(ModuleOp module, ArrayRef<ParameterInit> states) {
  EntryFunction entry(module, "reset");
  LinalgBuilder l(entry.builder(), entry.loc());
  for (const ParameterInit& state : states) {
    FailureOr<Value> initial = initialState(l, entry.loc(), state.name, state.init, state.type);
    if (failed(initial)) return failure();
    entry.newValue(state.name, *initial);
  }
  entry.finish();
  return success();
}

LogicalResult addInitEntry(ModuleOp module, ArrayRef<ParameterInit> parameters,
                           ArrayRef<ParameterInit> zeroed) {
  OpBuilder b = OpBuilder::atBlockEnd(module.getBody());
  Type rngType = RankedTensorType::get({2}, b.getI64Type());
  SmallVector<Type> results;
  SmallVector<Attribute> resultAttrs;
  auto variable = [&](StringRef name) {
    return b.getDictionaryAttr(b.getNamedAttr(kVariableAttr, b.getStringAttr(name)));
  };
  for (ArrayRef<ParameterInit> list : {parameters, zeroed})
    for (const ParameterInit& parameter : list) {
      results.push_back(parameter.type);
      resultAttrs.push_back(variable(parameter.name));
    }
  auto init = func::FuncOp::create(b, module.getLoc(), "init", b.getFunctionType(rngType, results));
  init->setAttr(kEntryAttr, b.getUnitAttr());
  init.setArgAttrsAttr(b.getArrayAttr({variable(kRngVariable)}));
  init.setResAttrsAttr(b.getArrayAttr(resultAttrs));
  Block* body = init.addEntryBlock();
  b.setInsertionPointToStart(body);
  LinalgBuilder l(b, module.getLoc());
  SmallVector<Value> values;
  for (auto [number, parameter] : llvm::enumerate(parameters)) {
    std::string error;
    FailureOr<Initializer> initializer = Initializer::parse(parameter.init, error);
    if (failed(initializer))
      return module.emitError() << "parameter '" << parameter.name << "': " << error;
    if (initializer->kind == "linear")
      return module.emitError() << "parameter '" << parameter.name
                                << "' starts as linear, but its fan-in is not known";
    values.push_back(initialValue(l, module.getLoc(), *initializer, parameter.type,
                                  body->getArgument(0), number));
  }
  for (const ParameterInit& tensor : zeroed)
    values.push_back(l.filled(0, tensor.type.getShape(), tensor.type.getElementType()));
  func::ReturnOp::create(b, module.getLoc(), values);
  return success();
}

}  // namespace weir
