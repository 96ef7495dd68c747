// The arguments of an expanded model: parameters, states, the random counter, segments and start.

#include "compiler/transforms/expander.h"

#include <cmath>

#include "compiler/dialect/streaming.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/TypeUtilities.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

using namespace mlir;

namespace weir {

/// 2^40 numbers are more than any machine this runs on can hold.
static constexpr int64_t kMaxElements = int64_t{1} << 40;

Value Expander::placeholder(Type type, Location loc) { return placeholders.addArgument(type, loc); }

FailureOr<std::string> Expander::addPath(Operation* op, const Scope& scope, const Twine& path) {
  std::string full = path.str();
  auto [it, isNew] = paths.try_emplace(full, locationOf(op, scope));
  if (isNew) return full;
  InFlightDiagnostic diagnostic = error(op, scope)
                                  << "takes the path '" << full << "', which is taken already";
  diagnostic.attachNote(it->second) << "it was taken here; 'as' gives each its own";
  return failure();
}

/// `linear` depends on the shape; what is left is one of zeros, ones, constant, normal, uniform.
std::string Expander::finalInit(const Initializer& initializer, ArrayRef<int64_t> shape) {
  if (initializer.kind != "linear") return initializer.str();
  double fanIn = 1;
  for (int64_t size : shape.drop_front(shape.empty() ? 0 : 1)) fanIn *= static_cast<double>(size);
  return Initializer{"uniform", 1 / std::sqrt(fanIn)}.str();
}

static bool isSensible(ArrayRef<int64_t> shape) {
  int64_t elements = 1;
  for (int64_t size : shape) {
    if (size <= 0 || size > kMaxElements || elements > kMaxElements / size) return false;
    elements *= size;
  }
  return true;
}

static std::string shapeText(ArrayRef<int64_t> shape) {
  std::string text;
  for (int64_t size : shape) text += (text.empty() ? "" : " x ") + std::to_string(size);
  return text;
}

//===----------------------------------------------------------------------===//
// weir.param, weir.state
//===----------------------------------------------------------------------===//

template <typename Declaration>
LogicalResult Expander::declare(Declaration op, Scope& scope, int64_t leading,
                                SmallVectorImpl<Argument>& arguments) {
  FailureOr<SmallVector<int64_t>> sizes = evaluate(op, op.getSizes(), op.getSizeOperands(), scope);
  if (failed(sizes)) return failure();
  auto declared = cast<RankedTensorType>(op.getType());
  if (!isSensible(*sizes))
    return error(op, scope) << "'" << op.getName() << "' has the sizes " << shapeText(*sizes);
  SmallVector<int64_t> shape(leading, ShapedType::kDynamic);
  llvm::append_range(shape, *sizes);
  auto type = RankedTensorType::get(shape, declared.getElementType());
  if (failed(verifyCompatibleShape(type, declared)))
    return error(op, scope) << "'" << op.getName() << "' has the type " << declared
                            << ", but its sizes make it " << type;

  Initializer initializer;
  std::string message;
  if (Value value = op.getInitValue()) {
    auto number = dyn_cast_or_null<FloatAttr>(scope.constants.lookup(value));
    if (!number || !std::isfinite(number.getValueAsDouble()))
      return error(op, scope) << "'" << op.getName()
                              << "' has an initial value that isn't known when the model is "
                                 "expanded, or is no number";
    initializer = {op.getInit().str(), number.getValueAsDouble()};
  } else {
    initializer = *Initializer::parse(op.getInit(), message);
  }
  FailureOr<std::string> path = addPath(op, scope, scope.prefix + op.getName());
  if (failed(path)) return failure();
  Value value = placeholder(type, locationOf(op, scope));
  arguments.push_back({*path, finalInit(initializer, *sizes), value});
  scope.mapping.map(op.getResult(), value);
  return success();
}

LogicalResult Expander::declareParam(ParamOp op, Scope& scope) {
  return declare(op, scope, 0, parameters);
}

LogicalResult Expander::declareState(StateOp op, Scope& scope) {
  return declare(op, scope, 1, states);
}

//===----------------------------------------------------------------------===//
// Ops with parameters, along time, at random
//===----------------------------------------------------------------------===//

LogicalResult Expander::bindParameters(ParameterizedOpInterface original,
                                       ParameterizedOpInterface clone, Scope& scope) {
  OperandRange sizeOperands = original.getSizeArguments();
  FailureOr<SmallVector<int64_t>> sizes =
      evaluate(original, original.getSizeMap(), sizeOperands, scope);
  if (failed(sizes)) return failure();
  for (int64_t size : *sizes)
    if (size <= 0 || size > kMaxElements) return error(original, scope) << "has the size " << size;
  SmallVector<Type> types;
  unsigned begin = sizeOperands.empty() ? 0 : sizeOperands.getBeginOperandIndex();
  unsigned end = begin + sizeOperands.size();
  for (auto [index, operand] : llvm::enumerate(clone->getOperands()))
    if (index < begin || index >= end) types.push_back(operand.getType());
  SmallVector<ParameterSpec> specs;
  if (failed(clone.parameterSpecs(types, *sizes, specs))) return failure();

  SmallVector<Value> values;
  std::string prefix = scope.prefix;
  if (!original.getParameterScope().empty()) prefix += original.getParameterScope().str() + ".";
  for (const ParameterSpec& spec : specs) {
    auto type = RankedTensorType::get(spec.shape, builder.getF32Type());
    if (!spec.tiedTo.empty()) {
      auto tied =
          llvm::find_if(parameters, [&](const Argument& each) { return each.path == spec.tiedTo; });
      if (tied == parameters.end())
        return error(original, scope) << "shares the parameter '" << spec.tiedTo
                                      << "', but there is none of this path before it";
      if (failed(verifyCompatibleShape(tied->value.getType(), type)))
        return error(original, scope) << "shares the parameter '" << spec.tiedTo << "', which is a "
                                      << tied->value.getType() << ", but it needs a " << type;
      values.push_back(tied->value);
      continue;
    }
    if (!isSensible(spec.shape))
      return error(original, scope)
             << "has a parameter '" << spec.name << "' of the sizes " << shapeText(spec.shape);
    std::string message;
    FailureOr<Initializer> initializer = Initializer::parse(spec.init, message);
    if (failed(initializer)) return error(original, scope) << message;
    FailureOr<std::string> path = addPath(original, scope, prefix + spec.name);
    if (failed(path)) return failure();
    values.push_back(placeholder(type, clone.getLoc()));
    parameters.push_back({*path, finalInit(*initializer, spec.shape), values.back()});
  }
  clone.bindParameters(values, *sizes);
  return success();
}

LogicalResult Expander::bind(Operation* original, Operation* clone, Scope& scope) {
  auto parameterized = dyn_cast<ParameterizedOpInterface>(clone);
  if (parameterized && !parameterized.isBound() &&
      failed(bindParameters(cast<ParameterizedOpInterface>(original), parameterized, scope)))
    return failure();
  if (auto mixing = dyn_cast<TimeMixingOpInterface>(clone)) {
    if (segments && mixing.usesSegments()) mixing.bindSegments(segments);
    if (start && mixing.usesStart()) mixing.bindStart(start);
    // States are named by it (step_form.cpp).
    if (start)
      clone->setAttr(kScopeAttr, builder.getStringAttr(StringRef(scope.prefix).rtrim('.')));
  }
  if (auto random = dyn_cast<RandomOpInterface>(clone)) {
    if (!rng)
      rng = placeholder(RankedTensorType::get({2}, builder.getI64Type()), original->getLoc());
    OpBuilder::InsertionGuard guard(builder);
    builder.setInsertionPoint(clone);
    Value stream = arith::ConstantOp::create(builder, clone->getLoc(),
                                             builder.getI64IntegerAttr(numStreams++));
    random.bindRandom(stream, rng);
  }
  return success();
}

//===----------------------------------------------------------------------===//
// The function
//===----------------------------------------------------------------------===//

void Expander::finish(ModelOp model, func::FuncOp function, ArrayRef<Value> outputs) {
  Block* body = &function.getBody().front();
  SmallVector<Attribute> argumentAttrs, resultAttrs;
  auto dictionary = [&](ArrayRef<std::pair<StringRef, Attribute>> entries) {
    SmallVector<NamedAttribute> attributes;
    for (auto [name, value] : entries) attributes.emplace_back(name, value);
    return builder.getDictionaryAttr(attributes);
  };
  auto text = [&](StringRef value) -> Attribute { return builder.getStringAttr(value); };
  auto add = [&](Value placeholder, DictionaryAttr attributes) {
    placeholder.replaceAllUsesWith(body->addArgument(placeholder.getType(), placeholder.getLoc()));
    argumentAttrs.push_back(attributes);
  };

  for (StringAttr name : model.getArgNames().getAsRange<StringAttr>())
    argumentAttrs.push_back(dictionary({{"weir.input", name}}));
  SmallVector<Value> results(outputs);
  for (size_t index = 0; index < outputs.size(); ++index)
    resultAttrs.push_back(dictionary({{"weir.output", text(std::to_string(index))}}));
  for (const Argument& state : states) {
    results.push_back(nextStates.lookup(state.path));
    resultAttrs.push_back(dictionary({{"weir.state", text(state.path)}}));
  }
  builder.setInsertionPointToEnd(body);
  func::ReturnOp::create(builder, model.getReturn().getLoc(), results);
  // Known operands that turned out to be sizes only are of no use any more, nor are random numbers
  // that nobody draws.
  for (Operation& op : llvm::make_early_inc_range(llvm::reverse(*body)))
    if (isOpTriviallyDead(&op)) op.erase();

  for (const Argument& parameter : parameters)
    add(parameter.value,
        dictionary({{"weir.param", text(parameter.path)}, {"weir.init", text(parameter.init)}}));
  for (const Argument& state : states)
    add(state.value,
        dictionary({{"weir.state", text(state.path)}, {"weir.init", text(state.init)}}));
  if (rng && !rng.use_empty()) add(rng, dictionary({{"weir.rng", builder.getUnitAttr()}}));
  if (segments) add(segments, dictionary({{"weir.segments", builder.getUnitAttr()}}));
  if (start) add(start, dictionary({{"weir.start", builder.getUnitAttr()}}));

  Operation* terminator = body->getTerminator();
  function.setFunctionType(
      builder.getFunctionType(body->getArgumentTypes(), terminator->getOperandTypes()));
  function.setAllArgAttrs(argumentAttrs);
  function.setAllResultAttrs(resultAttrs);
  if (model->hasAttr("linear")) function->setAttr("weir.linear", builder.getUnitAttr());
}

}  // namespace weir
