#include "compiler/driver/check/bench.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "llvm/Support/raw_ostream.h"

#include "compiler/dialect/sizes.h"
#include "compiler/driver/command.h"
#include "compiler/driver/flags.h"
#include "compiler/driver/program.h"
#include "compiler/driver/tensors.h"
#include "compiler/entry_points/initialize.h"
#include "compiler/transforms/expand.h"

namespace weir::check {

using runtime::HostTensor;
using runtime::TensorSpec;

namespace {

/// Tokens have to be rows of every table that they may look up.
int64_t smallestTable(mlir::func::FuncOp function) {
  int64_t rows = 1 << 20;
  bool found = false;
  function.walk([&](mlir::Operation* op) {
    if (op->getName().getStringRef() != "weir.embedding") return;
    for (mlir::Value operand : op->getOperands()) {
      auto type = mlir::dyn_cast<mlir::RankedTensorType>(operand.getType());
      if (!type || !type.hasStaticShape() || type.getRank() != 2) continue;
      rows = std::min(rows, type.getDimSize(0));
      found = true;
    }
  });
  return found ? rows : 2;
}

/// The middle and the width of what an initializer draws.
std::pair<double, double> rangeOf(const std::string& text) {
  std::string error;
  auto init = Initializer::parse(text, error);
  if (mlir::failed(init)) return {0, 0};
  if (init->kind == "ones") return {1, 0};
  if (init->kind == "constant") return {init->value.value_or(0), 0};
  if (init->kind == "normal") return {0, std::sqrt(3.0) * init->value.value_or(1)};
  if (init->kind == "uniform") return {0, init->value.value_or(1)};
  return {0, 0};
}

TensorSpec asDouble(TensorSpec spec) {
  if (!isInteger(spec)) spec.type = runtime::ElementType::kF64;
  return spec;
}

}  // namespace

DiagnosticCapture::DiagnosticCapture(mlir::MLIRContext& context)
    : handler_(&context, [this](mlir::Diagnostic& diagnostic) {
        if (diagnostic.getSeverity() != mlir::DiagnosticSeverity::Error) return mlir::success();
        if (!text_.empty()) text_ += "; ";
        llvm::raw_string_ostream stream(text_);
        stream << diagnostic;
        for (mlir::Diagnostic& note : diagnostic.getNotes()) stream << " (" << note << ")";
        std::replace(text_.begin(), text_.end(), '\n', ' ');
        return mlir::success();
      }) {}

absl::Status DiagnosticCapture::status(const absl::Status& status) const {
  return text_.empty() ? status : absl::InvalidArgumentError(text_);
}

Bench::Bench(Workspace& workspace, const CheckSubject& subject)
    : workspace_(workspace), subject_(subject), tokens_(smallestTable(subject.model.function())) {}

absl::StatusOr<mlir::ModuleOp> Bench::expanded(bool segments, bool start) {
  if (!segments && !start) return *subject_.model.expanded;
  mlir::OwningOpRef<mlir::ModuleOp>& known = expanded_[{segments, start}];
  if (!known) {
    ExpansionOptions options;
    options.resolver = resolverFrom(workspace_.registry());
    options.model = ModelOp(subject_.model.model).getSymName().str();
    options.segments = segments;
    options.start = start;
    auto expanded = expandModel(*subject_.model.module, options);
    if (mlir::failed(expanded)) return workspace_.failed();
    known = std::move(*expanded);
  }
  return *known;
}

absl::StatusOr<runtime::Program> Bench::compile(mlir::ModuleOp module, bool separate) {
  absl::StatusOr<std::vector<IsaLevel>> levels = isaLevels();
  if (!levels.ok()) return levels.status();
  if (absl::Status status = formKernels(workspace_, module, separate); !status.ok()) return status;
  ProgramOptions options;
  options.levels = *levels;
  auto program = buildProgram(module, options);
  if (mlir::failed(program)) return workspace_.failed();
  return std::move(*program);
}

absl::StatusOr<const runtime::Program*> Bench::program(const Build& build) {
  auto known = programs_.find(build);
  if (known != programs_.end()) return &known->second;
  DiagnosticCapture diagnostics(workspace_.context());
  absl::StatusOr<mlir::ModuleOp> model = expanded(build.segments, /*start=*/build.segments);
  if (!model.ok()) return diagnostics.status(model.status());
  RunSettings settings;
  auto shapes = inputShapes(subject_.model, build.batch, build.length);
  if (!shapes.ok()) return shapes.status();
  settings.inputShapes = *std::move(shapes);
  settings.precision = build.precision;
  settings.gradients = build.gradients;
  settings.separate = build.separate;
  auto module = buildRunModule(*model, settings);
  if (mlir::failed(module)) return diagnostics.status(workspace_.failed());
  absl::StatusOr<runtime::Program> program = compile(**module, build.separate);
  if (!program.ok()) return diagnostics.status(program.status());
  return &programs_.emplace(build, *std::move(program)).first->second;
}

absl::StatusOr<mlir::OwningOpRef<mlir::ModuleOp>> Bench::streamModule(const StreamBuild& build,
                                                                      Precision precision,
                                                                      Level level) {
  absl::StatusOr<mlir::ModuleOp> model = expanded(build.segments, /*start=*/true);
  if (!model.ok()) return model.status();
  StreamSettings settings;
  settings.batch = build.batch;
  settings.chunk = build.chunk;
  settings.context = build.context;
  settings.precision = precision;
  settings.segments = build.segments;
  settings.stopAfter = level;
  auto module = buildStreamModule(*model, settings);
  if (mlir::failed(module)) return workspace_.failed();
  return std::move(*module);
}

absl::StatusOr<const runtime::Program*> Bench::stream(const StreamBuild& build) {
  auto known = streams_.find(build);
  if (known != streams_.end()) return &known->second;
  DiagnosticCapture diagnostics(workspace_.context());
  auto module = streamModule(build, Precision::F64, Level::Optimized);
  if (!module.ok()) return diagnostics.status(module.status());
  absl::StatusOr<runtime::Program> program = compile(**module, /*separate=*/false);
  if (!program.ok()) return diagnostics.status(program.status());
  return &streams_.emplace(build, *std::move(program)).first->second;
}

Tensors Bench::parameters(const runtime::Program& program) {
  std::map<std::string, std::string> inits;
  for (const ParameterInit& parameter : parametersOf(subject_.model.function()))
    inits[parameter.name] = parameter.init;
  Tensors values;
  for (const runtime::Variable& variable : program.variables) {
    const TensorSpec& spec = variable.spec;
    if (variable.role != runtime::Role::kParameter) continue;
    auto [middle, width] = rangeOf(inits[spec.name]);
    double fanIn = spec.shape.size() < 2 ? 1 : static_cast<double>(spec.shape.back());
    width += 0.2 * std::min(1.0, 5 / std::sqrt(fanIn));
    HostTensor tensor(asDouble(spec));
    for (int64_t i = 0, n = spec.NumElements(); i < n; ++i)
      setNumber(tensor, i, static_cast<float>(middle + width * drawUniform(spec.name, i)));
    values.emplace(spec.name, std::move(tensor));
  }
  return values;
}

absl::StatusOr<Tensors> Bench::values(const Build& build) {
  absl::StatusOr<const runtime::Program*> compiled = program(build);
  if (!compiled.ok()) return compiled.status();
  const runtime::EntryPoint* entry =
      (*compiled)->FindEntryPoint(build.gradients ? "gradients" : "run");
  if (!entry) return absl::InternalError("the program lacks an entry point");
  Tensors values = parameters(**compiled);
  for (const TensorSpec& spec : entry->inputs) {
    bool isZero = spec.name == "segments" || spec.name == "start";
    values.emplace(spec.name, isZero ? HostTensor(spec) : draw(asDouble(spec), tokens_));
  }
  return values;
}

absl::StatusOr<std::unique_ptr<runtime::Session>> Bench::session(const runtime::Program& program,
                                                                 const RunOptions& options) {
  if (!device_) {
    auto device = runtime::CpuDevice::Create({absl::GetFlag(FLAGS_isa)});
    if (!device.ok()) return device.status();
    device_ = *std::move(device);
  }
  runtime::SessionOptions sessionOptions;
  sessionOptions.threads = options.threads;
  sessionOptions.poison = options.poison;
  return runtime::Session::Create(program, *device_, sessionOptions);
}

absl::StatusOr<Bench::Running*> Bench::running(const Build& build, const RunOptions& options) {
  RunningKey key(build, options.threads, options.poison);
  auto known = running_.find(key);
  if (known != running_.end()) return &known->second;
  absl::StatusOr<const runtime::Program*> compiled = program(build);
  if (!compiled.ok()) return compiled.status();
  auto created = session(**compiled, options);
  if (!created.ok()) return created.status();
  return &running_.emplace(key, Running{*std::move(created), {}}).first->second;
}

absl::StatusOr<Tensors> Bench::run(const Build& build, const std::string& entry,
                                   const Tensors& values, const RunOptions& options) {
  absl::StatusOr<Running*> found = running(build, options);
  if (!found.ok()) return found.status();
  runtime::Session& session = *(*found)->session;
  for (const runtime::Variable& variable : session.program().variables) {
    auto value = values.find(variable.spec.name);
    if (value == values.end()) continue;
    HostTensor& written = (*found)->written[variable.spec.name];
    if (written.bytes() == value->second.bytes()) continue;
    written = value->second;
    absl::Status status =
        session.WriteVariable(variable.spec.name, converted(value->second, variable.spec));
    if (!status.ok()) return status;
  }
  const runtime::EntryPoint* point = session.program().FindEntryPoint(entry);
  if (!point)
    return absl::InternalError(absl::StrCat("the program has no entry point '", entry, "'"));
  std::vector<HostTensor> inputs, outputs;
  for (const TensorSpec& spec : point->inputs) {
    auto value = values.find(spec.name);
    if (value == values.end() || value->second.spec().shape != spec.shape)
      return absl::InternalError(absl::StrCat("no value for ", spec.ToString()));
    inputs.push_back(converted(value->second, spec));
  }
  if (absl::Status status = session.Run(entry, inputs, &outputs); !status.ok()) return status;
  Tensors results;
  for (HostTensor& output : outputs) {
    std::string name = output.spec().name;
    results.emplace(std::move(name), std::move(output));
  }
  return results;
}

bool isState(absl::string_view name) { return absl::StartsWith(name, "state."); }

bool isCotangent(absl::string_view name) {
  return name == "cotangent" || absl::StartsWith(name, "cotangent.");
}

}  // namespace weir::check
