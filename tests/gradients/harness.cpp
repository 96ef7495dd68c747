#include "tests/gradients/harness.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <iostream>
#include <limits>
#include <random>
#include <set>

#include "gtest/gtest.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"

#include "compiler/dialect/dispatch_ops.h"
#include "compiler/entry_points/programs.h"
#include "compiler/pipelines/pipelines.h"
#include "compiler/tools/register_all.h"
#include "compiler/transforms/expand.h"
#include "runtime/device/cpu/isa.h"
#include "runtime/plugin/registry.h"

namespace weir::gradients {

using runtime::ElementType;
using runtime::HostTensor;
using runtime::TensorSpec;

namespace {

bool isFloat(ElementType type) { return type == ElementType::kF32 || type == ElementType::kF64; }

bool startsWith(const std::string& text, const std::string& prefix) {
  return text.compare(0, prefix.size(), prefix) == 0;
}

bool isCotangent(const std::string& name) { return startsWith(name, "cotangent"); }

/// The name of the gradient of an input, a state or a parameter.
std::string gradientName(const std::string& leaf, bool isInput) {
  if (!isInput) return leaf;
  if (startsWith(leaf, "state.")) return "state_gradient." + leaf.substr(6);
  return "input." + leaf;
}

std::string cotangentName(const std::string& output) {
  if (output == "output") return "cotangent";
  if (startsWith(output, "output.")) return "cotangent." + output.substr(7);
  return "cotangent." + output.substr(6);  // state.
}

runtime::TensorSpec named(TensorSpec spec, ElementType type) {
  spec.type = type;
  return spec;
}

HostTensor converted(const HostTensor& tensor, const TensorSpec& spec) {
  HostTensor result(spec);
  int64_t elements = spec.NumElements();
  for (int64_t i = 0; i < elements; ++i) SetNumber(result, i, tensor.Number(i));
  return result;
}

const runtime::Registry& registry() {
  static auto* loaded = new absl::StatusOr<runtime::Registry>(runtime::LoadRegistry({}, {}));
  EXPECT_TRUE(loaded->ok()) << loaded->status();
  return **loaded;
}

double maximum(const HostTensor& tensor) {
  double result = 0;
  for (int64_t i = 0, n = tensor.spec().NumElements(); i < n; ++i)
    result = std::max(result, std::abs(tensor.Number(i)));
  return result;
}

int64_t bytesOf(mlir::Type type) {
  auto tensor = mlir::dyn_cast<mlir::RankedTensorType>(type);
  if (!tensor) return 0;
  return tensor.getNumElements() * ((tensor.getElementTypeBitWidth() + 7) / 8);
}

/// Whether two runs gave the same bits; says where they don't.
void expectSameBits(const Tensors& a, const Tensors& b, const std::string& what) {
  for (const auto& [name, tensor] : a) {
    auto other = b.find(name);
    ASSERT_TRUE(other != b.end()) << name;
    EXPECT_EQ(
        std::memcmp(tensor.bytes().data(), other->second.bytes().data(), tensor.bytes().size()), 0)
        << what << " changes " << name << " by " << Difference(tensor, other->second);
  }
}

/// sum of cotangent * (plus - minus), over outputs and last states.
double weighedChange(const Tensors& values, const Tensors& plus, const Tensors& minus) {
  double sum = 0;
  for (const auto& [name, a] : plus) {
    auto cotangent = values.find(cotangentName(name));
    if (cotangent == values.end()) continue;
    const HostTensor& b = minus.at(name);
    for (int64_t i = 0, n = a.spec().NumElements(); i < n; ++i)
      sum += cotangent->second.Number(i) * (a.Number(i) - b.Number(i));
  }
  return sum;
}

struct Derivatives {
  double analytic = 0, numeric = 0;
};

/// A derivative along a random direction. Where two steps disagree there is a kink between, and
/// another direction is drawn, with shorter steps.
Derivatives directional(Runner& runner, const Tensors& values, const std::string& leaf,
                        const HostTensor& gradient, std::mt19937& random) {
  std::uniform_real_distribution<double> uniform(-1, 1);
  const HostTensor& base = values.at(leaf);
  std::vector<double> direction(base.spec().NumElements());
  double step = 2e-5;
  for (int attempt = 0; attempt < 5; ++attempt, step /= 4) {
    Derivatives result;
    for (size_t i = 0; i < direction.size(); ++i) {
      direction[i] = uniform(random);
      result.analytic += direction[i] * gradient.Number(i);
    }
    auto moved = [&](double distance) {
      Tensors at = values;
      HostTensor& tensor = at.at(leaf);
      for (size_t i = 0; i < direction.size(); ++i)
        SetNumber(tensor, i, base.Number(i) + distance * direction[i]);
      return runner.run("run", at);
    };
    auto slope = [&](double distance) {
      return weighedChange(values, moved(distance), moved(-distance)) / (2 * distance);
    };
    double near = slope(step), far = slope(2 * step);
    result.numeric = (4 * near - far) / 3;
    if (std::abs(near - far) <= 2e-7 * std::max(std::abs(near), 1e-2)) return result;
  }
  ADD_FAILURE() << "no direction without a kink for " << leaf;
  return {};
}

void poison(Tensors& values) {
  for (auto& [name, tensor] : values) {
    if (!isFloat(tensor.spec().type)) continue;
    for (int64_t i = 0, n = tensor.spec().NumElements(); i < n; ++i)
      SetNumber(tensor, i, std::numeric_limits<double>::quiet_NaN());
  }
}

void checkThreads(const Compiled& compiled, const Tensors& values) {
  Tensors poisoned = values;
  poison(poisoned);
  Tensors reference = Runner(compiled.program(), 1).run("gradients", values);
  for (int threads : {1, 2, 3}) {
    Runner runner(compiled.program(), threads);
    runner.run("gradients", poisoned);
    expectSameBits(reference, runner.run("gradients", values),
                   "a run with " + std::to_string(threads) + " threads after NaNs");
  }
}

}  // namespace

double Difference(const HostTensor& a, const HostTensor& b, double floor) {
  double error = 0, largest = floor;
  EXPECT_EQ(a.spec().NumElements(), b.spec().NumElements());
  for (int64_t i = 0, n = a.spec().NumElements(); i < n; ++i) {
    double difference = std::abs(a.Number(i) - b.Number(i));
    if (!(difference <= error)) error = difference;  // and NaN
    largest = std::max(largest, std::abs(b.Number(i)));
  }
  return error / largest;
}

std::vector<int32_t> SomeSegments(int64_t batch, int64_t time) {
  std::vector<int32_t> segments;
  for (int64_t row = 0; row < batch; ++row)
    for (int64_t t = 0; t < time; ++t)
      segments.push_back((t > time / 3) + (t > time / 3 + 1) + (t >= time - 2 - row));
  return segments;
}

IsaLevel testLevel() {
  for (const std::string& level : runtime::SupportedIsaLevels())
    if (level != "avx2") return IsaLevel::Avx512;
  return IsaLevel::Avx2;
}

Compiled::Compiled(const Model& model, Type type, bool gradients) {
  compile(model, type, gradients);
}

void Compiled::compile(const Model& model, Type type, bool gradients) {
  mlir::DialectRegistry dialects;
  registerAllDialects(dialects);
  mlir::MLIRContext context(dialects);
  auto module = mlir::parseSourceString<mlir::ModuleOp>(model.text, &context);
  ASSERT_TRUE(module) << model.text;
  ExpansionOptions expansion;
  expansion.resolver = resolverFrom(registry());
  expansion.segments = !model.segments.empty();
  expansion.start = model.stepContext.has_value();
  auto expanded = expandModel(*module, expansion);
  ASSERT_TRUE(mlir::succeeded(expanded)) << model.text;
  Precision precision = type == Type::F64    ? Precision::F64
                        : type == Type::BF16 ? Precision::Bf16
                                             : Precision::F32;
  mlir::FailureOr<mlir::OwningOpRef<mlir::ModuleOp>> built = mlir::failure();
  if (model.streamChunk) {
    StreamSettings settings;
    settings.batch = model.shapes.begin()->second[0];
    settings.chunk = *model.streamChunk;
    settings.context = *model.stepContext;
    settings.precision = precision;
    settings.segments = expansion.segments;
    built = buildStreamModule(**expanded, settings);
  } else {
    RunSettings settings;
    for (const auto& [name, shape] : model.shapes)
      settings.inputShapes[name].assign(shape.begin(), shape.end());
    settings.precision = precision;
    settings.gradients = gradients;
    settings.stepContext = model.stepContext;
    built = buildRunModule(**expanded, settings);
  }
  ASSERT_TRUE(mlir::succeeded(built)) << model.text;
  mlir::PassManager passes(&context);
  addFormKernels(passes);
  ASSERT_TRUE(mlir::succeeded(passes.run(**built))) << model.text;
  for (auto function : (*built)->getOps<mlir::func::FuncOp>()) {
    Work& work = workOfFunctions[function.getSymName().str()];
    function.walk([&](LaunchOp launch) {
      ++work.launches;
      for (mlir::Type type : launch->getOperandTypes()) work.bytes += bytesOf(type);
      for (mlir::Type type : launch->getResultTypes()) work.bytes += bytesOf(type);
    });
  }
  auto program = buildProgram(**built, ProgramOptions{{testLevel()}, {}});
  ASSERT_TRUE(mlir::succeeded(program)) << model.text;
  compiled = std::move(*program);
  isOk = true;
}

Tensors Compiled::draw(const Model& model) const {
  std::mt19937 random(model.seed);
  std::uniform_real_distribution<float> uniform(-1, 1);
  Tensors values;
  auto fill = [&](const TensorSpec& spec, bool isParameter) {
    HostTensor tensor(isFloat(spec.type) ? named(spec, ElementType::kF64) : spec);
    int64_t elements = spec.NumElements();
    double range = isCotangent(spec.name) ? 1 : model.range;
    if (isParameter && spec.shape.size() > 1)
      range *= 2 / std::sqrt(static_cast<double>(elements) / spec.shape[0]);
    auto given = model.values.find(spec.name);
    for (int64_t i = 0; i < elements; ++i) {
      if (given != model.values.end()) {
        SetNumber(tensor, i, static_cast<float>(given->second[i % given->second.size()]));
      } else if (spec.name == "segments") {
        SetNumber(tensor, i, model.segments[i]);
      } else if (isFloat(spec.type)) {
        SetNumber(tensor, i, static_cast<float>(range * uniform(random)));
      } else {
        SetNumber(tensor, i, static_cast<double>(random() % model.vocabulary));
      }
    }
    values.emplace(spec.name, std::move(tensor));
  };
  const runtime::EntryPoint* entry = compiled.FindEntryPoint("gradients");
  if (!entry) entry = compiled.FindEntryPoint("run");
  for (const TensorSpec& spec : entry->inputs) fill(spec, false);
  for (const runtime::Variable& variable : compiled.variables)
    if (variable.role == runtime::Role::kParameter) fill(variable.spec, true);
  return values;
}

Runner::Runner(const runtime::Program& program, int threads) { open(program, threads); }

void Runner::open(const runtime::Program& program, int threads) {
  auto created = runtime::CpuDevice::Create({CpuTarget{testLevel()}.name()});
  ASSERT_TRUE(created.ok()) << created.status();
  device = *std::move(created);
  auto opened = runtime::Session::Create(program, *device, {threads});
  ASSERT_TRUE(opened.ok()) << opened.status();
  session = *std::move(opened);
}

Tensors Runner::run(const std::string& entry, const Tensors& values) {
  Tensors result;
  runInto(entry, values, result);
  return result;
}

void Runner::runInto(const std::string& entry, const Tensors& values, Tensors& result) {
  {
    ASSERT_NE(session, nullptr);
    for (const runtime::Variable& variable : session->program().variables) {
      auto found = values.find(variable.spec.name);
      if (found == values.end()) continue;
      absl::Status status =
          session->WriteVariable(variable.spec.name, converted(found->second, variable.spec));
      ASSERT_TRUE(status.ok()) << status;
    }
    const runtime::EntryPoint* point = session->program().FindEntryPoint(entry);
    ASSERT_NE(point, nullptr) << entry;
    std::vector<HostTensor> inputs, outputs;
    for (const TensorSpec& spec : point->inputs)
      inputs.push_back(converted(values.at(spec.name), spec));
    absl::Status status = session->Run(entry, inputs, &outputs);
    ASSERT_TRUE(status.ok()) << status;
    for (size_t i = 0; i < outputs.size(); ++i)
      result.emplace(point->outputs[i].name, std::move(outputs[i]));
  }
}

Report CheckModel(const Model& model) {
  Report report;
  Compiled exact(model, Type::F64), single(model, Type::F32);
  if (!exact.ok() || !single.ok()) return report;
  Tensors values = exact.draw(model);
  Runner runner(exact.program(), 1);
  Tensors results = runner.run("gradients", values);

  // The entry point `run` computes the same outputs; it isn't the same code.
  double largestOutput = 0;
  for (const auto& [name, tensor] : runner.run("run", values)) {
    EXPECT_LE(Difference(tensor, results.at(name)), 1e-12) << name;
    largestOutput = std::max(largestOutput, maximum(tensor));
  }
  EXPECT_GT(largestOutput, 1e-6) << "the outputs are zero";

  std::set<std::string> inputs;
  for (const TensorSpec& spec : exact.program().FindEntryPoint("run")->inputs)
    inputs.insert(spec.name);
  std::mt19937 random(model.seed + 17);
  double largestGradient = 0;
  for (const auto& [leaf, value] : values) {
    if (isCotangent(leaf) || !isFloat(value.spec().type)) continue;
    auto gradient = results.find(gradientName(leaf, inputs.count(leaf)));
    if (gradient == results.end()) {
      ADD_FAILURE() << "no gradient of " << leaf;
      continue;
    }
    ++report.leaves;
    double error = 0, largest = 0;
    for (int direction = 0; direction < 3; ++direction) {
      Derivatives derivatives = directional(runner, values, leaf, gradient->second, random);
      double difference = std::abs(derivatives.analytic - derivatives.numeric);
      if (!(difference <= error)) error = difference;
      largest = std::max(largest, std::abs(derivatives.numeric));
    }
    largestGradient = std::max(largestGradient, maximum(gradient->second));
    // A derivative that is zero has rounding errors of the differences only.
    double relative = error / std::max(largest, 1e-3 * largestOutput);
    EXPECT_LE(relative, 1e-6) << "gradient of " << leaf << "; the largest derivative is "
                              << largest;
    if (!(relative <= report.finiteDifference)) {
      report.finiteDifference = relative;
      report.worstLeaf = leaf;
    }
  }

  Tensors results32 = Runner(single.program(), 1).run("gradients", values);
  for (const auto& [name, tensor] : results32) {
    double difference =
        Difference(tensor, results.at(name), 1e-3 * std::max(largestGradient, largestOutput));
    EXPECT_LE(difference, model.tolerance32) << name << " in f32";
    if (!(difference <= report.single)) {
      report.single = difference;
      report.worstTensor = name;
    }
  }
  checkThreads(exact, values);
  checkThreads(single, values);
  std::cout << "  gradients of " << report.leaves << " leaves: " << report.finiteDifference << " ("
            << report.worstLeaf << "), f32: " << report.single << " (" << report.worstTensor
            << ")\n";
  return report;
}

}  // namespace weir::gradients
