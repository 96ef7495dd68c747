#include "compiler/driver/memory.h"

#include <cstdio>

#include "compiler/driver/program.h"
#include "compiler/transforms/plan.h"
#include "runtime/training/progress.h"

namespace weir {

using runtime::HumanBytes;

absl::Status printMemory(Workspace& workspace, const LoadedModel& loaded,
                         const runtime::Task& task) {
  auto module = trainingModule(workspace, loaded, task, /*evaluateOnly=*/false);
  if (!module.ok()) return module.status();
  if (absl::Status status = formKernels(workspace, **module); !status.ok()) return status;
  mlir::FailureOr<ModulePlan> plan = planModule(**module);
  if (mlir::failed(plan)) return workspace.failed();
  double parameters = 0, optimizer = 0, other = 0, constants = 0;
  for (const runtime::Variable& variable : plan->shared.variables) {
    auto bytes = static_cast<double>(variable.spec.NumBytes());
    (variable.role == runtime::Role::kParameter   ? parameters
     : variable.role == runtime::Role::kOptimizer ? optimizer
                                                  : other) += bytes;
  }
  for (const std::string& constant : plan->shared.constants)
    constants += static_cast<double>(constant.size());
  std::printf("\nmemory of training (the task's batch, %s):\n",
              task.spec().tokens.ToString().c_str());
  std::printf("  parameters %s, optimizer %s, constants %s, other %s\n",
              HumanBytes(parameters).c_str(), HumanBytes(optimizer).c_str(),
              HumanBytes(constants).c_str(), HumanBytes(other).c_str());
  for (const PlannedEntry& entry : plan->entries) {
    std::printf(
        "  %-12s activations %s (no order of these kernels needs less than %s), %lld "
        "launches\n",
        entry.name.c_str(), HumanBytes(static_cast<double>(entry.arenaBytes)).c_str(),
        HumanBytes(static_cast<double>(entry.arenaLowerBound)).c_str(),
        static_cast<long long>(entry.launches.size()));
  }
  return absl::OkStatus();
}

}  // namespace weir
