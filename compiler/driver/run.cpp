// weir run: a model on tensors from files, and its gradients, so that anyone can hold it against
// another implementation.

#include <cstdio>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"

#include "compiler/driver/command.h"
#include "compiler/driver/flags.h"
#include "compiler/driver/load.h"
#include "compiler/driver/program.h"
#include "compiler/driver/tensors.h"
#include "compiler/entry_points/arguments.h"
#include "runtime/data/segments.h"
#include "runtime/training/checkpoint.h"

namespace weir {

namespace {

using runtime::HostTensor;
using runtime::SafetensorsFile;
using runtime::TensorSpec;

constexpr char kSegments[] = "segments";
constexpr absl::string_view kStatePrefix = "state.";
constexpr absl::string_view kStateGradientPrefix = "state_gradient.";

absl::Status inFile(const absl::Status& status, const std::string& path) {
  return absl::Status(status.code(), absl::StrCat(path, ": ", status.message()));
}

/// The shapes of the model's inputs, from the file. What the model doesn't know is an error.
absl::StatusOr<llvm::StringMap<llvm::SmallVector<int64_t>>> shapesFromFile(
    const LoadedModel& loaded, const SafetensorsFile& file, const std::string& path) {
  llvm::StringMap<llvm::SmallVector<int64_t>> shapes;
  std::vector<std::string> known;
  mlir::func::FuncOp function = loaded.function();
  for (unsigned i = 0; i < function.getNumArguments(); ++i) {
    if (auto state = stringAttr(function.getArgAttr(i, kStateAttr)); !state.empty()) {
      known.push_back(absl::StrCat(kStatePrefix, state.str()));
      known.push_back(absl::StrCat("cotangent.", state.str()));
    }
    std::string name = stringAttr(function.getArgAttr(i, kInputAttr)).str();
    if (name.empty()) continue;
    known.push_back(name);
    const runtime::SafetensorsEntry* entry = file.Find(name);
    if (!entry)
      return absl::NotFoundError(absl::StrCat(path, ": lacks the model's input '", name, "'"));
    auto type = mlir::dyn_cast<mlir::RankedTensorType>(function.getArgument(i).getType());
    bool fits = type && type.getRank() == static_cast<int64_t>(entry->spec.shape.size());
    for (int64_t dim = 0; fits && dim < type.getRank(); ++dim)
      fits = type.isDynamicDim(dim) || type.getDimSize(dim) == entry->spec.shape[dim];
    if (!fits) {
      std::string wanted;
      llvm::raw_string_ostream(wanted) << function.getArgument(i).getType();
      return absl::InvalidArgumentError(absl::StrCat(path, ": ", entry->spec.ToString(),
                                                     " doesn't fit the model's input, ", wanted));
    }
    shapes[name].assign(entry->spec.shape.begin(), entry->spec.shape.end());
  }
  known.push_back("cotangent");
  known.push_back(kSegments);
  for (const runtime::SafetensorsEntry& entry : file.entries()) {
    if (std::find(known.begin(), known.end(), entry.spec.name) != known.end()) continue;
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": tensor '", entry.spec.name,
                     "' is none of the model's: ", absl::StrJoin(known, ", ")));
  }
  return shapes;
}

absl::StatusOr<std::vector<HostTensor>> inputTensors(const LoadedModel& loaded,
                                                     const runtime::EntryPoint& entry,
                                                     const SafetensorsFile& file,
                                                     const std::string& path) {
  std::vector<HostTensor> inputs;
  for (const TensorSpec& spec : entry.inputs) {
    if (file.Find(spec.name)) {
      absl::StatusOr<HostTensor> value = file.Read(spec.name);
      if (!value.ok()) return value.status();
      absl::StatusOr<HostTensor> converted = convertTensor(*value, spec);
      if (!converted.ok()) return inFile(converted.status(), path);
      inputs.push_back(*std::move(converted));
      continue;
    }
    double value = 1;  // of `cotangent`
    absl::string_view state = spec.name;
    if (absl::ConsumePrefix(&state, kStatePrefix)) {
      absl::StatusOr<double> initial = initialStateValue(loaded.function(), std::string(state));
      if (!initial.ok()) return initial.status();
      value = *initial;
    } else if (absl::StartsWith(spec.name, "cotangent.")) {
      value = 0;  // of a last state
    } else if (spec.name != "cotangent") {
      return absl::NotFoundError(absl::StrCat(path, ": lacks the input '", spec.name, "'"));
    }
    inputs.push_back(filledTensor(spec, value));
  }
  return inputs;
}

/// Whether the file says which documents the tokens are of; an input of the model may have that
/// name.
bool isPacked(const LoadedModel& loaded, const SafetensorsFile& file) {
  mlir::func::FuncOp function = loaded.function();
  for (unsigned i = 0; i < function.getNumArguments(); ++i)
    if (stringAttr(function.getArgAttr(i, kInputAttr)) == kSegments) return false;
  return file.Find(kSegments) != nullptr;
}

absl::Status checkSegments(const std::vector<HostTensor>& inputs, const std::string& path) {
  for (const HostTensor& input : inputs) {
    if (input.spec().name != kSegments) continue;
    absl::Status status = runtime::CheckSegments(input.As<int32_t>(), input.spec().shape[1]);
    if (!status.ok()) return inFile(status, path);
  }
  return absl::OkStatus();
}

/// Outputs by their names; of an entry point with gradients, those that are gradients or those that
/// aren't.
std::vector<HostTensor> select(const std::vector<HostTensor>& outputs, bool gradients) {
  std::vector<HostTensor> selected;
  for (const HostTensor& output : outputs) {
    absl::string_view name = output.spec().name;
    bool isOutput = name == "output" || absl::StartsWith(name, kStatePrefix);
    if (isOutput == gradients) continue;
    if (absl::ConsumePrefix(&name, kStateGradientPrefix))
      selected.push_back(renamed(output, absl::StrCat(kStatePrefix, name)));
    else
      selected.push_back(output);
  }
  return selected;
}

absl::Status run(const Arguments& arguments) {
  std::string paramsPath = absl::GetFlag(FLAGS_params), inputsPath = absl::GetFlag(FLAGS_inputs);
  std::string outputsPath = absl::GetFlag(FLAGS_outputs);
  std::string gradientsPath = absl::GetFlag(FLAGS_gradients);
  if (inputsPath.empty()) return absl::InvalidArgumentError("'weir run' needs --inputs=FILE");
  if (outputsPath.empty() && gradientsPath.empty())
    return absl::InvalidArgumentError("'weir run' needs --outputs=FILE or --gradients=FILE");
  absl::StatusOr<Precision> precision = precisionFlag();
  if (!precision.ok()) return precision.status();
  absl::StatusOr<std::unique_ptr<Workspace>> workspace = Workspace::create();
  if (!workspace.ok()) return workspace.status();
  absl::StatusOr<LoadedModel> loaded = loadModel(**workspace, arguments[0]);
  if (!loaded.ok()) return loaded.status();
  absl::StatusOr<SafetensorsFile> file = SafetensorsFile::Open(inputsPath);
  if (!file.ok()) return file.status();

  RunSettings settings;
  auto shapes = shapesFromFile(*loaded, *file, inputsPath);
  if (!shapes.ok()) return shapes.status();
  settings.inputShapes = *std::move(shapes);
  settings.precision = *precision;
  settings.gradients = !gradientsPath.empty();
  bool packed = isPacked(*loaded, *file);
  auto source = runSource(**workspace, *loaded, settings, packed);
  if (!source.ok()) return source.status();
  absl::StatusOr<RunningProgram> program = startSource(**workspace, *source, nullptr);
  if (!program.ok()) return program.status();
  runtime::Session& session = *program->session;

  ExperimentOp experiment = loaded->experiment;
  int64_t seed =
      experiment ? static_cast<int64_t>(experiment.getSeed()) : absl::GetFlag(FLAGS_seed);
  absl::Status status = paramsPath.empty() ? runtime::InitializeVariables(session, seed)
                                           : loadParameters(session, paramsPath);
  if (!status.ok()) return status;
  std::string entryName = settings.gradients ? "gradients" : "run";
  const runtime::EntryPoint* entry = session.program().FindEntryPoint(entryName);
  if (!entry) return absl::InternalError(absl::StrCat("the program has no '", entryName, "'"));
  absl::StatusOr<std::vector<HostTensor>> inputs = inputTensors(*loaded, *entry, *file, inputsPath);
  if (!inputs.ok()) return inputs.status();
  if (packed)
    if (status = checkSegments(*inputs, inputsPath); !status.ok()) return status;
  std::vector<HostTensor> outputs;
  if (status = session.Run(entryName, *inputs, &outputs); !status.ok()) return status;
  if (!outputsPath.empty()) {
    status = runtime::WriteSafetensors(outputsPath, select(outputs, false), {});
    if (!status.ok()) return status;
  }
  if (settings.gradients)
    return runtime::WriteSafetensors(gradientsPath, select(outputs, true), {});
  return absl::OkStatus();
}

}  // namespace

Command runCommand() {
  return {
      "run",
      "MODEL --inputs=FILE --outputs=FILE",
      "runs a model on tensors from a file, and its gradients",
      "Without --params the parameters are the initial ones of --seed. Gradients are those of\n"
      "sum(output * cotangent); dropout is off. With a tensor `segments` (batch x time) in the\n"
      "inputs, rows hold several documents, each of which is computed as if it were alone.",
      "weir run model.mlir --params=p.safetensors --inputs=x.safetensors "
      "--outputs=y.safetensors --gradients=g.safetensors",
      {"params", "inputs", "outputs", "gradients", "precision", "set", "seed", "threads", "isa",
       "matrix_chunk", "plugin", "experiment", "model", "cache"},
      1,
      1,
      run};
}

}  // namespace weir
