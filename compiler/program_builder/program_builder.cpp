#include "compiler/program_builder/program_builder.h"

#include <algorithm>
#include <chrono>
#include <mutex>
#include <numeric>

#include "llvm/ADT/MapVector.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/IR/Threading.h"

#include "compiler/conversion/cpu/link_shared_object.h"
#include "compiler/conversion/cpu/target.h"
#include "compiler/support/phase_times.h"
#include "compiler/transforms/op_kinds.h"
#include "compiler/transforms/plan.h"

namespace weir {

using namespace mlir;
using runtime::Space;

namespace {

/// Scratch that a kernel asks for; the most of all levels, since they share the list of launches.
struct Scratch {
  int64_t shared = 0;
  int64_t thread = 0;
};

class Stopwatch {
 public:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }

 private:
  std::chrono::steady_clock::time_point start = std::chrono::steady_clock::now();
};

/// The kernels that entry points launch, in the order of their first launch.
SmallVector<func::FuncOp> launchedKernels(ModuleOp module, const ModulePlan& plan) {
  SymbolTable symbols(module);
  llvm::SetVector<Operation*> kernels;
  for (const PlannedEntry& entry : plan.entries) {
    for (const PlannedLaunch& launch : entry.launches) {
      LaunchOp op = launch.op;
      kernels.insert(symbols.lookup(op.getKernel()));
    }
  }
  return llvm::map_to_vector(kernels, [](Operation* op) { return cast<func::FuncOp>(op); });
}

/// The compilers that no thread is using; each thread that compiles has one at a time.
class Compilers {
 public:
  Compilers(MLIRContext& context, IsaLevel level, Cache* cache)
      : context(context), level(level), cache(cache) {}

  FailureOr<CompiledKernel> compile(func::FuncOp kernel) {
    std::unique_ptr<KernelCompiler> compiler = take();
    FailureOr<CompiledKernel> result = compiler->compile(kernel);
    std::lock_guard<std::mutex> lock(mutex);
    idle.push_back(std::move(compiler));
    return result;
  }

 private:
  std::unique_ptr<KernelCompiler> take() {
    std::lock_guard<std::mutex> lock(mutex);
    if (idle.empty()) return std::make_unique<KernelCompiler>(context, level, cache);
    std::unique_ptr<KernelCompiler> compiler = std::move(idle.back());
    idle.pop_back();
    return compiler;
  }

  MLIRContext& context;
  IsaLevel level;
  Cache* cache;
  std::mutex mutex;
  std::vector<std::unique_ptr<KernelCompiler>> idle;
};

/// The kernels' numbers, those that take long to compile before the others, so that no thread
/// begins with one of them when the rest is done. Products do: they are tiled and unrolled.
std::vector<size_t> longestFirst(ArrayRef<func::FuncOp> kernels) {
  std::vector<int64_t> weights;
  for (func::FuncOp kernel : kernels) {
    int64_t weight = 0;
    kernel->walk([&](Operation* op) {
      auto generic = dyn_cast<linalg::GenericOp>(op);
      weight += generic && isContraction(generic) ? 100 : 1;
    });
    weights.push_back(weight);
  }
  std::vector<size_t> order(kernels.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return weights[a] > weights[b]; });
  return order;
}

FailureOr<std::vector<CompiledKernel>> compileAll(ModuleOp module, ArrayRef<func::FuncOp> kernels,
                                                  IsaLevel level, Cache* cache) {
  Phase phase("kernels");
  Compilers compilers(*module.getContext(), level, cache);
  std::vector<CompiledKernel> compiled(kernels.size());
  std::vector<size_t> order = longestFirst(kernels);
  LogicalResult result = failableParallelForEachN(
      module.getContext(), 0, kernels.size(), [&](size_t place) -> LogicalResult {
        Phase each("each kernel", phase);
        size_t i = order[place];
        FailureOr<CompiledKernel> kernel = compilers.compile(kernels[i]);
        if (failed(kernel)) return failure();
        compiled[i] = std::move(*kernel);
        return success();
      });
  if (failed(result)) return failure();
  return compiled;
}

/// Adds one level's code to the program, and what it asks for to `scratch`.
LogicalResult addCode(ModuleOp module, ArrayRef<func::FuncOp> kernels, IsaLevel level, Cache* cache,
                      runtime::Program& program, std::vector<Scratch>& scratch,
                      ProgramReport& report) {
  Stopwatch compiling;
  FailureOr<std::vector<CompiledKernel>> compiled = compileAll(module, kernels, level, cache);
  report.compileSeconds += compiling.seconds();
  if (failed(compiled)) return failure();

  bool isFirst = program.code.empty();
  for (auto [i, kernel] : llvm::enumerate(*compiled)) {
    report.kernelsFromCache += kernel.isFromCache;
    Scratch wanted{kernel.sharedScratchBytes, kernel.threadScratchBytes};
    // A kernel gets pointers only to scratch that it wants, so all levels have to want the same
    // kinds.
    if (!isFirst && ((wanted.shared > 0) != (scratch[i].shared > 0) ||
                     (wanted.thread > 0) != (scratch[i].thread > 0))) {
      return func::FuncOp(kernels[i]).emitError()
             << "wants scratch memory at some levels of instruction sets only";
    }
    scratch[i].shared = std::max(scratch[i].shared, wanted.shared);
    scratch[i].thread = std::max(scratch[i].thread, wanted.thread);
  }
  Phase linkPhase("link");
  Stopwatch linking;
  FailureOr<std::string> elf = linkSharedObject(*compiled, module.getLoc());
  report.linkSeconds += linking.seconds();
  if (failed(elf)) return failure();
  program.code.push_back({CpuTarget{level}.name(), std::move(*elf)});
  return success();
}

runtime::EntryPoint buildEntry(const PlannedEntry& planned,
                               const llvm::StringMap<int32_t>& kernelNumbers,
                               ArrayRef<Scratch> scratch) {
  runtime::EntryPoint entry;
  entry.name = planned.name;
  entry.inputs = planned.inputs;
  entry.outputs = planned.outputs;
  entry.arena_bytes = planned.arenaBytes;
  for (const PlannedLaunch& plannedLaunch : planned.launches) {
    LaunchOp op = plannedLaunch.op;
    runtime::Launch launch;
    launch.kernel = kernelNumbers.lookup(op.getKernel());
    launch.buffers = plannedLaunch.buffers;
    const Scratch& wanted = scratch[launch.kernel];
    if (wanted.shared > 0) launch.buffers.push_back({Space::kSharedScratch, 0, 0});
    if (wanted.thread > 0) launch.buffers.push_back({Space::kThreadScratch, 0, 0});
    entry.shared_scratch_bytes = std::max(entry.shared_scratch_bytes, wanted.shared);
    entry.thread_scratch_bytes = std::max(entry.thread_scratch_bytes, wanted.thread);
    entry.launches.push_back(std::move(launch));
  }
  return entry;
}

}  // namespace

FailureOr<runtime::Program> buildProgram(ModuleOp module, const ProgramOptions& options,
                                         ProgramReport* report) {
  ProgramReport unused;
  if (!report) report = &unused;
  Stopwatch planning;
  std::optional<Phase> planPhase("plan");
  FailureOr<ModulePlan> plan = planModule(module);
  planPhase.reset();
  report->planSeconds = planning.seconds();
  if (failed(plan)) return failure();

  runtime::Program program;
  SmallVector<func::FuncOp> kernels = launchedKernels(module, *plan);
  llvm::StringMap<int32_t> kernelNumbers;
  for (func::FuncOp kernel : kernels) {
    kernelNumbers[kernel.getSymName()] = static_cast<int32_t>(program.kernels.size());
    program.kernels.push_back(kernel.getSymName().str());
  }
  report->kernels = static_cast<int64_t>(kernels.size());

  std::vector<Scratch> scratch(kernels.size());
  for (IsaLevel level : options.levels) {
    if (failed(addCode(module, kernels, level, options.cache, program, scratch, *report)))
      return failure();
  }
  for (const PlannedEntry& entry : plan->entries) {
    program.entry_points.push_back(buildEntry(entry, kernelNumbers, scratch));
  }
  program.variables = plan->shared.variables;
  program.constants = plan->shared.constants;
  program.metadata = options.metadata;
  if (absl::Status status = runtime::ValidateProgram(program); !status.ok()) {
    return module.emitError() << "made an inconsistent program: " << std::string(status.message());
  }
  return program;
}

}  // namespace weir
