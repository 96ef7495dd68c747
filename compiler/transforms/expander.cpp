// Expansion is evaluation: the body of the model is walked as a program whose sizes, options and
// cases are known, and whose tensors are not. What is known is kept as constants; every other op is
// cloned into the function with types that follow from its operands.

#include "compiler/transforms/expander.h"

#include "compiler/transforms/infer_types.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/Matchers.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Parser/Parser.h"

using namespace mlir;

namespace weir {

/// Against files that would expand for ever: no sensible model comes near.
static constexpr int64_t kMaxOps = 1'000'000;
static constexpr int64_t kMaxTurns = 100'000;

//===----------------------------------------------------------------------===//
// Values
//===----------------------------------------------------------------------===//

InFlightDiagnostic Expander::error(Operation* op, const Scope& scope) {
  Location loc =
      scope.caller ? Location(CallSiteLoc::get(op->getLoc(), scope.applied)) : op->getLoc();
  return emitError(loc) << "'" << op->getName() << "' op ";
}

Location Expander::locationOf(Operation* op, const Scope& scope) {
  Location loc =
      scope.caller ? Location(CallSiteLoc::get(op->getLoc(), scope.applied)) : op->getLoc();
  std::string path = scope.prefix;
  if (auto parameterized = dyn_cast<ParameterizedOpInterface>(op))
    path += parameterized.getParameterScope();
  StringRef text = StringRef(path).rtrim('.');
  return text.empty() ? loc : Location(NameLoc::get(builder.getStringAttr(text), loc));
}

void Expander::forward(Value from, Scope& fromScope, Value to, Scope& toScope) {
  if (Attribute constant = fromScope.constants.lookup(from)) {
    toScope.constants[to] = constant;
    return;
  }
  toScope.constants.erase(to);
  toScope.mapping.map(to, fromScope.mapping.lookup(from));
}

/// Gives a known operand of an op that stays a value.
LogicalResult Expander::prepareOperand(Operation* op, Value operand, Scope& scope) {
  Attribute constant = scope.constants.lookup(operand);
  if (!constant) return success();
  auto typed = dyn_cast<TypedAttr>(constant);
  if (!typed || isa<ChoiceType>(operand.getType()))
    return error(op, scope) << "can't take a !weir.choice: only 'weir.case' and the options of "
                               "'weir.apply' can";
  scope.mapping.map(operand, arith::ConstantOp::create(builder, locationOf(op, scope), typed));
  return success();
}

FailureOr<SmallVector<int64_t>> Expander::evaluate(Operation* op, AffineMap map,
                                                   ValueRange operands, Scope& scope) {
  if (map.getNumResults() == 0) return SmallVector<int64_t>();
  SmallVector<Attribute> values;
  for (Value operand : operands) {
    Attribute constant = scope.constants.lookup(operand);
    if (!constant) {
      InFlightDiagnostic diagnostic = error(op, scope)
                                      << "has a size that isn't known when the model is expanded";
      if (auto dim = operand.getDefiningOp<DimOp>())
        diagnostic.attachNote(dim.getLoc())
            << "it depends on the " << stringifyAxis(dim.getAxis()) << " of a tensor";
      return failure();
    }
    values.push_back(constant);
  }
  SmallVector<Attribute> folded;
  if (failed(map.constantFold(values, folded))) {
    error(op, scope) << "has a size that can't be computed (a division by zero?)";
    return failure();
  }
  SmallVector<int64_t> sizes;
  for (Attribute size : folded) sizes.push_back(cast<IntegerAttr>(size).getInt());
  return sizes;
}

//===----------------------------------------------------------------------===//
// Ops of the model level
//===----------------------------------------------------------------------===//

LogicalResult Expander::expandBlock(Block& block, Scope& scope) {
  for (Operation& op : block.without_terminator())
    if (failed(expandOp(&op, scope))) return failure();
  return success();
}

LogicalResult Expander::expandOp(Operation* op, Scope& scope) {
  if (++numOps > kMaxOps)
    return error(op, scope) << "is one too many: the model expands to more than " << kMaxOps
                            << " ops";
  if (auto config = dyn_cast<ConfigOp>(op)) return expandConfig(config, scope);
  if (auto dim = dyn_cast<DimOp>(op)) return expandDim(dim, scope);
  if (auto choice = dyn_cast<CaseOp>(op)) return expandCase(choice, scope);
  if (auto repeat = dyn_cast<RepeatOp>(op)) return expandRepeat(repeat, scope);
  if (auto apply = dyn_cast<ApplyOp>(op)) return expandApply(apply, scope);
  if (auto refusal = dyn_cast<RefuseOp>(op)) return error(op, scope) << refusal.getMessage();
  if (auto param = dyn_cast<ParamOp>(op)) return declareParam(param, scope);
  if (auto state = dyn_cast<StateOp>(op)) return declareState(state, scope);
  return expandOther(op, scope);
}

LogicalResult Expander::expandConfig(ConfigOp op, Scope& scope) {
  if (scope.options) {
    if (Attribute given = scope.options.get(op.getName())) {
      std::string message;
      Attribute value = op.convert(given, message);
      if (!value) return error(op, scope) << message;
      scope.constants[op] = value;
      return success();
    }
  }
  if (op.getDefaultValue()) {
    std::string message;
    scope.constants[op] = op.convert(*op.getDefaultValue(), message);
    return success();
  }
  FailureOr<SmallVector<int64_t>> size =
      evaluate(op, *op.getDefaultSize(), op.getSizeOperands(), scope);
  if (failed(size)) return failure();
  scope.constants[op] = builder.getIndexAttr(size->front());
  return success();
}

LogicalResult Expander::expandDim(DimOp op, Scope& scope) {
  Value input = scope.mapping.lookup(op.getInput());
  int64_t size = cast<RankedTensorType>(input.getType()).getDimSize(op.getDimension());
  if (!ShapedType::isDynamic(size)) {
    scope.constants[op] = builder.getIndexAttr(size);
    return success();
  }
  if (op.getAxis() == Axis::Feature)
    return error(op, scope) << "asks for a feature size that isn't known: the tensor is a "
                            << input.getType();
  scope.constants.erase(op);
  scope.mapping.map(op.getResult(), DimOp::create(builder, locationOf(op, scope),
                                                  builder.getIndexType(), input, op.getAxis())
                                        .getResult());
  return success();
}

LogicalResult Expander::expandCase(CaseOp op, Scope& scope) {
  Attribute value = scope.constants.lookup(op.getSelector());
  if (!value)
    return error(op, scope) << "chooses by a value that isn't known when the model is expanded";
  for (auto [label, region] : llvm::zip(op.getLabels(), op.getCases())) {
    if (label != value) continue;
    if (failed(expandBlock(region.front(), scope))) return failure();
    for (auto [from, to] :
         llvm::zip(region.front().getTerminator()->getOperands(), op.getResults()))
      forward(from, scope, to, scope);
    return success();
  }
  return error(op, scope) << "has no region for " << value;
}

LogicalResult Expander::expandRepeat(RepeatOp op, Scope& scope) {
  FailureOr<SmallVector<int64_t>> count = evaluate(op, op.getCount(), op.getCountOperands(), scope);
  if (failed(count)) return failure();
  int64_t turns = count->front();
  if (turns < 0 || turns > kMaxTurns)
    return error(op, scope) << "can't repeat " << turns << " times";
  for (auto [from, to] : llvm::zip(op.getInits(), op.getCarried())) forward(from, scope, to, scope);
  std::string prefix = scope.prefix;
  for (int64_t turn = 0; turn < turns; ++turn) {
    if (op.getInstance())
      scope.prefix = prefix + op.getInstance()->str() + "." + std::to_string(turn) + ".";
    if (op.hasIndex()) scope.constants[op.getBody().getArgument(0)] = builder.getIndexAttr(turn);
    if (++numOps > kMaxOps || failed(expandBlock(op.getBody().front(), scope))) return failure();
    // All results first: an argument may be handed on in another place.
    SmallVector<std::pair<Attribute, Value>> next;
    for (Value value : op.getBody().front().getTerminator()->getOperands()) {
      Attribute constant = scope.constants.lookup(value);
      next.emplace_back(constant, constant ? Value() : scope.mapping.lookup(value));
    }
    for (auto [argument, pair] : llvm::zip(op.getCarried(), next)) {
      scope.constants.erase(argument);
      if (pair.first)
        scope.constants[argument] = pair.first;
      else
        scope.mapping.map(argument, pair.second);
    }
  }
  scope.prefix = prefix;
  for (auto [from, to] : llvm::zip(op.getCarried(), op.getResults()))
    forward(from, scope, to, scope);
  return success();
}

FailureOr<LayerOp> Expander::findLayer(ApplyOp op, const Scope& scope, ModuleOp& home) {
  std::string name = op.getLayer().str();
  for (ModuleOp module : {scope.home, source}) {
    if (auto layer = module.lookupSymbol<LayerOp>(name)) {
      home = module;
      return layer;
    }
  }
  auto [it, isNew] = homes.try_emplace(name);
  if (isNew) {
    std::string message = "there is no registry of layers";
    FailureOr<LayerSource> text = failure();
    if (options.resolver) text = options.resolver(name, message);
    if (failed(text)) {
      homes.erase(it);
      error(op, scope) << "names a layer that isn't there: " << message;
      return failure();
    }
    OwningOpRef<ModuleOp>& file = files[text->file];
    if (!file) {
      ParserConfig config(source.getContext());
      file = parseSourceString<ModuleOp>(text->text, config, text->file);
    }
    if (!file) {
      homes.erase(it);
      error(op, scope) << "names layer '" << name << "', whose definition in " << text->file
                       << " can't be read";
      return failure();
    }
    it->second = *file;
  }
  home = it->second;
  if (auto layer = home.lookupSymbol<LayerOp>(name)) return layer;
  homes.erase(it);
  error(op, scope) << "names layer '" << name << "', which its file doesn't define";
  return failure();
}

LogicalResult Expander::checkOptions(ApplyOp op, LayerOp layer, const Scope& scope,
                                     DictionaryAttr given) {
  auto configs = layer.getBody().getOps<ConfigOp>();
  for (NamedAttribute option : given) {
    std::string message;
    auto config = llvm::find_if(
        configs, [&](ConfigOp each) { return each.getName() == option.getName().strref(); });
    if (config == configs.end())
      message = "has no option '" + option.getName().str() + "'";
    else if ((*config).convert(option.getValue(), message))
      continue;
    else
      message = "has another kind of option: " + message;
    InFlightDiagnostic diagnostic = error(op, scope);
    diagnostic << "applies layer '" << layer.getSymName() << "', which " << message;
    std::string known;
    for (ConfigOp each : configs) known += (known.empty() ? "" : ", ") + each.describe();
    diagnostic.attachNote(layer.getLoc())
        << (known.empty() ? "it has no options" : "its options are " + known);
    return diagnostic;
  }
  return success();
}

/// Whether a value of type `actual` can go where `declared` is written.
static bool fits(Type actual, Type declared) {
  auto from = dyn_cast<RankedTensorType>(actual);
  auto to = dyn_cast<RankedTensorType>(declared);
  if (!from || !to) return actual == declared;
  return from.getElementType() == to.getElementType() && succeeded(verifyCompatibleShape(from, to));
}

LogicalResult Expander::expandApply(ApplyOp op, Scope& scope) {
  ModuleOp home;
  FailureOr<LayerOp> found = findLayer(op, scope, home);
  if (failed(found)) return failure();
  LayerOp layer = *found;
  for (const Scope* each = &scope; each; each = each->caller) {
    if (each->definition != layer) continue;
    std::string chain = layer.getSymName().str();
    for (const Scope* link = &scope; link != each; link = link->caller)
      chain = link->name.str() + " -> " + chain;
    return error(op, scope) << "applies layer '" << layer.getSymName()
                            << "' inside itself: " << each->name << " -> " << chain;
  }

  NamedAttrList given(op.getOptions());
  for (auto [name, value] :
       llvm::zip(op.getOptionNames().getAsRange<StringAttr>(), op.getOptionValues())) {
    Attribute constant = scope.constants.lookup(value);
    if (!constant)
      return error(op, scope) << "gives option '" << name.getValue()
                              << "' a value that isn't known when the model is expanded";
    given.set(name, constant);
  }
  DictionaryAttr dictionary = given.getDictionary(op.getContext());
  if (failed(checkOptions(op, layer, scope, dictionary))) return failure();

  FunctionType type = layer.getFunctionType();
  if (type.getNumInputs() != op.getInputs().size() || type.getNumResults() != op->getNumResults()) {
    InFlightDiagnostic diagnostic = error(op, scope);
    diagnostic << "gives " << op.getInputs().size() << " arguments and takes "
               << op->getNumResults() << " results, but layer '" << layer.getSymName() << "' has "
               << type.getNumInputs() << " and " << type.getNumResults();
    diagnostic.attachNote(layer.getLoc()) << "the layer is here";
    return diagnostic;
  }

  Location applied = op.getLoc();
  if (scope.caller) applied = CallSiteLoc::get(applied, scope.applied);
  Scope inner{layer.getSymName(), layer, home, scope.prefix, dictionary, &scope, applied};
  if (op.getInstance()) inner.prefix += op.getInstance()->str() + ".";
  for (auto [index, input, argument] :
       llvm::enumerate(op.getInputs(), layer.getBody().getArguments())) {
    forward(input, scope, argument, inner);
    Value mapped = inner.mapping.lookupOrNull(argument);
    Type actual = mapped ? mapped.getType() : argument.getType();
    if (!fits(actual, argument.getType()))
      return error(op, scope) << "gives argument #" << index << " of layer '" << layer.getSymName()
                              << "' a " << actual << ", but it must be a " << argument.getType();
  }
  if (failed(expandBlock(layer.getBody().front(), inner))) return failure();
  SmallVector<Value> outputs;
  if (failed(expandReturn(layer.getReturn(), inner, outputs))) return failure();
  for (auto [from, to] : llvm::zip(layer.getReturn().getOutputs(), op.getResults()))
    forward(from, inner, to, scope);
  for (auto [index, output, result] : llvm::enumerate(outputs, op.getResults()))
    if (output && !fits(output.getType(), result.getType()))
      return error(op, scope) << "takes result #" << index << " of layer '" << layer.getSymName()
                              << "' as a " << result.getType() << ", but it is a "
                              << output.getType();
  return success();
}

/// Appends the outputs (null where one is a constant) and notes the states' next values.
LogicalResult Expander::expandReturn(ReturnOp op, Scope& scope, SmallVectorImpl<Value>& outputs) {
  for (auto [index, output] : llvm::enumerate(op.getOutputs())) {
    outputs.push_back(scope.constants.contains(output) ? Value() : scope.mapping.lookup(output));
    if (outputs.back() && !fits(outputs.back().getType(), output.getType()))
      return error(op, scope) << "gives result #" << index << " a " << outputs.back().getType()
                              << ", but it is declared as a " << output.getType();
  }
  for (auto [name, value] :
       llvm::zip(op.getStateNames().getAsRange<StringAttr>(), op.getStates())) {
    std::string path = scope.prefix + name.getValue().str();
    if (failed(prepareOperand(op, value, scope))) return failure();
    Value next = scope.mapping.lookup(value);
    auto state = llvm::find_if(states, [&](const Argument& each) { return each.path == path; });
    if (next.getType() != state->value.getType())
      return error(op, scope) << "gives state '" << path << "' a " << next.getType()
                              << ", but it is a " << state->value.getType();
    nextStates[path] = next;
  }
  return success();
}

//===----------------------------------------------------------------------===//
// All other ops
//===----------------------------------------------------------------------===//

static bool isCompileTime(Type type) { return isa<IndexType, IntegerType, FloatType>(type); }

LogicalResult Expander::expandOther(Operation* op, Scope& scope) {
  // Arithmetic on what is known.
  if (op->getNumRegions() == 0 && op->getNumResults() > 0 &&
      llvm::all_of(op->getResultTypes(), isCompileTime)) {
    SmallVector<Attribute> operands;
    for (Value operand : op->getOperands()) operands.push_back(scope.constants.lookup(operand));
    SmallVector<OpFoldResult> folded;
    if (llvm::all_of(operands, [](Attribute each) { return each; }) &&
        succeeded(op->fold(operands, folded)) && folded.size() == op->getNumResults() &&
        llvm::all_of(folded, [](OpFoldResult each) { return isa<Attribute>(each); })) {
      for (auto [result, value] : llvm::zip(op->getResults(), folded))
        scope.constants[result] = cast<Attribute>(value);
      return success();
    }
  }

  for (Value operand : op->getOperands())
    if (failed(prepareOperand(op, operand, scope))) return failure();
  for (Value result : op->getResults()) scope.constants.erase(result);
  if (!isa<RegionArgumentsOpInterface>(op)) {
    WalkResult captured = op->walk([&](Operation* inner) {
      if (inner == op) return WalkResult::advance();
      numOps++;
      for (Value operand : inner->getOperands())
        if (failed(prepareOperand(inner, operand, scope))) return WalkResult::interrupt();
      return WalkResult::advance();
    });
    if (captured.wasInterrupted()) return failure();
  }
  FailureOr<Operation*> clone = cloneWithInference(
      builder, op, scope.mapping, locationOf(op, scope),
      [&](Operation* inner) { return expandOp(inner, scope); },
      [&](Operation* clone) { return bind(op, clone, scope); });
  if (failed(clone)) return failure();
  if (!*clone) return success();
  if (failed(verify(*clone))) return failure();

  // Nothing is drawn at rate zero: the op folds to its operand.
  if (isa<RandomOpInterface>(*clone)) {
    SmallVector<OpFoldResult> folded;
    if (succeeded((*clone)->fold(folded)) && folded.size() == op->getNumResults() &&
        llvm::all_of(folded, [](OpFoldResult each) { return isa<Value>(each); }))
      for (auto [result, value] : llvm::zip(op->getResults(), folded))
        scope.mapping.map(result, cast<Value>(value));
  }
  return success();
}

//===----------------------------------------------------------------------===//
// The model
//===----------------------------------------------------------------------===//

FailureOr<OwningOpRef<ModuleOp>> Expander::run(ModelOp model) {
  Scope scope{model.getSymName(), model, source, "", {}, nullptr, model.getLoc()};
  // The body lives in a function from the start, so that whatever fails is cleaned up with its
  // module.
  OwningOpRef<ModuleOp> result = ModuleOp::create(model.getLoc());
  builder.setInsertionPointToStart(result->getBody());
  auto function = func::FuncOp::create(builder, model.getLoc(), model.getSymName(),
                                       builder.getFunctionType({}, {}));
  Block* body = function.addEntryBlock();
  builder.setInsertionPointToStart(body);
  for (BlockArgument argument : model.getBody().getArguments()) {
    if (!isa<RankedTensorType>(argument.getType())) {
      error(model, scope) << "has an input of type " << argument.getType()
                          << "; inputs are tensors";
      return failure();
    }
    scope.mapping.map(argument, body->addArgument(argument.getType(), argument.getLoc()));
  }
  if (options.segments)
    segments = placeholder(
        RankedTensorType::get({ShapedType::kDynamic, ShapedType::kDynamic}, builder.getI32Type()),
        model.getLoc());
  if (options.start)
    start = placeholder(RankedTensorType::get({}, builder.getI64Type()), model.getLoc());

  SmallVector<Value> outputs;
  LogicalResult expanded = expandBlock(model.getBody().front(), scope);
  if (succeeded(expanded)) expanded = expandReturn(model.getReturn(), scope, outputs);
  if (succeeded(expanded) && llvm::is_contained(outputs, Value()))
    expanded = error(model.getReturn(), scope) << "gives a constant as a result";
  if (succeeded(expanded)) finish(model, function, outputs);
  if (failed(expanded) || failed(verify(*result))) {
    // Placeholders must outlive their uses.
    result = {};
    return failure();
  }
  return result;
}

FailureOr<OwningOpRef<ModuleOp>> expandModel(ModuleOp module, const ExpansionOptions& options) {
  ModelOp model;
  for (ModelOp each : module.getOps<ModelOp>()) {
    if (!options.model.empty() && each.getSymName() != options.model) continue;
    if (model) {
      module.emitError() << "the file has several models, '@" << model.getSymName() << "' and '@"
                         << each.getSymName() << "': say which";
      return failure();
    }
    model = each;
  }
  if (!model) {
    InFlightDiagnostic error = module.emitError() << "the file has no 'weir.model'";
    if (!options.model.empty()) error << " '@" << options.model << "'";
    return failure();
  }
  MLIRContext* context = module.getContext();
  context->getOrLoadDialect<arith::ArithDialect>();
  context->getOrLoadDialect<func::FuncDialect>();
  Expander expander(module, options);
  return expander.run(model);
}

}  // namespace weir
