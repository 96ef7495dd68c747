// The entry points of training. From the expanded model to `train_step`:
//
//   specialize -> objective -> simplify -> differentiate -> partition -> optimizer,
//
// then a host function that calls forward, backward and optimizer, which never see each other's
// ops.

#include "compiler/dialect/linalg_builder.h"
#include "compiler/entry_points/arguments.h"
#include "compiler/entry_points/entry_function.h"
#include "compiler/entry_points/initialize.h"
#include "compiler/entry_points/model_functions.h"
#include "compiler/entry_points/objective.h"
#include "compiler/entry_points/programs.h"
#include "mlir/Dialect/Arith/IR/Arith.h"

namespace weir {
using namespace mlir;

namespace {

constexpr llvm::StringLiteral kTrain = "train";
constexpr llvm::StringLiteral kEvaluate = "evaluate";

/// The functions of a training module by their roles.
struct Functions {
  explicit Functions(ModuleOp module)
      : forward(module.lookupSymbol<func::FuncOp>("train_forward")),
        backward(module.lookupSymbol<func::FuncOp>("train_backward")),
        accumulate(module.lookupSymbol<func::FuncOp>("train_accumulate")),
        optimizer(module.lookupSymbol<func::FuncOp>("train_optimizer")) {}
  func::FuncOp forward, backward, accumulate, optimizer;
};

/// The index of the result of `function` whose attribute `attribute` is `name`.
std::optional<unsigned> findResult(func::FuncOp function, StringRef attribute, StringRef name) {
  for (unsigned i = 0; i < function.getNumResults(); ++i)
    if (nameIn(resultAttributes(function, i), attribute) == name) return i;
  return std::nullopt;
}

/// The entry point's name for an argument that the task fills ("" for other arguments): whatever the
/// model calls its input, it is the tokens.
StringRef batchTensor(DictionaryAttr attributes) {
  if (attributes.contains(kSegmentsAttr)) return "segments";
  StringRef name = nameIn(attributes, kInputAttr);
  return name.empty() || name == "targets" ? name : "tokens";
}

/// Declares the tensors of a batch in the task's order, which arguments of `callee` don't have.
void declareBatch(EntryFunction& entry, func::FuncOp callee,
                  llvm::function_ref<Type(Type)> typeInEntry) {
  for (StringRef wanted : {"tokens", "targets", "segments"})
    for (unsigned i = 0; i < callee.getNumArguments(); ++i)
      if (batchTensor(argumentAttributes(callee, i)) == wanted)
        entry.input(wanted, typeInEntry(callee.getArgumentTypes()[i]));
}

/// Batch `number` of `count`: rows [number B, (number + 1) B).
Value microBatch(LinalgBuilder& l, Value rows, int64_t number, int64_t count) {
  if (count == 1) return rows;
  int64_t size = shapeOf(rows)[0] / count;
  return l.sliceDim(rows, 0, number * size, size);
}

/// (seed, step) of a batch: each of the batches of a step draws other numbers.
Value microRng(LinalgBuilder& l, Value rng, int64_t number, int64_t count) {
  if (count == 1) return rng;
  Type i64 = l.builder().getI64Type();
  return l.elementwise({2}, i64, rng, l.identity(1), [&](ElementwiseBuilder e, ValueRange v) {
    Value scaled =
        e.addIntegers(e.mulIntegers(v[0], e.integer(count, i64)), e.integer(number, i64));
    return e.select(e.equal(e.index(0, i64), e.integer(1, i64)), scaled, v[0]);
  });
}

LogicalResult addTrainStep(ModuleOp module, int64_t accumulate) {
  Functions f(module);
  EntryFunction entry(module, "train_step");
  LinalgBuilder l(entry.builder(), entry.loc());
  auto widened = [&](Type type) -> Type {
    SmallVector<int64_t> shape(cast<RankedTensorType>(type).getShape());
    if (shape.empty()) return type;
    shape[0] *= accumulate;
    return RankedTensorType::get(shape, cast<RankedTensorType>(type).getElementType());
  };
  declareBatch(entry, f.forward, widened);
  Type rngType = RankedTensorType::get({2}, entry.builder().getI64Type());

  SmallVector<Value> gradients, metrics(f.forward.getNumResults());
  for (int64_t batch = 0; batch < accumulate; ++batch) {
    Value rng = microRng(l, entry.variable(kRngVariable, rngType), batch, accumulate);
    auto common = [&](DictionaryAttr attributes, Type type) -> Value {
      if (attributes.contains(kRngAttr)) return rng;
      if (StringRef name = nameIn(attributes, kParamAttr); !name.empty())
        return entry.variable(name, type);
      if (StringRef name = batchTensor(attributes); !name.empty())
        return microBatch(l, entry.input(name, widened(type)), batch, accumulate);
      return {};
    };
    FailureOr<ValueRange> forward = entry.call(
        f.forward,
        [&](unsigned, DictionaryAttr attributes, Type type) { return common(attributes, type); });
    if (failed(forward)) return failure();
    FailureOr<ValueRange> backward =
        entry.call(f.backward, [&](unsigned, DictionaryAttr attributes, Type type) -> Value {
          Attribute residual = attributes.get("weir.residual");
          if (!residual) return common(attributes, type);
          for (unsigned i = 0; i < f.forward.getNumResults(); ++i)
            if (resultAttributes(f.forward, i).get("weir.residual") == residual)
              return (*forward)[i];
          return {};
        });
    if (failed(backward)) return failure();
    if (batch == 0) {
      gradients.assign(backward->begin(), backward->end());
    } else {
      FailureOr<ValueRange> sums =
          entry.call(f.accumulate, [&](unsigned index, DictionaryAttr, Type) -> Value {
            return index < gradients.size() ? gradients[index]
                                            : (*backward)[index - gradients.size()];
          });
      if (failed(sums)) return failure();
      gradients.assign(sums->begin(), sums->end());
    }
    for (StringRef name : {"loss", "correct"}) {
      unsigned index = *findResult(f.forward, kOutputAttr, name);
      Value value = (*forward)[index];
      metrics[index] =
          batch == 0
              ? value
              : l.elementwise({metrics[index], value},
                              [](ElementwiseBuilder e, ValueRange v) { return e.add(v[0], v[1]); });
    }
  }
  unsigned lossIndex = *findResult(f.forward, kOutputAttr, "loss");
  Value loss = metrics[lossIndex];
  if (accumulate > 1)
    loss = l.elementwise({loss}, [&](ElementwiseBuilder e, ValueRange v) {
      return e.mul(v[0], e.constantLike(1.0 / accumulate, v[0]));
    });
  entry.output("loss", loss);
  entry.output("correct", metrics[*findResult(f.forward, kOutputAttr, "correct")]);

  FailureOr<ValueRange> updated =
      entry.call(f.optimizer, [&](unsigned, DictionaryAttr attributes, Type type) -> Value {
        if (attributes.contains(kRngAttr)) return entry.variable(kRngVariable, rngType);
        if (StringRef name = nameIn(attributes, kGradientAttr); !name.empty()) {
          std::optional<unsigned> index = findResult(f.backward, kGradientAttr, name);
          return index ? gradients[*index] : Value();
        }
        for (StringRef attribute : {StringRef(kParamAttr), StringRef(kVariableAttr)})
          if (StringRef name = nameIn(attributes, attribute); !name.empty())
            return entry.variable(name, type);
        return {};
      });
  if (failed(updated)) return failure();
  for (unsigned i = 0; i < f.optimizer.getNumResults(); ++i) {
    DictionaryAttr attributes = resultAttributes(f.optimizer, i);
    Value value = (*updated)[i];
    if (attributes.contains(kRngAttr))
      entry.newValue(kRngVariable, value);
    else if (StringRef name = nameIn(attributes, kParamAttr); !name.empty())
      entry.newValue(name, value);
    else if (StringRef name = nameIn(attributes, kVariableAttr); !name.empty())
      entry.newValue(name, value);
    else
      entry.output(nameIn(attributes, kOutputAttr), value);
  }
  entry.finish();
  return success();
}

LogicalResult addEval(ModuleOp module) {
  auto evaluate = module.lookupSymbol<func::FuncOp>(kEvaluate);
  EntryFunction entry(module, "eval");
  declareBatch(entry, evaluate, [](Type type) { return type; });
  FailureOr<ValueRange> results =
      entry.call(evaluate, [&](unsigned, DictionaryAttr attributes, Type type) -> Value {
        if (StringRef name = nameIn(attributes, kParamAttr); !name.empty())
          return entry.variable(name, type);
        if (StringRef name = batchTensor(attributes); !name.empty()) return entry.input(name, type);
        return {};
      });
  if (failed(results)) return failure();
  for (auto [output, source] : {std::pair<StringRef, StringRef>{"loss", "loss_sum"},
                                {"correct", "correct"},
                                {"count", "count"},
                                {"sequences_correct", "sequences_correct"}})
    entry.output(output, (*results)[*findResult(evaluate, kOutputAttr, source)]);
  entry.finish();
  return success();
}

LogicalResult checkInputs(func::FuncOp model) {
  unsigned inputs = 0;
  for (unsigned i = 0; i < model.getNumArguments(); ++i)
    inputs += model.getArgAttr(i, kInputAttr) != nullptr;
  if (inputs == 1) return success();
  return model.emitError() << "has " << inputs
                           << " inputs; a model that is trained on a task has one, the tokens";
}

}  // namespace

FailureOr<OwningOpRef<ModuleOp>> buildTrainingModule(ModuleOp expanded, ExperimentOp experiment,
                                                     const TrainingSettings& settings) {
  func::FuncOp model = *expanded.getOps<func::FuncOp>().begin();
  if (failed(checkInputs(model))) return failure();
  Precision precision = experiment.getPrecision();
  OwningOpRef<ModuleOp> module = ModuleOp::create(expanded.getLoc());
  if (settings.stopAfter == Level::Expanded) {
    module->push_back(model.clone());
    return module;
  }

  // The functions of training have a module of their own until they are differentiated: evaluation
  // has a loss too.
  OwningOpRef<ModuleOp> training = ModuleOp::create(expanded.getLoc());
  auto objective = [&](ModuleOp target, StringRef name,
                       bool isTraining) -> FailureOr<func::FuncOp> {
    FailureOr<func::FuncOp> function =
        addSpecialized(target, model, {name, settings.batch, settings.time, precision, isTraining});
    if (failed(function) || failed(addCrossEntropyObjective(*function)) ||
        failed(checkVocabulary(*function, settings.vocabulary)))
      return failure();
    return function;
  };
  FailureOr<func::FuncOp> evaluate = objective(*module, kEvaluate, /*isTraining=*/false);
  if (failed(evaluate)) return failure();
  SmallVector<ParameterInit> parameters = parametersOf(*evaluate), moments;
  if (!settings.evaluateOnly && failed(objective(*training, kTrain, /*isTraining=*/true)))
    return failure();
  auto join = [&] {
    module->getBody()->getOperations().splice(module->end(), training->getBody()->getOperations());
  };
  auto stop = [&](Level level) {
    if (settings.stopAfter != level) return false;
    join();
    return true;
  };
  if (stop(Level::Specialized)) return module;
  if (failed(runSequencePipeline(*module, precision)) ||
      failed(runSequencePipeline(*training, precision)))
    return failure();
  if (stop(Level::Sequence)) return module;

  if (!settings.evaluateOnly) {
    if (failed(runDifferentiation(*training, DifferentiationKind::Loss))) return failure();
    if (stop(Level::Differentiated)) return module;
    if (failed(addOptimizer(*training, experiment))) return failure();
    join();
    int64_t accumulate = getNumber(experiment.getTrain().getSettings(), "accumulate", 1);
    if (failed(addTrainStep(*module, accumulate))) return failure();
    for (StringRef moment : {"optimizer.m.", "optimizer.v."})
      for (const ParameterInit& parameter : parameters)
        moments.push_back({(moment + parameter.name).str(), parameter.type, "zeros"});
  }
  if (failed(addEval(*module)) || failed(addInitEntry(*module, parameters, moments)))
    return failure();
  return module;
}

}  // namespace weir
