// weir eval: a checkpoint's loss on the held-out batches.

#include <cstdio>

#include "compiler/driver/command.h"
#include "compiler/driver/flags.h"
#include "compiler/driver/load.h"
#include "compiler/driver/program.h"
#include "runtime/training/checkpoint.h"
#include "runtime/training/evaluate.h"

namespace weir {

namespace {

absl::Status run(const Arguments& arguments) {
  std::string checkpoint = absl::GetFlag(FLAGS_checkpoint);
  if (checkpoint.empty())
    return absl::InvalidArgumentError("'weir eval' needs --checkpoint=FILE, the parameters");
  absl::StatusOr<std::unique_ptr<Workspace>> workspace = Workspace::create();
  if (!workspace.ok()) return workspace.status();
  absl::StatusOr<LoadedModel> loaded = loadModel(**workspace, arguments[0]);
  if (!loaded.ok()) return loaded.status();
  absl::StatusOr<std::unique_ptr<runtime::Task>> task = makeTask(**workspace, *loaded);
  if (!task.ok()) return task.status();
  if (absl::Status status = runtime::CheckVocabulary(checkpoint, (*task)->spec().text);
      !status.ok())
    return status;
  auto source = trainingSource(**workspace, *loaded, **task, /*evaluateOnly=*/true);
  if (!source.ok()) return source.status();
  absl::StatusOr<RunningProgram> program = startSource(**workspace, *source, nullptr);
  if (!program.ok()) return program.status();
  if (absl::Status status = runtime::LoadParameters(*program->session, checkpoint); !status.ok())
    return status;
  absl::StatusOr<runtime::EvaluationResult> result =
      runtime::Evaluate(*program->session, **task, nullptr);
  if (!result.ok()) return result.status();
  std::printf("loss %.6f\n", result->loss);
  if (result->accuracy) std::printf("accuracy %.6f\n", *result->accuracy);
  if (result->sequence_accuracy)
    std::printf("sequence_accuracy %.6f\n", *result->sequence_accuracy);
  std::printf("targets %lld\ntokens_per_second %.0f\n", static_cast<long long>(result->targets),
              static_cast<double>(result->tokens) / result->seconds);
  return absl::OkStatus();
}

}  // namespace

Command evalCommand() {
  return {"eval",
          "MODEL --checkpoint=FILE",
          "evaluates parameters on all held-out batches of the experiment's task",
          "",
          "weir eval runs/copy/experiment.mlir --checkpoint=runs/copy/best.safetensors",
          {"checkpoint", "set", "data", "threads", "isa", "matrix_chunk", "plugin", "experiment",
           "model", "cache"},
          1,
          1,
          run};
}

}  // namespace weir
