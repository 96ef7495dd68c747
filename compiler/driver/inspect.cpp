// weir inspect: what a model is made of and what it costs, before anything runs.

#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

#include "compiler/dialect/cost.h"
#include "compiler/driver/command.h"
#include "compiler/driver/costs.h"
#include "compiler/driver/flags.h"
#include "compiler/driver/kernels.h"
#include "compiler/driver/load.h"
#include "compiler/driver/matrix_scans.h"
#include "compiler/driver/memory.h"
#include "compiler/driver/states.h"
#include "compiler/entry_points/arguments.h"
#include "runtime/training/progress.h"

namespace weir {

namespace {

using runtime::HumanBytes;
using runtime::HumanCount;

struct Sizes {
  double batch = 1, length = 128;
  std::string str() const { return absl::StrFormat("batch %.0f, length %.0f", batch, length); }
};

/// --batch and --length, else the task's, else 1 and 128.
absl::StatusOr<Sizes> sizesOf(const runtime::Task* task) {
  Sizes sizes;
  if (task && task->spec().targets.shape.size() == 2) {
    sizes.batch = static_cast<double>(task->spec().targets.shape[0]);
    sizes.length = static_cast<double>(task->spec().targets.shape[1]);
  }
  int64_t batch = absl::GetFlag(FLAGS_batch), length = absl::GetFlag(FLAGS_length);
  if (batch < 0 || length < 0)
    return absl::InvalidArgumentError("--batch and --length can't be below 0");
  if (batch > 0) sizes.batch = static_cast<double>(batch);
  if (length > 0) sizes.length = static_cast<double>(length);
  return sizes;
}

/// Elements and bytes of the function's arguments that have the attribute.
struct Held {
  int64_t tensors = 0;
  double elements = 0, bytes = 0;
};

Held heldBy(mlir::func::FuncOp function, llvm::StringRef attribute) {
  Held held;
  for (unsigned i = 0; i < function.getNumArguments(); ++i) {
    if (!function.getArgAttr(i, attribute)) continue;
    mlir::Type type = function.getArgument(i).getType();
    ++held.tensors;
    held.elements += elementCount(type).evaluate(1, 1);
    held.bytes += byteCount(type).evaluate(1, 1);
  }
  return held;
}

void printCosts(mlir::func::FuncOp function, const Sizes& sizes) {
  std::vector<KindCost> kinds = costsByKind(function);
  Cost total = totalCost(kinds);
  std::printf("\nforward pass, %s:\n", sizes.str().c_str());
  std::printf("  %-28s %6s %12s %12s %12s  %s\n", "op", "count", "FLOPs", "bytes", "state",
              "degree in the length");
  auto row = [&](const std::string& name, int64_t count, const Cost& cost, int degree) {
    std::printf("  %-28s %6lld %12s %12s %12s  %d\n", name.c_str(), static_cast<long long>(count),
                HumanCount(cost.flops.evaluate(sizes.batch, sizes.length)).c_str(),
                HumanBytes(cost.bytes.evaluate(sizes.batch, sizes.length)).c_str(),
                HumanBytes(cost.stateBytes.evaluate(sizes.batch, sizes.length)).c_str(), degree);
  };
  int64_t count = 0;
  int degree = 0;
  for (const KindCost& kind : kinds) {
    row(kind.kind, kind.count, kind.cost, kind.degree);
    count += kind.count;
    degree = std::max(degree, kind.degree);
  }
  row("total", count, total, degree);
  std::printf(
      "  FLOPs = %s\n  bytes = %s\n  (B: batch, T: length; the floor: each operand read "
      "once, each result written once)\n",
      total.flops.str().c_str(), total.bytes.str().c_str());
}

absl::Status run(const Arguments& arguments) {
  absl::StatusOr<std::unique_ptr<Workspace>> workspace = Workspace::create();
  if (!workspace.ok()) return workspace.status();
  absl::StatusOr<LoadedModel> loaded = loadModel(**workspace, arguments[0]);
  if (!loaded.ok()) return loaded.status();
  if (absl::GetFlag(FLAGS_kernels)) return printKernels(**workspace, *loaded);
  std::unique_ptr<runtime::Task> task;
  // A model can be looked at without its data, if the sizes are given.
  bool needsTask =
      loaded->experiment && (absl::GetFlag(FLAGS_memory) || absl::GetFlag(FLAGS_batch) == 0 ||
                             absl::GetFlag(FLAGS_length) == 0);
  if (needsTask) {
    absl::StatusOr<std::unique_ptr<runtime::Task>> made = makeTaskOrRandom(**workspace, *loaded);
    if (!made.ok()) return made.status();
    task = *std::move(made);
  }
  absl::StatusOr<Sizes> sizes = sizesOf(task.get());
  if (!sizes.ok()) return sizes.status();

  mlir::func::FuncOp function = loaded->function();
  Held parameters = heldBy(function, kParamAttr);
  std::printf("model @%s%s\n", function.getSymName().str().c_str(),
              function->hasAttr("weir.linear") ? ", linear in the length" : "");
  std::printf("  parameters: %.0f in %lld tensors, %s in f32\n", parameters.elements,
              static_cast<long long>(parameters.tensors), HumanBytes(parameters.bytes).c_str());
  printCosts(function, *sizes);
  absl::Status scans = printMatrixScans(**workspace, *loaded, static_cast<int64_t>(sizes->batch),
                                        static_cast<int64_t>(sizes->length));
  if (!scans.ok()) return scans;
  if (absl::Status status = printStates(**workspace, *loaded); !status.ok()) return status;
  if (!task || !absl::GetFlag(FLAGS_memory)) return absl::OkStatus();
  return printMemory(**workspace, *loaded, *task);
}

}  // namespace

Command inspectCommand() {
  return {
      "inspect",
      "MODEL",
      "shows parameters, FLOPs, bytes, state, memory, and each op's degree in the length",
      "A model marked `linear` that has an op of a higher degree is refused, and the op named.\n"
      "The state of a stream is what goes from token to token (`weir generate`); that of "
      "attention\n"
      "grows with --context. Of a model without a step form, the op in the way is named.\n"
      "--nomemory leaves out the memory of training, which is known only after most of a\n"
      "compilation; with --batch and --length too, the task's data is not read.\n"
      "--kernels shows the kernels of a step instead (--entry as in `weir bench`): what each "
      "computes\n"
      "and moves, the tensors that go through memory between two kernels, and why they do.",
      "weir inspect models/selective_copy_mingru.mlir --length=4096\n"
      "weir inspect models/lm_mingru.mlir --kernels",
      {"batch", "length", "context", "precision", "memory", "kernels", "entry", "chunk", "json",
       "isa", "matrix_chunk", "set", "data", "plugin", "experiment", "model"},
      1,
      1,
      run};
}

}  // namespace weir
