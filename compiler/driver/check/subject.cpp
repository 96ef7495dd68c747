#include "compiler/driver/check/subject.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/raw_ostream.h"

#include "compiler/driver/command.h"
#include "compiler/driver/flags.h"
#include "runtime/base/file.h"

namespace weir::check {

using namespace mlir;

namespace {

/// --set entries as the options of weir.apply.
absl::StatusOr<std::string> optionsText() {
  std::string text;
  for (const std::string& entry : absl::GetFlag(FLAGS_set)) {
    auto [key, value] = StringRef(entry).split('=');
    if (key.empty() || value.empty())
      return absl::InvalidArgumentError(absl::StrCat("--set ", entry, ": write KEY=VALUE"));
    double number;
    bool isPlain = value == "true" || value == "false" || value.starts_with("\"") ||
                   !value.getAsDouble(number);
    absl::StrAppend(&text, text.empty() ? " {" : ", ", key.str(), " = ", isPlain ? "" : "\"",
                    value.str(), isPlain ? "" : "\"");
  }
  return text.empty() ? text : text + "}";
}

/// The type of an argument with its feature sizes filled in; batch and time stay open.
absl::StatusOr<std::string> argumentType(const std::string& layer, Type type, int64_t features) {
  auto tensor = dyn_cast<RankedTensorType>(type);
  if (!tensor || tensor.getRank() < 2)
    return absl::UnimplementedError(
        absl::StrCat("layer '", layer,
                     "' takes something other than batch x time x features: check a FILE with "
                     "a model that applies it"));
  SmallVector<int64_t> shape(tensor.getShape());
  for (size_t dim = 2; dim < shape.size(); ++dim)
    if (ShapedType::isDynamic(shape[dim])) shape[dim] = features;
  std::string text;
  llvm::raw_string_ostream(text) << RankedTensorType::get(shape, tensor.getElementType());
  return text;
}

absl::StatusOr<std::string> modelAround(const std::string& name, LayerOp layer, int64_t features) {
  absl::StatusOr<std::string> options = optionsText();
  if (!options.ok()) return options.status();
  FunctionType type = cast<FunctionType>(layer.getFunctionType());
  if (type.getNumResults() != 1)
    return absl::UnimplementedError(
        absl::StrCat("layer '", name, "' has several results: check a FILE with a model"));
  std::string result, parameters, operands, types;
  llvm::raw_string_ostream(result) << type.getResult(0);
  for (auto [i, input] : llvm::enumerate(type.getInputs())) {
    absl::StatusOr<std::string> text = argumentType(name, input, features);
    if (!text.ok()) return text.status();
    const char* comma = i ? ", " : "";
    std::string argument = i ? absl::StrCat("%x", i) : "%x";
    absl::StrAppend(&parameters, comma, argument, ": ", *text);
    absl::StrAppend(&operands, comma, argument);
    absl::StrAppend(&types, comma, *text);
  }
  return absl::StrCat("weir.model @check(", parameters, ") -> ", result, " {\n  %y = weir.apply \"",
                      name, "\"(", operands, ")", *options, " : (", types, ") -> ", result,
                      "\n  weir.return %y : ", result, "\n}\n");
}

/// The layers that a file without a model defines; nothing if it has one.
absl::StatusOr<std::vector<std::string>> layersOf(Workspace& workspace, const std::string& file) {
  auto module = workspace.parseFile(file);
  if (!module.ok()) return module.status();
  std::vector<std::string> layers;
  if (!(*module)->getOps<ModelOp>().empty()) return layers;
  for (LayerOp layer : (*module)->getOps<LayerOp>()) layers.push_back(layer.getSymName().str());
  if (layers.empty())
    return absl::InvalidArgumentError(absl::StrCat(file, ": holds neither a model nor a layer"));
  return layers;
}

/// The flags that say which model, plugin or options are meant.
std::string flagsText() {
  std::string text;
  for (const std::string& plugin : absl::GetFlag(FLAGS_plugin))
    absl::StrAppend(&text, " --plugin=", plugin);
  for (const std::string& entry : absl::GetFlag(FLAGS_set))
    absl::StrAppend(&text, " --set ", entry);
  if (isGiven("model")) absl::StrAppend(&text, " --model=", absl::GetFlag(FLAGS_model));
  if (isGiven("experiment"))
    absl::StrAppend(&text, " --experiment=", absl::GetFlag(FLAGS_experiment));
  if (isGiven("matrix_chunk"))
    absl::StrAppend(&text, " --matrix_chunk=", absl::GetFlag(FLAGS_matrix_chunk));
  if (isGiven("isa")) absl::StrAppend(&text, " --isa=", absl::GetFlag(FLAGS_isa));
  return text;
}

bool isLibrary(const std::string& file) { return absl::EndsWith(file, ".so"); }

}  // namespace

absl::StatusOr<CheckSubject> layerSubject(Workspace& workspace, const std::string& name,
                                          int64_t features) {
  absl::StatusOr<const runtime::RegisteredLayer*> layer = workspace.registry().FindLayer(name);
  if (!layer.ok()) return layer.status();
  CheckSubject subject;
  subject.name = absl::StrCat("layer ", name);
  subject.argument = absl::StrCat(name, flagsText());
  subject.text = *(*layer)->ir;
  subject.source = (*layer)->source;
  subject.features = features;
  auto module = workspace.parseText(subject.text, subject.source);
  if (!module.ok()) return module.status();
  auto definition = (*module)->lookupSymbol<LayerOp>(name);
  if (!definition)
    return absl::InternalError(absl::StrCat(subject.source, " doesn't define '", name, "'"));
  absl::StatusOr<std::string> text = modelAround(name, definition, features);
  if (!text.ok()) return text.status();
  absl::StatusOr<LoadedModel> model =
      loadModelText(workspace, *text, absl::StrCat("<model of layer ", name, ">"));
  if (!model.ok()) return model.status();
  subject.model = *std::move(model);
  return subject;
}

absl::StatusOr<CheckSubject> modelSubject(Workspace& workspace, const std::string& file) {
  absl::StatusOr<std::string> text = runtime::ReadFile(file);
  if (!text.ok()) return text.status();
  absl::StatusOr<LoadedModel> model = loadModel(workspace, file);
  if (!model.ok()) return model.status();
  CheckSubject subject;
  subject.name = subject.source = file;
  subject.argument = absl::StrCat(file, flagsText());
  subject.text = *std::move(text);
  subject.model = *std::move(model);
  return subject;
}

absl::StatusOr<CheckTarget> openTarget(const std::string& layerOrFile) {
  CheckTarget target;
  absl::StatusOr<std::unique_ptr<Workspace>> workspace = Workspace::create();
  if (!workspace.ok()) return workspace.status();
  target.workspace = *std::move(workspace);
  target.layers = {layerOrFile};
  if (target.workspace->registry().FindLayer(layerOrFile).ok() ||
      !llvm::sys::fs::exists(layerOrFile))
    return target;
  target.layers.clear();
  if (!isLibrary(layerOrFile)) {
    auto layers = layersOf(*target.workspace, layerOrFile);
    if (!layers.ok()) return layers.status();
    target.layers = *std::move(layers);
    if (target.layers.empty()) {
      target.modelFile = layerOrFile;
      return target;
    }
  }
  target.plugin = layerOrFile;
  std::vector<std::string> plugins = absl::GetFlag(FLAGS_plugin);
  plugins.push_back(layerOrFile);
  absl::SetFlag(&FLAGS_plugin, plugins);
  workspace = Workspace::create();
  if (!workspace.ok()) return workspace.status();
  target.workspace = *std::move(workspace);
  if (isLibrary(layerOrFile))
    for (const auto& [name, layer] : target.workspace->registry().layers())
      if (absl::StartsWith(layer.source, layerOrFile)) target.layers.push_back(name);
  return target;
}

}  // namespace weir::check
