// The entry points of training. From the expanded model to `train_step`:
//
//   specialize -> [step form] -> objective -> simplify -> differentiate -> partition -> optimizer,
//
// then a host function that calls forward, backward and optimizer (train_step.h), which never see
// each other's ops. Where states are carried, the step form on a window's tokens is what is
// trained.

#include "compiler/entry_points/arguments.h"
#include "compiler/entry_points/entry_function.h"
#include "compiler/entry_points/initialize.h"
#include "compiler/entry_points/model_functions.h"
#include "compiler/entry_points/objective.h"
#include "compiler/entry_points/prepare.h"
#include "compiler/entry_points/programs.h"
#include "compiler/entry_points/train_step.h"
#include "compiler/transforms/step_form.h"

namespace weir {
using namespace mlir;

namespace {

constexpr llvm::StringLiteral kTrain = "train";
constexpr llvm::StringLiteral kEvaluate = "evaluate";

LogicalResult addEval(ModuleOp module) {
  auto evaluate = module.lookupSymbol<func::FuncOp>(kEvaluate);
  EntryFunction entry(module, "eval");
  declareBatch(entry, evaluate, [](Type type) { return type; });
  FailureOr<ValueRange> results =
      entry.call(evaluate, [&](unsigned, DictionaryAttr attributes, Type type) -> Value {
        if (StringRef name = nameIn(attributes, kParamAttr); !name.empty())
          return entry.variable(name, type);
        if (StringRef name = nameIn(attributes, kPreparedAttr); !name.empty())
          return entry.variable(name, type);
        if (StringRef name = batchTensor(attributes); !name.empty()) return entry.input(name, type);
        if (StringRef name = nameIn(attributes, kStateAttr); !name.empty())
          return entry.variable(stateVariable(name), type);
        return {};
      });
  if (failed(results)) return failure();
  for (auto [output, source] : {std::pair<StringRef, StringRef>{"loss", "loss_sum"},
                                {"correct", "correct"},
                                {"count", "count"},
                                {"sequences_correct", "sequences_correct"}})
    entry.output(output, (*results)[*findResult(evaluate, kOutputAttr, source)]);
  for (unsigned i = 0; i < evaluate.getNumResults(); ++i)
    if (StringRef name = nameIn(resultAttributes(evaluate, i), kStateAttr); !name.empty())
      entry.newValue(stateVariable(name), (*results)[i]);
  entry.finish();
  return success();
}

/// What forward, backward and evaluation compute from parameters alone is kept from step to step;
/// the optimizer brings it up to date, while it has the parameters at hand.
void keepPrepared(ModuleOp module) {
  auto function = [&](StringRef name) { return module.lookupSymbol<func::FuncOp>(name); };
  func::FuncOp prepare = addPrepareEntry(
      module, {function("train_forward"), function("train_backward"), function(kEvaluate)});
  if (prepare) prepareInUpdate(prepare, function("train_optimizer"));
}

/// Turns a window's function into one that goes on from carried states.
LogicalResult carryStates(func::FuncOp window, const StepFormSettings& settings) {
  if (failed(deriveStepForm(window, settings))) return failure();
  auto limit = window->getAttrOfType<IntegerAttr>(kPositionLimitAttr);
  if (!limit) return success();
  return window.emitError() << "knows " << limit.getInt()
                            << " positions, so that its state can't be carried without end";
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

bool carriesState(ExperimentOp experiment) {
  auto state = experiment.getTrain().getSettings().getAs<StringAttr>("state");
  return state && state.getValue() == "carry";
}

FailureOr<OwningOpRef<ModuleOp>> buildTrainingModule(ModuleOp expanded, ExperimentOp experiment,
                                                     const TrainingSettings& settings) {
  func::FuncOp model = *expanded.getOps<func::FuncOp>().begin();
  if (failed(checkInputs(model))) return failure();
  if (carriesState(experiment) && failed(checkLengthIsFree(model))) return failure();
  Precision precision = experiment.getPrecision();
  TrainOp train = experiment.getTrain();
  bool carries = carriesState(experiment);
  auto whole = [&](StringRef name, int64_t otherwise) {
    return static_cast<int64_t>(getNumber(train.getSettings(), name, otherwise));
  };
  int64_t windows = whole("windows", 1);
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
    if (failed(function)) return failure();
    if (carries && failed(carryStates(*function, {whole("lookback", windows * settings.time),
                                                  precision == Precision::Bf16})))
      return failure();
    if (failed(addCrossEntropyObjective(*function, carries)) ||
        failed(checkVocabulary(*function, settings.vocabulary)))
      return failure();
    return function;
  };
  FailureOr<func::FuncOp> evaluate = objective(*module, kEvaluate, /*isTraining=*/false);
  if (failed(evaluate)) return failure();
  SmallVector<ParameterInit> parameters = parametersOf(*evaluate), states = statesOf(*evaluate);
  SmallVector<ParameterInit> moments;
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
  auto logits = train.getSettings().getAs<StringAttr>("logits");
  SequenceSettings sequence{precision, settings.fuse, logits ? logits.getValue() : "auto"};
  if (failed(runSequencePipeline(*module, sequence)) ||
      failed(runSequencePipeline(*training, sequence)))
    return failure();
  if (stop(Level::Sequence)) return module;

  if (!settings.evaluateOnly) {
    if (failed(runDifferentiation(
            *training, windows > 1 ? DifferentiationKind::Window : DifferentiationKind::Loss)))
      return failure();
    if (stop(Level::Differentiated)) return module;
    if (failed(addOptimizer(*training, experiment))) return failure();
    join();
    keepPrepared(*module);
    if (failed(addTrainStep(*module, whole("accumulate", 1), windows))) return failure();
    for (StringRef moment : {"optimizer.m.", "optimizer.v."})
      for (const ParameterInit& parameter : parameters)
        moments.push_back({(moment + parameter.name).str(), parameter.type, "zeros"});
  }
  if (failed(addEval(*module)) || failed(addInitEntry(*module, parameters, moments)))
    return failure();
  if (carries && failed(addResetEntry(*module, states))) return failure();
  return module;
}

}  // namespace weir
