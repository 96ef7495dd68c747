#include "compiler/transforms/adamw.h"

namespace weir {

using namespace mlir;

namespace {

std::vector<std::string> strings(ArrayAttr attrs) {
  std::vector<std::string> result;
  for (Attribute attr : attrs)
    if (auto text = dyn_cast<StringAttr>(attr)) result.push_back(text.str());
  return result;
}

}  // namespace

FailureOr<AdamWSettings> readAdamWSettings(ExperimentOp experiment) {
  OptimizerOp optimizer = experiment.getOptimizer();
  if (optimizer.getName() != "adamw") {
    optimizer.emitOpError() << "'" << optimizer.getName() << "' is unknown; there is adamw";
    return failure();
  }
  AdamWSettings settings;
  DictionaryAttr own = optimizer.getSettings();
  settings.lr = getNumber(own, "lr", settings.lr);
  settings.eps = getNumber(own, "eps", settings.eps);
  settings.weightDecay = getNumber(own, "weight_decay", settings.weightDecay);
  if (auto betas = own.getAs<ArrayAttr>("betas"); betas && betas.size() == 2) {
    auto number = [](Attribute attr) {
      if (auto value = dyn_cast<FloatAttr>(attr)) return value.getValueAsDouble();
      return static_cast<double>(cast<IntegerAttr>(attr).getInt());
    };
    settings.beta1 = number(betas[0]);
    settings.beta2 = number(betas[1]);
  }
  if (auto patterns = own.getAs<ArrayAttr>("no_decay")) settings.noDecay = strings(patterns);
  if (!optimizer.getGroups().empty()) {
    for (auto group : optimizer.getGroups().front().getOps<GroupOp>())
      settings.groups.push_back({strings(group.getPatterns()),
                                 getNumber(group.getSettings(), "lr_scale", 1.0),
                                 getNumber(group.getSettings(), "weight_decay")});
  }
  DictionaryAttr train = experiment.getTrain().getSettings();
  settings.steps = getNumber(train, "steps", 0);
  settings.clip = getNumber(train, "clip");
  if (auto kind = train.getAs<StringAttr>("clip_kind"))
    settings.clipsEachParameter = kind == "local";
  settings.accumulate = getNumber(train, "accumulate", 1);
  if (ScheduleOp schedule = experiment.getSchedule()) {
    settings.schedule = schedule.getName().str();
    settings.warmup = getNumber(schedule.getSettings(), "warmup", 0);
    settings.steps = getNumber(schedule.getSettings(), "steps", settings.steps);
    settings.finalScale = getNumber(schedule.getSettings(), "final", 0.0);
  }
  if (std::string problem = findProblem(settings); !problem.empty()) {
    experiment.emitOpError(problem);
    return failure();
  }
  return settings;
}

std::string findProblem(const AdamWSettings& settings) {
  if (settings.schedule != "constant" && settings.schedule != "linear" &&
      settings.schedule != "cosine")
    return "the schedule '" + settings.schedule +
           "' is unknown; there are constant, linear and cosine";
  if (settings.warmup < 0) return "warmup must not be negative";
  if (settings.beta1 < 0.0 || settings.beta1 >= 1.0 || settings.beta2 < 0.0 ||
      settings.beta2 >= 1.0)
    return "betas must be at least 0 and less than 1";
  if (settings.accumulate < 1) return "accumulate must be at least 1";
  if (settings.clip && *settings.clip <= 0.0) return "clip must be positive";
  return {};
}

}  // namespace weir
