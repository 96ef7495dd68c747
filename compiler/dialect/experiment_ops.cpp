// What the ops of an experiment check: which settings there are and what fits them.

#include "compiler/dialect/experiment_ops.h"

#include "mlir/IR/Builders.h"

#include "compiler/dialect/model_ops.h"
#include "compiler/dialect/sizes.h"

using namespace mlir;

namespace weir {

static ParseResult parseSettings(OpAsmParser& parser, DictionaryAttr& settings) {
  return parser.parseAttribute(settings);
}

/// Prints `{lr = 0.001, steps = 500}`: numbers as people write them, without the suffix of the
/// default types.
static void printSettings(OpAsmPrinter& printer, Operation*, DictionaryAttr settings) {
  printer << "{";
  llvm::interleaveComma(settings, printer, [&](NamedAttribute setting) {
    printer.printKeywordOrString(setting.getName());
    printer << " = ";
    printPlain(printer, setting.getValue());
  });
  printer << "}";
}

}  // namespace weir

#define GET_OP_CLASSES
#include "compiler/dialect/experiment_ops.cpp.inc"

namespace weir {

void registerExperimentOps(WeirDialect& dialect) {
  dialect.registerOps<
#define GET_OP_LIST
#include "compiler/dialect/experiment_ops.cpp.inc"
      >();
}

std::optional<double> getNumber(DictionaryAttr settings, StringRef name) {
  Attribute value = settings.get(name);
  if (auto number = dyn_cast_or_null<FloatAttr>(value)) return number.getValueAsDouble();
  if (auto number = dyn_cast_or_null<IntegerAttr>(value); number && !isa<BoolAttr>(value))
    return static_cast<double>(number.getInt());
  return std::nullopt;
}

double getNumber(DictionaryAttr settings, StringRef name, double otherwise) {
  return getNumber(settings, name).value_or(otherwise);
}

//===----------------------------------------------------------------------===//
// Settings
//===----------------------------------------------------------------------===//

namespace {

/// What fits a setting. Count: a whole number, at least 0; AtLeastOne: at least 1. Fraction: from 0
/// to 1, 1 excluded. Choice: one of a setting's words.
enum class Kind { Count, AtLeastOne, Positive, NonNegative, Fraction, Fractions, Patterns, Choice };

struct Setting {
  StringRef name;
  Kind kind;
  SmallVector<StringRef, 2> choices = {};
};

}  // namespace

static bool isWholeNumber(Attribute value) {
  return isa<IntegerAttr>(value) && !isa<BoolAttr>(value);
}

/// Null if the value fits, or else what would.
static const char* whatFits(const Setting& setting, Attribute value, double number, bool isNumber) {
  switch (setting.kind) {
    case Kind::Count:
      return isWholeNumber(value) && number >= 0 ? nullptr : "a whole number, at least 0";
    case Kind::AtLeastOne:
      return isWholeNumber(value) && number >= 1 ? nullptr : "a whole number, at least 1";
    case Kind::Positive:
      return isNumber && number > 0 ? nullptr : "a number above 0";
    case Kind::NonNegative:
      return isNumber && number >= 0 ? nullptr : "a number, at least 0";
    case Kind::Fraction:
      return isNumber && number >= 0 && number < 1 ? nullptr : "a number from 0 to below 1";
    case Kind::Fractions: {
      auto array = dyn_cast<ArrayAttr>(value);
      bool fits = array && array.size() == 2 && llvm::all_of(array, [](Attribute element) {
                    auto real = dyn_cast<FloatAttr>(element);
                    auto whole = dyn_cast<IntegerAttr>(element);
                    double number = real ? real.getValueAsDouble() : whole ? whole.getInt() : -1;
                    return number >= 0 && number < 1;
                  });
      return fits ? nullptr : "two numbers from 0 to below 1, in brackets";
    }
    case Kind::Patterns: {
      auto array = dyn_cast<ArrayAttr>(value);
      return array && llvm::all_of(array, llvm::IsaPred<StringAttr>)
                 ? nullptr
                 : "a list of patterns in quotes";
    }
    case Kind::Choice: {
      auto word = dyn_cast<StringAttr>(value);
      return word && llvm::is_contained(setting.choices, word.getValue()) ? nullptr : "";
    }
  }
  llvm_unreachable("unknown kind");
}

static LogicalResult verifySettings(Operation* op, DictionaryAttr settings,
                                    ArrayRef<Setting> known) {
  for (NamedAttribute entry : settings) {
    const Setting* setting = llvm::find_if(
        known, [&](const Setting& candidate) { return candidate.name == entry.getName(); });
    if (setting == known.end()) {
      InFlightDiagnostic error = op->emitOpError() << "has no setting '" << entry.getName().strref()
                                                   << "'; its settings are ";
      llvm::interleaveComma(known, error, [&](const Setting& each) { error << each.name; });
      return error;
    }
    std::optional<double> number = getNumber(settings, setting->name);
    if (const char* wanted =
            whatFits(*setting, entry.getValue(), number.value_or(0), number.has_value())) {
      InFlightDiagnostic error = op->emitOpError()
                                 << "has setting '" << setting->name << "' = " << entry.getValue()
                                 << ", but it must be " << wanted;
      llvm::interleave(
          setting->choices, error, [&](StringRef word) { error << '"' << word << '"'; }, " or ");
      return error;
    }
  }
  return success();
}

static LogicalResult verifyName(Operation* op, StringRef name, ArrayRef<StringRef> known) {
  if (llvm::is_contained(known, name)) return success();
  InFlightDiagnostic error = op->emitOpError() << "doesn't know \"" << name << "\"; it knows ";
  llvm::interleaveComma(known, error, [&](StringRef each) { error << '"' << each << '"'; });
  return error;
}

LogicalResult TaskOp::verify() {
  if (getName().empty()) return emitOpError() << "needs the name of a task";
  if (Attribute batch = getSettings().get("batch"); batch && !isa<FlatSymbolRefAttr>(batch))
    if (!isWholeNumber(batch) || cast<IntegerAttr>(batch).getInt() <= 0)
      return emitOpError() << "has setting 'batch' = " << batch
                           << ", but it must be a whole number above 0";
  return success();
}

LogicalResult OptimizerOp::verify() {
  if (failed(verifyName(*this, getName(), {"adamw"}))) return failure();
  for (Operation& inner : getGroups().getOps())
    if (!isa<GroupOp>(inner)) return inner.emitOpError() << "can't be in 'weir.optimizer'";
  return verifySettings(*this, getSettings(),
                        {{"lr", Kind::Positive},
                         {"betas", Kind::Fractions},
                         {"eps", Kind::Positive},
                         {"weight_decay", Kind::NonNegative},
                         {"no_decay", Kind::Patterns}});
}

LogicalResult GroupOp::verify() {
  if (getPatterns().empty()) return emitOpError() << "needs a pattern";
  return verifySettings(*this, getSettings(),
                        {{"lr_scale", Kind::NonNegative}, {"weight_decay", Kind::NonNegative}});
}

LogicalResult ScheduleOp::verify() {
  if (failed(verifyName(*this, getName(), {"constant", "linear", "cosine"}))) return failure();
  if (getName() == "constant")
    return verifySettings(*this, getSettings(), {{"warmup", Kind::Count}});
  return verifySettings(
      *this, getSettings(),
      {{"warmup", Kind::Count}, {"steps", Kind::Count}, {"final", Kind::NonNegative}});
}

LogicalResult TrainOp::verify() {
  if (!getSettings().get("steps")) return emitOpError() << "needs the setting 'steps'";
  if (failed(verifySettings(*this, getSettings(),
                            {{"steps", Kind::Count},
                             {"clip", Kind::Positive},
                             {"clip_kind", Kind::Choice, {"global", "local"}},
                             {"accumulate", Kind::AtLeastOne},
                             {"logits", Kind::Choice, {"auto", "stored", "recomputed"}},
                             {"state", Kind::Choice, {"reset", "carry"}},
                             {"windows", Kind::AtLeastOne},
                             {"lookback", Kind::AtLeastOne},
                             {"eval_every", Kind::Count},
                             {"patience", Kind::Count},
                             {"checkpoint_seconds", Kind::Positive},
                             {"log_every", Kind::Count}})))
    return failure();
  auto state = getSettings().getAs<StringAttr>("state");
  for (StringRef name : {"windows", "lookback"})
    if ((!state || state.getValue() != "carry") && getSettings().get(name))
      return emitOpError() << "has setting '" << name
                           << "', which says nothing without state = \"carry\"";
  return success();
}

//===----------------------------------------------------------------------===//
// weir.experiment
//===----------------------------------------------------------------------===//

template <typename Part>
static Part firstOf(ExperimentOp op) {
  auto parts = op.getBody().getOps<Part>();
  return parts.empty() ? Part() : *parts.begin();
}

TaskOp ExperimentOp::getTask() { return firstOf<TaskOp>(*this); }
OptimizerOp ExperimentOp::getOptimizer() { return firstOf<OptimizerOp>(*this); }
/// The option of `model` that a setting names, if it has a plain default.
static Attribute optionValue(ModelOp model, FlatSymbolRefAttr name) {
  for (ConfigOp config : model.getBody().getOps<ConfigOp>())
    if (config.getName() == name.getValue()) return config.getDefaultValueAttr();
  return nullptr;
}

DictionaryAttr ExperimentOp::getTaskSettings() {
  auto model = SymbolTable::lookupNearestSymbolFrom<ModelOp>(*this, getModelAttr());
  NamedAttrList settings;
  for (NamedAttribute setting : getTask().getSettings()) {
    auto option = dyn_cast<FlatSymbolRefAttr>(setting.getValue());
    settings.append(setting.getName(), option ? optionValue(model, option) : setting.getValue());
  }
  return settings.getDictionary(getContext());
}

ScheduleOp ExperimentOp::getSchedule() { return firstOf<ScheduleOp>(*this); }
TrainOp ExperimentOp::getTrain() { return firstOf<TrainOp>(*this); }

LogicalResult ExperimentOp::verifyRegions() {
  llvm::StringMap<Operation*> parts;
  for (Operation& part : getBody().getOps()) {
    if (!isa<TaskOp, OptimizerOp, ScheduleOp, TrainOp>(part))
      return part.emitOpError() << "can't be in 'weir.experiment'";
    auto [it, isNew] = parts.try_emplace(part.getName().getStringRef(), &part);
    if (isNew) continue;
    InFlightDiagnostic error = part.emitOpError() << "is there twice in '@" << getSymName() << "'";
    error.attachNote(it->second->getLoc()) << "the first is here";
    return error;
  }
  for (StringRef needed : {"weir.task", "weir.optimizer", "weir.train"})
    if (!parts.contains(needed)) return emitOpError() << "needs a '" << needed << "'";
  return success();
}

LogicalResult ExperimentOp::verifySymbolUses(SymbolTableCollection& symbolTable) {
  Operation* model = symbolTable.lookupNearestSymbolFrom(*this, getModelAttr());
  if (!model) return emitOpError() << "names the model '@" << getModel() << "', which isn't there";
  auto known = dyn_cast<ModelOp>(model);
  if (!known) return emitOpError() << "names '@" << getModel() << "', which is no 'weir.model'";
  for (NamedAttribute setting : getTask().getSettings()) {
    auto option = dyn_cast<FlatSymbolRefAttr>(setting.getValue());
    if (option && !optionValue(known, option))
      return getTask().emitOpError() << "has setting '" << setting.getName().strref()
                                     << "' = " << option << ", but the model '@" << getModel()
                                     << "' has no option of that name with a plain default";
  }
  return success();
}

}  // namespace weir
