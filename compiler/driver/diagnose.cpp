#include "compiler/driver/diagnose.h"

#include <cmath>
#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Pass/PassManager.h"

#include "compiler/dialect/dispatch_ops.h"
#include "compiler/driver/program.h"
#include "compiler/pipelines/pipelines.h"
#include "compiler/transforms/plan_layout.h"
#include "compiler/transforms/plan_specs.h"

namespace weir {

using namespace mlir;
using runtime::HostTensor;

namespace {

constexpr char kTrainStep[] = "train_step";
constexpr llvm::StringLiteral kPartAttr = "weir.part";

/// What isn't finite in a tensor.
struct Damage {
  int64_t nans = 0, infinities = 0, elements = 0;

  std::string str() const {
    std::string text;
    if (nans > 0) absl::StrAppend(&text, nans, " NaN");
    if (infinities > 0)
      absl::StrAppend(&text, text.empty() ? "" : " and ", infinities,
                      infinities == 1 ? " infinity" : " infinities");
    absl::StrAppend(&text, " among ", elements, elements == 1 ? " number" : " numbers");
    return text;
  }
};

/// Of the elements of `tensor` at `strides` for `shape`.
Damage damageOf(const HostTensor& tensor, ArrayRef<int64_t> shape, ArrayRef<int64_t> strides) {
  Damage damage;
  SmallVector<int64_t> index(shape.size());
  for (int64_t place = 0;;) {
    double value = tensor.Number(place);
    damage.nans += std::isnan(value);
    damage.infinities += std::isinf(value);
    ++damage.elements;
    unsigned dim = shape.size();
    while (dim > 0 && ++index[dim - 1] == shape[dim - 1]) {
      --dim;
      place -= strides[dim] * (shape[dim] - 1);
      index[dim] = 0;
    }
    if (dim == 0) return damage;
    place += strides[dim - 1];
  }
}

/// What is known of a launch when the program runs.
struct WatchedLaunch {
  LaunchOp op;
  struct Result {
    int64_t number;            // of the result
    runtime::TensorSpec spec;  // as many elements as lie between its first and its last
    SmallVector<int64_t> shape, strides;
  };
  std::vector<Result> results;  // those of floats
};

WatchedLaunch watch(LaunchOp launch, SymbolTable& symbols) {
  WatchedLaunch watched{launch, {}};
  auto kernel = symbols.lookup<func::FuncOp>(launch.getKernel());
  // The ends of a range that a maximum begins with.
  bool onlyFills = true;
  kernel.walk([&](Operation* op) {
    onlyFills &= !isa<linalg::LinalgOp>(op) || isa<linalg::FillOp>(op);
    onlyFills &= !isa<WeirDialect>(op->getDialect());
  });
  if (onlyFills) return watched;
  for (auto [number, type] : llvm::enumerate(launch->getResultTypes())) {
    auto tensor = dyn_cast<RankedTensorType>(type);
    if (!tensor || !isa<FloatType>(tensor.getElementType()) || tensor.getNumElements() == 0)
      continue;
    std::optional<runtime::ElementType> element = elementType(tensor.getElementType());
    if (!element) continue;
    SmallVector<int64_t> shape(tensor.getShape()), strides = rowMajorStrides(shape);
    if (auto own = kernel.getResultAttrOfType<DenseI64ArrayAttr>(number, kStridesAttr))
      strides.assign(own.asArrayRef().begin(), own.asArrayRef().end());
    int64_t extent = 1;
    for (auto [size, stride] : llvm::zip(shape, strides)) extent += (size - 1) * stride;
    watched.results.push_back(
        {static_cast<int64_t>(number), {"", *element, {extent}}, shape, strides});
  }
  return watched;
}

/// The first launch that wrote something that isn't finite.
struct Finding {
  LaunchOp op;
  Damage damage;
};

/// Runs the step of `program`, whose launches are those of `watched`, beginning as `session` does.
absl::StatusOr<std::optional<Finding>> runWatched(runtime::Program program,
                                                  const std::vector<WatchedLaunch>& watched,
                                                  const runtime::Session& session,
                                                  absl::Span<const HostTensor> inputs) {
  absl::StatusOr<RunningProgram> running = startProgram(std::move(program));
  if (!running.ok()) return running.status();
  runtime::Session& slow = *running->session;
  for (const runtime::Variable& variable : slow.program().variables) {
    if (variable.role == runtime::Role::kPrepared) continue;  // of other names in each program
    absl::StatusOr<HostTensor> value = session.ReadVariable(variable.spec.name);
    if (!value.ok()) return value.status();
    absl::Status status = slow.WriteVariable(variable.spec.name, *value);
    if (!status.ok()) return status;
  }
  std::optional<Finding> found;
  absl::Status reading;
  slow.SetObserver([&](const runtime::LaunchTime& time) {
    if (found || !reading.ok() || time.entry_point != kTrainStep) return;
    WatchedLaunch launch = watched[time.launch];
    auto operands = static_cast<int64_t>(launch.op.getOperands().size());
    for (const WatchedLaunch::Result& result : launch.results) {
      HostTensor value(result.spec);
      reading =
          slow.ReadBuffer(time.entry_point, time.launch, operands + result.number, value.bytes());
      if (!reading.ok()) return;
      Damage damage = damageOf(value, result.shape, result.strides);
      if (damage.nans + damage.infinities == 0) continue;
      found = Finding{launch.op, damage};
      return;
    }
  });
  std::vector<HostTensor> outputs;
  absl::Status status = slow.Run(kTrainStep, inputs, &outputs);
  if (!status.ok()) return status;
  if (!reading.ok()) return reading;
  return found;
}

/// The places that a location is made of: fused ops have several.
void collect(Location location, SmallVectorImpl<Location>& parts) {
  auto fused = dyn_cast<FusedLoc>(location);
  if (!fused) return parts.push_back(location);
  for (Location part : fused.getLocations()) collect(part, parts);
}

/// "'math.log' in layer.1 (model.mlir:8:10)" for an op of the expanded model, "" for others.
std::string describe(Location location, ModuleOp expanded) {
  Operation* found = nullptr;
  expanded.walk([&](Operation* op) {
    if (!found && op->getLoc() == location && !isa<func::FuncOp, ModuleOp>(op)) found = op;
  });
  if (!found) return "";
  std::string text = absl::StrCat("'", found->getName().getStringRef().str(), "'");
  if (auto name = dyn_cast<NameLoc>(location)) {
    absl::StrAppend(&text, " in ", name.getName().str());
    location = name.getChildLoc();
  }
  while (auto call = dyn_cast<CallSiteLoc>(location)) location = call.getCallee();
  if (auto file = location->findInstanceOf<FileLineColLoc>())
    absl::StrAppend(&text, " (", file.getFilename().str(), ":", file.getLine(), ":",
                    file.getColumn(), ")");
  return text;
}

std::string report(const Finding& finding, ModuleOp expanded) {
  LaunchOp op = finding.op;
  SmallVector<Location> parts;
  collect(op.getLoc(), parts);
  std::string what;
  for (Location part : parts)
    if (what = describe(part, expanded); !what.empty()) break;
  StringRef part = op->hasAttr(kPartAttr) ? cast<StringAttr>(op->getAttr(kPartAttr)).getValue()
                                          : StringRef("train_step");
  std::string text = "the first result that isn't finite is ";
  if (part == "train_optimizer" || part == "train_accumulate")
    absl::StrAppend(&text, "one of the optimizer");
  else if (part == "train_step")
    absl::StrAppend(&text, "one of the step as a whole");
  else
    absl::StrAppend(&text, "that of ", part == "train_backward" ? "the gradient of " : "",
                    what.empty() ? "the loss" : what);
  return absl::StrCat(text, ": ", finding.damage.str());
}

/// A parameter that isn't finite before the step; "" if there is none.
absl::StatusOr<std::string> damagedParameter(const runtime::Session& session) {
  for (const runtime::Variable& variable : session.program().variables) {
    if (variable.role != runtime::Role::kParameter) continue;
    absl::StatusOr<HostTensor> value = session.ReadVariable(variable.spec.name);
    if (!value.ok()) return value.status();
    Damage damage = damageOf(*value, {variable.spec.NumElements()}, {1});
    if (damage.nans + damage.infinities > 0)
      return absl::StrCat("the parameter '", variable.spec.name,
                          "' wasn't finite before the step: ", damage.str());
  }
  return "";
}

}  // namespace

absl::StatusOr<std::string> findFirstNonFinite(Workspace& workspace, const LoadedModel& loaded,
                                               const runtime::Task& task,
                                               const runtime::Session& session,
                                               absl::Span<const HostTensor> inputs) {
  absl::StatusOr<std::string> parameter = damagedParameter(session);
  if (!parameter.ok() || !parameter->empty()) return parameter;

  auto module = trainingModule(workspace, loaded, task, /*evaluateOnly=*/false, Level::Optimized,
                               /*fuse=*/false);
  if (!module.ok()) return module.status();
  PassManager passes(&workspace.context());
  FormKernelsOptions singleOps;
  singleOps.maxOps = 1;
  singleOps.fuse = false;
  addFormKernels(passes, singleOps);
  if (failed(passes.run(**module))) return workspace.failed();
  // Functions are inlined into the step when it is planned.
  for (auto function : (*module)->getOps<func::FuncOp>())
    function.walk([&](LaunchOp launch) { launch->setAttr(kPartAttr, function.getSymNameAttr()); });
  absl::StatusOr<std::vector<IsaLevel>> levels = isaLevels();
  if (!levels.ok()) return levels.status();
  ProgramOptions options;
  options.levels = *levels;
  FailureOr<runtime::Program> program = buildProgram(**module, options);
  if (failed(program)) return workspace.failed();

  SymbolTable symbols(**module);
  std::vector<WatchedLaunch> watched;
  symbols.lookup<func::FuncOp>(kTrainStep).walk([&](LaunchOp launch) {
    watched.push_back(watch(launch, symbols));
  });
  const runtime::EntryPoint* entry = program->FindEntryPoint(kTrainStep);
  if (!entry || entry->launches.size() != watched.size())
    return absl::InternalError("the program of single ops isn't what was planned");
  absl::StatusOr<std::optional<Finding>> found =
      runWatched(*std::move(program), watched, session, inputs);
  if (!found.ok()) return found.status();
  if (!*found)
    return absl::NotFoundError(
        "run op by op, everything in the step is finite: it takes the rounding of fused kernels");
  return report(**found, *loaded.expanded);
}

}  // namespace weir
