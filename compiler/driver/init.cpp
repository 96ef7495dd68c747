// weir init: the parameters that training begins with.

#include <cstdio>

#include "absl/strings/str_cat.h"

#include "compiler/driver/command.h"
#include "compiler/driver/flags.h"
#include "compiler/driver/load.h"
#include "compiler/driver/program.h"
#include "compiler/entry_points/arguments.h"
#include "runtime/training/checkpoint.h"

namespace weir {

namespace {

/// Entry points that are not wanted need not be compiled.
void keepInitOnly(mlir::ModuleOp module) {
  for (auto function : llvm::make_early_inc_range(module.getOps<mlir::func::FuncOp>()))
    if (function->hasAttr(kEntryAttr) && function.getSymName() != "init") function.erase();
}

absl::Status run(const Arguments& arguments) {
  std::string out = absl::GetFlag(FLAGS_out);
  if (out.empty())
    return absl::InvalidArgumentError("'weir init' needs --out=FILE, where the parameters go");
  absl::StatusOr<std::unique_ptr<Workspace>> workspace = Workspace::create();
  if (!workspace.ok()) return workspace.status();
  absl::StatusOr<LoadedModel> loaded = loadModel(**workspace, arguments[0]);
  if (!loaded.ok()) return loaded.status();
  absl::StatusOr<Precision> precision = precisionFlag();
  if (!precision.ok()) return precision.status();

  // Initial values don't depend on batch and length.
  auto shapes = inputShapes(*loaded, 1, 1);
  if (!shapes.ok()) return shapes.status();
  RunSettings settings;
  settings.inputShapes = *std::move(shapes);
  settings.precision = *precision;
  auto source = runSource(**workspace, *loaded, settings);
  if (!source.ok()) return source.status();
  source->identity += "\ninit only";
  source->module = [all = source->module]() -> absl::StatusOr<mlir::OwningOpRef<mlir::ModuleOp>> {
    auto module = all();
    if (module.ok()) keepInitOnly(**module);
    return module;
  };
  absl::StatusOr<RunningProgram> program = startSource(**workspace, *source, nullptr);
  if (!program.ok()) return program.status();
  int64_t seed = absl::GetFlag(FLAGS_seed);
  if (ExperimentOp experiment = loaded->experiment)
    seed = static_cast<int64_t>(experiment.getSeed());
  if (absl::Status status = runtime::InitializeVariables(*program->session, seed); !status.ok())
    return status;
  absl::Status status =
      runtime::SaveParameters(*program->session, out, {{"seed", absl::StrCat(seed)}});
  if (!status.ok()) return status;
  int64_t tensors = 0, elements = 0;
  for (const runtime::Variable& variable : program->session->program().variables) {
    if (variable.role != runtime::Role::kParameter) continue;
    ++tensors;
    elements += variable.spec.NumElements();
  }
  std::printf("%s: %lld parameters in %lld tensors, seed %lld\n", out.c_str(),
              static_cast<long long>(elements), static_cast<long long>(tensors),
              static_cast<long long>(seed));
  return absl::OkStatus();
}

}  // namespace

Command initCommand() {
  return {"init",
          "MODEL --out=FILE",
          "writes the parameters that training begins with to a safetensors file",
          "",
          "weir init models/selective_copy_mingru.mlir --seed=3 --out=first.safetensors",
          {"out", "seed", "set", "precision", "threads", "isa", "plugin", "experiment", "model",
           "cache"},
          1,
          1,
          run};
}

}  // namespace weir
