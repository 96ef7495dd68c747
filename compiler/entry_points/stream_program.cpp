// The entry points of a stream, all made from the model's step form: `step` with one token,
// `prefill` with many.

#include "compiler/entry_points/arguments.h"
#include "compiler/entry_points/entry_function.h"
#include "compiler/entry_points/initialize.h"
#include "compiler/entry_points/model_functions.h"
#include "compiler/entry_points/prepare.h"
#include "compiler/entry_points/programs.h"
#include "compiler/transforms/step_form.h"

namespace weir {
using namespace mlir;

namespace {

/// Variables are the parameters, what is prepared of them, and the states.
Value entryArgument(EntryFunction& entry, DictionaryAttr attributes, Type type) {
  if (StringRef name = nameIn(attributes, kParamAttr); !name.empty())
    return entry.variable(name, type);
  if (StringRef name = nameIn(attributes, kStateAttr); !name.empty())
    return entry.variable(stateVariable(name), type);
  if (StringRef name = nameIn(attributes, kPreparedAttr); !name.empty())
    return entry.variable(name, type);
  if (StringRef name = nameIn(attributes, kInputAttr); !name.empty())
    return entry.input(name, type);
  if (attributes.contains("weir.segments")) return entry.input("segments", type);
  return {};
}

LogicalResult addEntry(ModuleOp module, StringRef name, func::FuncOp callee) {
  EntryFunction entry(module, name);
  FailureOr<ValueRange> results =
      entry.call(callee, [&](unsigned, DictionaryAttr attributes, Type type) {
        return entryArgument(entry, attributes, type);
      });
  if (failed(results)) return failure();
  for (unsigned i = 0; i < callee.getNumResults(); ++i) {
    DictionaryAttr attributes = resultAttributes(callee, i);
    if (StringRef output = nameIn(attributes, kOutputAttr); !output.empty())
      entry.output(output == "0" ? "output" : "output." + output.str(), (*results)[i]);
    else if (StringRef state = nameIn(attributes, kStateAttr); !state.empty())
      entry.newValue(stateVariable(state), (*results)[i]);
  }
  entry.finish();
  return success();
}

}  // namespace

FailureOr<OwningOpRef<ModuleOp>> buildStreamModule(ModuleOp expanded,
                                                   const StreamSettings& settings) {
  func::FuncOp model = *expanded.getOps<func::FuncOp>().begin();
  OwningOpRef<ModuleOp> module = ModuleOp::create(expanded.getLoc());
  if (settings.stopAfter == Level::Expanded) {
    module->push_back(model.clone());
    return module;
  }
  if (settings.batch < 1 || settings.chunk < 0)
    return model.emitError() << "can't be streamed with a batch of " << settings.batch
                             << " and chunks of " << settings.chunk;
  if (failed(checkLengthIsFree(model))) return failure();
  SmallVector<std::pair<StringRef, func::FuncOp>> entries;
  auto addStepForm = [&](StringRef name, int64_t time) -> LogicalResult {
    FailureOr<func::FuncOp> function =
        addSpecialized(*module, model,
                       {(name + "_tokens").str(), settings.batch, time, settings.precision,
                        /*isTraining=*/false});
    if (failed(function) ||
        failed(
            deriveStepForm(*function, {settings.context, settings.precision == Precision::Bf16})))
      return failure();
    if (Attribute limit = (*function)->getAttr(kPositionLimitAttr))
      (*module)->setAttr(kPositionLimitAttr, limit);
    entries.emplace_back(name, *function);
    return success();
  };
  if (failed(addStepForm("step", 1)) ||
      (settings.chunk > 0 && failed(addStepForm("prefill", settings.chunk))))
    return failure();
  if (settings.stopAfter == Level::Specialized) return module;
  SmallVector<ParameterInit> parameters = parametersOf(entries[0].second);
  SmallVector<ParameterInit> states = statesOf(entries[0].second);
  if (failed(runSequencePipeline(*module, {settings.precision}))) return failure();
  if (settings.stopAfter == Level::Sequence || settings.stopAfter == Level::Differentiated)
    return module;
  addPrepareEntry(*module, llvm::map_to_vector(entries, [](auto& entry) { return entry.second; }));
  for (auto [name, function] : entries)
    if (failed(addEntry(*module, name, function))) return failure();
  if (failed(addResetEntry(*module, states)) || failed(addInitEntry(*module, parameters, {})))
    return failure();
  return module;
}

}  // namespace weir
