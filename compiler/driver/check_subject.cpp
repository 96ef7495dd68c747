#include "compiler/driver/check_subject.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/raw_ostream.h"

#include "compiler/driver/command.h"
#include "compiler/driver/flags.h"
#include "runtime/base/file.h"

namespace weir {

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
absl::StatusOr<std::string> argumentType(const std::string& layer, Type type) {
  auto tensor = dyn_cast<RankedTensorType>(type);
  if (!tensor || tensor.getRank() < 2)
    return absl::UnimplementedError(
        absl::StrCat("layer '", layer,
                     "' takes something other than batch x time x features: check a FILE with "
                     "a model that applies it"));
  SmallVector<int64_t> shape(tensor.getShape());
  for (size_t dim = 2; dim < shape.size(); ++dim)
    if (ShapedType::isDynamic(shape[dim])) shape[dim] = absl::GetFlag(FLAGS_features);
  std::string text;
  llvm::raw_string_ostream(text) << RankedTensorType::get(shape, tensor.getElementType());
  return text;
}

absl::StatusOr<std::string> modelAround(const std::string& name, LayerOp layer) {
  absl::StatusOr<std::string> options = optionsText();
  if (!options.ok()) return options.status();
  FunctionType type = cast<FunctionType>(layer.getFunctionType());
  if (type.getNumResults() != 1)
    return absl::UnimplementedError(
        absl::StrCat("layer '", name, "' has several results: check a FILE with a model"));
  std::string result, parameters, operands, types;
  llvm::raw_string_ostream(result) << type.getResult(0);
  for (auto [i, input] : llvm::enumerate(type.getInputs())) {
    absl::StatusOr<std::string> text = argumentType(name, input);
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

absl::StatusOr<CheckSubject> layerSubject(Workspace& workspace, const std::string& name) {
  absl::StatusOr<const runtime::RegisteredLayer*> layer = workspace.registry().FindLayer(name);
  if (!layer.ok()) return layer.status();
  CheckSubject subject;
  subject.name = absl::StrCat("layer ", name);
  subject.text = *(*layer)->ir;
  subject.source = (*layer)->source;
  auto module = workspace.parseText(subject.text, subject.source);
  if (!module.ok()) return module.status();
  auto definition = (*module)->lookupSymbol<LayerOp>(name);
  if (!definition)
    return absl::InternalError(absl::StrCat(subject.source, " doesn't define '", name, "'"));
  absl::StatusOr<std::string> text = modelAround(name, definition);
  if (!text.ok()) return text.status();
  absl::StatusOr<LoadedModel> model =
      loadModelText(workspace, *text, absl::StrCat("<model of layer ", name, ">"));
  if (!model.ok()) return model.status();
  subject.model = *std::move(model);
  return subject;
}

absl::StatusOr<CheckSubject> fileSubject(Workspace& workspace, const std::string& file) {
  absl::StatusOr<std::string> text = runtime::ReadFile(file);
  if (!text.ok()) return text.status();
  absl::StatusOr<LoadedModel> model = loadModel(workspace, file);
  if (!model.ok()) return model.status();
  CheckSubject subject;
  subject.name = subject.source = file;
  subject.text = *std::move(text);
  subject.model = *std::move(model);
  return subject;
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

}  // namespace

absl::StatusOr<CheckSubjects> checkSubjects(const std::string& layerOrFile) {
  CheckSubjects result;
  absl::StatusOr<std::unique_ptr<Workspace>> workspace = Workspace::create();
  if (!workspace.ok()) return workspace.status();
  result.workspace = *std::move(workspace);
  std::vector<std::string> layers = {layerOrFile};
  if (llvm::sys::fs::exists(layerOrFile) &&
      !result.workspace->registry().FindLayer(layerOrFile).ok()) {
    absl::StatusOr<std::vector<std::string>> found = layersOf(*result.workspace, layerOrFile);
    if (!found.ok()) return found.status();
    layers = *found;
    if (layers.empty()) {
      absl::StatusOr<CheckSubject> subject = fileSubject(*result.workspace, layerOrFile);
      if (!subject.ok()) return subject.status();
      result.subjects.push_back(*std::move(subject));
      return result;
    }
    // The file is a plugin from now on.
    std::vector<std::string> plugins = absl::GetFlag(FLAGS_plugin);
    plugins.push_back(layerOrFile);
    absl::SetFlag(&FLAGS_plugin, plugins);
    workspace = Workspace::create();
    if (!workspace.ok()) return workspace.status();
    result.workspace = *std::move(workspace);
  }
  for (const std::string& layer : layers) {
    absl::StatusOr<CheckSubject> subject = layerSubject(*result.workspace, layer);
    if (!subject.ok()) return subject.status();
    result.subjects.push_back(*std::move(subject));
  }
  return result;
}

}  // namespace weir
