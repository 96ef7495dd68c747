// weir layers: what weir.apply can name.

#include <cstdio>

#include "absl/strings/str_cat.h"

#include "compiler/dialect/model_ops.h"
#include "compiler/driver/command.h"
#include "compiler/driver/flags.h"
#include "compiler/driver/workspace.h"

namespace weir {

namespace {

absl::Status listTasks(const Workspace& workspace) {
  absl::StatusOr<runtime::TaskRegistry> tasks = workspace.tasks();
  if (!tasks.ok()) return tasks.status();
  for (const auto& [name, task] : tasks->tasks()) {
    std::string line = absl::StrCat(name, "  ", task.source);
    for (const runtime::TaskOption& option : task.options)
      absl::StrAppend(&line, "  ", option.name, " = ", runtime::OptionText(option.default_value));
    std::printf("%s\n", line.c_str());
  }
  return absl::OkStatus();
}

absl::Status run(const Arguments&) {
  absl::StatusOr<std::unique_ptr<Workspace>> created = Workspace::create();
  if (!created.ok()) return created.status();
  Workspace& workspace = **created;
  if (absl::GetFlag(FLAGS_tasks)) return listTasks(workspace);
  absl::Status status;
  for (const auto& [name, layer] : workspace.registry().layers()) {
    auto module = workspace.parseText(*layer.ir, layer.source);
    if (!module.ok()) {
      // The others can be used all the same.
      status = module.status();
      continue;
    }
    auto definition = (*module)->lookupSymbol<LayerOp>(name);
    if (!definition) return absl::InternalError(absl::StrCat(layer.source, " lost '", name, "'"));
    std::string line = absl::StrCat(name, "  ", layer.source);
    for (ConfigOp config : definition.getBody().getOps<ConfigOp>())
      absl::StrAppend(&line, "  ", config.describe());
    std::printf("%s\n", line.c_str());
  }
  return status;
}

}  // namespace

Command layersCommand() {
  return {"layers",
          "",
          "lists the layers: name, where it comes from, options with their defaults",
          "Layers come from the plugins folder of the program, from the folders in "
          "WEIR_PLUGIN_PATH,\nand from --plugin.",
          "weir layers --plugin=my_layer.mlir",
          {"plugin", "tasks"},
          0,
          0,
          run};
}

}  // namespace weir
