// The entry points of `weir run`: a model's outputs, and the gradients of their weighted sum, for
// anyone to hold against another implementation.

#include "compiler/dialect/linalg_builder.h"
#include "compiler/entry_points/arguments.h"
#include "compiler/entry_points/entry_function.h"
#include "compiler/entry_points/initialize.h"
#include "compiler/entry_points/model_functions.h"
#include "compiler/entry_points/programs.h"
#include "compiler/transforms/step_form.h"

namespace weir {
using namespace mlir;

namespace {

constexpr llvm::StringLiteral kCotangentAttr = "weir.cotangent";
constexpr llvm::StringLiteral kResidualAttr = "weir.residual";

std::string outputName(StringRef name) { return name == "0" ? "output" : "output." + name.str(); }

/// Batch and length of the inputs, as far as their shapes are open in the model.
LogicalResult inferExtents(func::FuncOp model, const RunSettings& settings, int64_t& batch,
                           int64_t& time) {
  batch = time = ShapedType::kDynamic;
  for (unsigned i = 0; i < model.getNumArguments(); ++i) {
    StringRef name = stringAttr(model.getArgAttr(i, kInputAttr));
    if (name.empty()) continue;
    auto found = settings.inputShapes.find(name);
    if (found == settings.inputShapes.end())
      return model.emitError() << "takes an input '" << name << "' that is missing";
    ArrayRef<int64_t> given = found->second, declared = shapeOf(model.getArgument(i));
    if (given.size() != declared.size())
      return model.emitError() << "takes an input '" << name << "' of type "
                               << model.getArgument(i).getType() << ", not of rank "
                               << given.size();
    for (auto [position, pair] : llvm::enumerate(llvm::zip(given, declared))) {
      auto [extent, expected] = pair;
      if (extent <= 0)
        return model.emitError() << "takes no empty input: '" << name << "' has an extent of "
                                 << extent;
      int64_t* open = position == 0 ? &batch : &time;
      if (!ShapedType::isDynamic(expected)) {
        if (extent != expected)
          return model.emitError()
                 << "takes an input '" << name << "' of type " << model.getArgument(i).getType()
                 << ", but its extent " << position << " is " << extent;
      } else if (!ShapedType::isDynamic(*open) && *open != extent) {
        return model.emitError() << "has inputs of different "
                                 << (position == 0 ? "batches" : "lengths") << ", " << *open
                                 << " and " << extent;
      } else {
        *open = extent;
      }
    }
  }
  if (ShapedType::isDynamic(batch)) batch = 1;
  if (ShapedType::isDynamic(time)) time = 1;
  return success();
}

/// Asks the entry for an argument of a model's function.
Value entryArgument(EntryFunction& entry, DictionaryAttr attributes, Type type) {
  if (StringRef name = nameIn(attributes, kParamAttr); !name.empty())
    return entry.variable(name, type);
  if (StringRef name = nameIn(attributes, kInputAttr); !name.empty())
    return entry.input(name, type);
  if (StringRef name = nameIn(attributes, kStateAttr); !name.empty())
    return entry.input(("state." + name).str(), type);
  if (attributes.contains(kSegmentsAttr)) return entry.input("segments", type);
  if (attributes.contains(kStartAttr)) return entry.input("start", type);
  if (StringRef name = nameIn(attributes, kCotangentAttr); !name.empty())
    return entry.input(name == "0" ? "cotangent" : ("cotangent." + name).str(), type);
  return {};
}

void giveOutputs(EntryFunction& entry, func::FuncOp callee, ValueRange results) {
  for (unsigned i = 0; i < callee.getNumResults(); ++i) {
    DictionaryAttr attributes = resultAttributes(callee, i);
    if (StringRef name = nameIn(attributes, kOutputAttr); !name.empty())
      entry.output(outputName(name), results[i]);
    else if (StringRef name = nameIn(attributes, kStateAttr); !name.empty())
      entry.output(("state." + name).str(), results[i]);
  }
}

LogicalResult addRun(ModuleOp module) {
  auto run = module.lookupSymbol<func::FuncOp>("forward");
  EntryFunction entry(module, "run");
  FailureOr<ValueRange> results =
      entry.call(run, [&](unsigned, DictionaryAttr attributes, Type type) {
        return entryArgument(entry, attributes, type);
      });
  if (failed(results)) return failure();
  giveOutputs(entry, run, *results);
  entry.finish();
  return success();
}

LogicalResult addGradients(ModuleOp module) {
  auto forward = module.lookupSymbol<func::FuncOp>("model_forward");
  auto backward = module.lookupSymbol<func::FuncOp>("model_backward");
  EntryFunction entry(module, "gradients");
  FailureOr<ValueRange> results =
      entry.call(forward, [&](unsigned, DictionaryAttr attributes, Type type) {
        return entryArgument(entry, attributes, type);
      });
  if (failed(results)) return failure();
  FailureOr<ValueRange> gradients =
      entry.call(backward, [&](unsigned, DictionaryAttr attributes, Type type) -> Value {
        Attribute residual = attributes.get(kResidualAttr);
        if (!residual) return entryArgument(entry, attributes, type);
        for (unsigned i = 0; i < forward.getNumResults(); ++i)
          if (resultAttributes(forward, i).get(kResidualAttr) == residual) return (*results)[i];
        return {};
      });
  if (failed(gradients)) return failure();
  giveOutputs(entry, forward, *results);
  // Gradients are in the order of the arguments they are of. An input and a state may share a name.
  unsigned next = 0;
  for (unsigned i = 0; i < forward.getNumArguments() && next < backward.getNumResults(); ++i) {
    DictionaryAttr attributes = argumentAttributes(forward, i);
    StringRef gradient = nameIn(resultAttributes(backward, next), kGradientAttr);
    for (auto [kind, prefix] : {std::pair<StringRef, StringRef>{kParamAttr, ""},
                                {kInputAttr, "input."},
                                {kStateAttr, "state_gradient."}}) {
      if (nameIn(attributes, kind) != gradient ||
          backward.getResultTypes()[next] != forward.getArgumentTypes()[i])
        continue;
      entry.output((prefix + gradient).str(), (*gradients)[next++]);
      break;
    }
  }
  if (next != backward.getNumResults())
    return backward.emitError()
           << "gives gradients in another order than the arguments they are of";
  entry.finish();
  return success();
}

}  // namespace

FailureOr<OwningOpRef<ModuleOp>> buildRunModule(ModuleOp expanded, const RunSettings& settings) {
  func::FuncOp model = *expanded.getOps<func::FuncOp>().begin();
  int64_t batch, time;
  if (failed(inferExtents(model, settings, batch, time))) return failure();
  OwningOpRef<ModuleOp> module = ModuleOp::create(expanded.getLoc());
  if (settings.stopAfter == Level::Expanded) {
    module->push_back(model.clone());
    return module;
  }
  OwningOpRef<ModuleOp> differentiated = ModuleOp::create(expanded.getLoc());
  auto addFunction = [&](ModuleOp to, StringRef name) -> FailureOr<func::FuncOp> {
    FailureOr<func::FuncOp> function =
        addSpecialized(to, model, {name, batch, time, settings.precision, /*isTraining=*/false});
    if (succeeded(function) && settings.stepContext &&
        failed(deriveStepForm(*function,
                              {*settings.stepContext, settings.precision == Precision::Bf16})))
      return failure();
    return function;
  };
  if (settings.stepContext && failed(checkLengthIsFree(model))) return failure();
  FailureOr<func::FuncOp> run = addFunction(*module, "forward");
  if (failed(run)) return failure();
  SmallVector<ParameterInit> parameters = parametersOf(*run);
  if (settings.gradients && failed(addFunction(*differentiated, "model"))) return failure();
  auto join = [&] {
    module->getBody()->getOperations().splice(module->end(),
                                              differentiated->getBody()->getOperations());
  };
  auto stop = [&](Level level) {
    if (settings.stopAfter != level) return false;
    join();
    return true;
  };
  if (stop(Level::Specialized)) return module;
  SequenceSettings sequence{settings.precision, !settings.separate};
  if (failed(runSequencePipeline(*module, sequence)) ||
      failed(runSequencePipeline(*differentiated, sequence)))
    return failure();
  if (stop(Level::Sequence)) return module;
  if (settings.gradients &&
      failed(runDifferentiation(*differentiated, DifferentiationKind::Cotangents)))
    return failure();
  join();
  if (settings.stopAfter == Level::Differentiated) return module;
  if (failed(addRun(*module))) return failure();
  if (settings.gradients && failed(addGradients(*module))) return failure();
  if (failed(addInitEntry(*module, parameters, {}))) return failure();
  return module;
}

}  // namespace weir
