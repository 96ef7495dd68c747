#include "compiler/driver/numeric_check.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

#include "compiler/driver/tensors.h"
#include "compiler/entry_points/arguments.h"
#include "runtime/data/random.h"
#include "runtime/training/checkpoint.h"
#include "runtime/training/evaluate.h"

namespace weir {

using runtime::ElementType;
using runtime::HostTensor;

namespace {

constexpr int kDirections = 3;

/// Numbers in [-1, 1) by seed and stream.
class Uniform {
 public:
  Uniform(int64_t seed, uint32_t stream) : sequence(seed, stream, 0) {}
  double next() {
    return static_cast<double>(sequence.Below(int64_t{1} << 52)) /
               static_cast<double>(int64_t{1} << 51) -
           1;
  }
  int64_t below(int64_t n) { return sequence.Below(n); }

 private:
  runtime::RandomSequence sequence;
};

bool isInteger(const HostTensor& tensor) {
  ElementType type = tensor.spec().type;
  return type != ElementType::kF64 && type != ElementType::kF32 && type != ElementType::kBF16;
}

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

/// A stream of random numbers for each name, the same at every length.
uint32_t streamOf(const std::string& name) {
  uint32_t hash = 2166136261u;  // FNV-1a
  for (char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619u;
  return hash;
}

void randomize(HostTensor& tensor, int64_t tokens) {
  Uniform numbers(1, streamOf(tensor.spec().name));
  for (int64_t i = 0; i < tensor.spec().NumElements(); ++i)
    setNumber(tensor, i,
              isInteger(tensor) ? static_cast<double>(numbers.below(tokens)) : numbers.next());
}

bool isCotangent(absl::string_view input) {
  return input == "cotangent" || absl::StartsWith(input, "cotangent.");
}

double largest(const HostTensor& tensor) {
  double value = 0;
  for (int64_t i = 0; i < tensor.spec().NumElements(); ++i)
    value = std::max(value, std::abs(tensor.Number(i)));
  return value;
}

absl::StatusOr<HostTensor> find(const std::vector<HostTensor>& tensors, const std::string& name) {
  const HostTensor* found = runtime::FindOutput(tensors, name);
  if (!found) return absl::InternalError(absl::StrCat("the program has no output '", name, "'"));
  return *found;
}

}  // namespace

absl::StatusOr<std::unique_ptr<NumericCheck>> NumericCheck::create(Workspace& workspace,
                                                                   const LoadedModel& model,
                                                                   int64_t batch, int64_t length) {
  auto check = std::make_unique<NumericCheck>();
  check->length_ = length;
  RunSettings settings;
  auto shapes = inputShapes(model, batch, length);
  if (!shapes.ok()) return shapes.status();
  settings.inputShapes = *std::move(shapes);
  settings.precision = Precision::F64;
  settings.gradients = true;
  auto module = runModule(workspace, model, settings);
  if (!module.ok()) return module.status();
  absl::StatusOr<RunningProgram> program = startModule(workspace, **module, nullptr);
  if (!program.ok()) return program.status();
  check->program_ = *std::move(program);

  // Initial values are often zero or tiny, where a wrong gradient can hide: they are shaken.
  runtime::Session& session = *check->program_.session;
  if (absl::Status status = runtime::InitializeVariables(session, 1); !status.ok()) return status;
  for (const runtime::Variable& variable : session.program().variables) {
    if (variable.role != runtime::Role::kParameter) continue;
    absl::StatusOr<HostTensor> value = session.ReadVariable(variable.spec.name);
    if (!value.ok()) return value.status();
    Uniform numbers(2, streamOf(variable.spec.name));
    for (int64_t i = 0; i < variable.spec.NumElements(); ++i)
      setNumber(*value, i, value->Number(i) + 0.2 * numbers.next());
    if (absl::Status status = session.WriteVariable(variable.spec.name, *value); !status.ok())
      return status;
  }
  int64_t tokens = smallestTable(model.function());
  const runtime::EntryPoint* entry = session.program().FindEntryPoint("gradients");
  if (!entry) return absl::InternalError("the program has no entry point 'gradients'");
  for (const runtime::TensorSpec& spec : entry->inputs) {
    HostTensor tensor(spec);
    randomize(tensor, tokens);
    (isCotangent(spec.name) ? check->cotangents_ : check->inputs_).push_back(tensor);
  }
  return check;
}

absl::StatusOr<NumericCheck::Tensors> NumericCheck::run(const Tensors& inputs) {
  Tensors outputs;
  absl::Status status = program_.session->Run("run", inputs, &outputs);
  if (!status.ok()) return status;
  return outputs;
}

absl::StatusOr<double> NumericCheck::objective(const Tensors& inputs) {
  absl::StatusOr<Tensors> outputs = run(inputs);
  if (!outputs.ok()) return outputs.status();
  double sum = 0;
  for (const HostTensor& cotangent : cotangents_) {
    absl::string_view name = cotangent.spec().name;
    bool isState = absl::ConsumePrefix(&name, "cotangent.");
    absl::StatusOr<HostTensor> output =
        find(*outputs, isState ? absl::StrCat("state.", name) : "output");
    if (!output.ok()) return output.status();
    for (int64_t i = 0; i < output->spec().NumElements(); ++i)
      sum += output->Number(i) * cotangent.Number(i);
  }
  return sum;
}

absl::StatusOr<double> NumericCheck::objectiveAlong(const std::string& name,
                                                    const HostTensor& along, double step) {
  auto moved = [&](HostTensor value) {
    for (int64_t i = 0; i < value.spec().NumElements(); ++i)
      setNumber(value, i, value.Number(i) + step * along.Number(i));
    return value;
  };
  for (size_t i = 0; i < inputs_.size(); ++i) {
    const std::string& input = inputs_[i].spec().name;
    if (name != absl::StrCat("input.", input) && name != input) continue;
    Tensors inputs = inputs_;
    inputs[i] = moved(inputs[i]);
    return objective(inputs);
  }
  runtime::Session& session = *program_.session;
  absl::StatusOr<HostTensor> value = session.ReadVariable(name);
  if (!value.ok()) return value.status();
  if (absl::Status status = session.WriteVariable(name, moved(*value)); !status.ok()) return status;
  absl::StatusOr<double> result = objective(inputs_);
  if (absl::Status status = session.WriteVariable(name, *value); !status.ok()) return status;
  return result;
}

absl::StatusOr<double> NumericCheck::directionalError(const std::string& name,
                                                      const HostTensor& gradient, int direction) {
  HostTensor along(gradient.spec());
  Uniform numbers(3 + direction, streamOf(name));
  double analytic = 0, size = 0;
  for (int64_t i = 0; i < along.spec().NumElements(); ++i) {
    setNumber(along, i, numbers.next());
    analytic += gradient.Number(i) * along.Number(i);
    size += gradient.Number(i) * gradient.Number(i) / 3;  // the variance of along's elements
  }
  double best = INFINITY;
  // Large steps drown rounding where the derivative is tiny, small ones fit between kinks.
  for (double step : {1e-1, 1e-2, 1e-3, 1e-4, 1e-5}) {
    double numeric = 0;
    // Fourth order: (8 (f(h) - f(-h)) - (f(2h) - f(-2h))) / 12 h.
    for (auto [place, weight] : {std::pair<int, int>{1, 8}, {-1, -8}, {2, -1}, {-2, 1}}) {
      absl::StatusOr<double> value = objectiveAlong(name, along, place * step);
      if (!value.ok()) return value.status();
      numeric += weight * *value / (12 * step);
    }
    double difference = std::abs(numeric - analytic);
    double scale = std::max({std::abs(numeric), std::abs(analytic), std::sqrt(size)});
    best = std::min(best, difference == 0 ? 0 : difference / scale);
  }
  return best;
}

absl::StatusOr<std::vector<GradientError>> NumericCheck::gradients() {
  Tensors inputs, outputs;
  auto input = inputs_.begin(), cotangent = cotangents_.begin();
  const runtime::EntryPoint* entry = program_.session->program().FindEntryPoint("gradients");
  for (const runtime::TensorSpec& spec : entry->inputs)
    inputs.push_back(isCotangent(spec.name) ? *cotangent++ : *input++);
  absl::Status status = program_.session->Run("gradients", inputs, &outputs);
  if (!status.ok()) return status;
  std::vector<GradientError> errors;
  for (const HostTensor& gradient : outputs) {
    std::string name = gradient.spec().name;
    if (name == "output" || absl::StartsWith(name, "state.")) continue;
    if (absl::StartsWith(name, "state_gradient."))
      name = absl::StrCat("state.", absl::StripPrefix(name, "state_gradient."));
    GradientError worst{name, 0};
    for (int direction = 0; direction < kDirections; ++direction) {
      absl::StatusOr<double> error = directionalError(name, gradient, direction);
      if (!error.ok()) return error.status();
      // A NaN is the worst of all.
      if (!(*error <= worst.error)) worst.error = std::isnan(*error) ? INFINITY : *error;
    }
    errors.push_back(worst);
  }
  return errors;
}

absl::StatusOr<NumericCheck::Causality> NumericCheck::causality(int64_t from) {
  Tensors changed = inputs_;
  for (HostTensor& input : changed) {
    const runtime::TensorSpec& spec = input.spec();
    if (absl::StartsWith(spec.name, "state.") || spec.shape.size() < 2 || spec.shape[1] != length_)
      continue;
    int64_t inner = spec.NumElements() / (spec.shape[0] * length_);
    for (int64_t i = 0; i < spec.NumElements(); ++i) {
      if (i / inner % length_ < from) continue;
      double value = input.Number(i);
      // Tokens 0 and 1 are in every vocabulary.
      setNumber(input, i, isInteger(input) ? (value == 0 ? 1 : 0) : -value - 0.5);
    }
  }
  absl::StatusOr<Tensors> first = run(inputs_), second = run(changed);
  if (!first.ok()) return first.status();
  if (!second.ok()) return second.status();
  absl::StatusOr<HostTensor> a = find(*first, "output"), b = find(*second, "output");
  if (!a.ok()) return a.status();
  if (!b.ok()) return b.status();
  const std::vector<int64_t>& shape = a->spec().shape;
  if (shape.size() < 2 || shape[1] != length_)
    return absl::UnimplementedError("the output isn't batch x time");
  Causality result;
  double scale = std::max(largest(*a), 1e-30);
  int64_t inner = a->spec().NumElements() / (shape[0] * length_);
  for (int64_t i = 0; i < a->spec().NumElements(); ++i) {
    double difference = std::abs(a->Number(i) - b->Number(i)) / scale;
    if (i / inner % length_ < from)
      result.before = std::max(result.before, difference);
    else
      result.changesAfter |= difference > 1e-9;
  }
  return result;
}

absl::StatusOr<double> NumericCheck::stepError(NumericCheck& step) {
  absl::StatusOr<Tensors> whole = run(inputs_);
  if (!whole.ok()) return whole.status();
  absl::StatusOr<HostTensor> expected = find(*whole, "output");
  if (!expected.ok()) return expected.status();
  Tensors inputs = step.inputs_;
  double error = 0, scale = std::max(largest(*expected), 1e-30);
  for (int64_t t = 0; t < length_; ++t) {
    for (size_t n = 0; n < inputs.size(); ++n) {
      // The first states are the same for both; later ones come from the step before.
      bool isState = absl::StartsWith(inputs[n].spec().name, "state.");
      if (isState && t == 0) inputs[n] = inputs_[n];
      if (isState) continue;
      int64_t rows = inputs[n].spec().shape[0], inner = inputs[n].spec().NumElements() / rows;
      for (int64_t row = 0; row < rows; ++row)
        for (int64_t i = 0; i < inner; ++i)
          setNumber(inputs[n], row * inner + i, inputs_[n].Number((row * length_ + t) * inner + i));
    }
    absl::StatusOr<Tensors> outputs = step.run(inputs);
    if (!outputs.ok()) return outputs.status();
    absl::StatusOr<HostTensor> output = find(*outputs, "output");
    if (!output.ok()) return output.status();
    int64_t rows = output->spec().shape[0], inner = output->spec().NumElements() / rows;
    for (int64_t row = 0; row < rows; ++row)
      for (int64_t i = 0; i < inner; ++i)
        error = std::max(error, std::abs(output->Number(row * inner + i) -
                                         expected->Number((row * length_ + t) * inner + i)));
    for (HostTensor& input : inputs) {
      if (!absl::StartsWith(input.spec().name, "state.")) continue;
      absl::StatusOr<HostTensor> last = find(*outputs, input.spec().name);
      if (!last.ok()) return last.status();
      input = *std::move(last);
    }
  }
  return error / scale;
}

absl::StatusOr<bool> NumericCheck::isFinite() {
  absl::StatusOr<Tensors> outputs = run(inputs_);
  if (!outputs.ok()) return outputs.status();
  for (const HostTensor& output : *outputs)
    for (int64_t i = 0; i < output.spec().NumElements(); ++i)
      if (!std::isfinite(output.Number(i))) return false;
  return true;
}

bool NumericCheck::hasStates() const {
  return std::any_of(inputs_.begin(), inputs_.end(), [](const HostTensor& input) {
    return absl::StartsWith(input.spec().name, "state.");
  });
}

}  // namespace weir
