// From the functions of a program's entry points to a session that runs them.

#ifndef WEIR_COMPILER_DRIVER_PROGRAM_H_
#define WEIR_COMPILER_DRIVER_PROGRAM_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "compiler/driver/load.h"
#include "compiler/entry_points/programs.h"
#include "compiler/program_builder/program_builder.h"
#include "runtime/device/cpu/cpu_device.h"
#include "runtime/program/session.h"

namespace weir {

/// The levels that --isa names; the best of this machine if it is empty.
absl::StatusOr<std::vector<IsaLevel>> isaLevels();

/// The shapes of a model's inputs for a batch and a length: dimension 0 is the batch, dimension 1
/// the time where they are open.
absl::StatusOr<llvm::StringMap<llvm::SmallVector<int64_t>>> inputShapes(const LoadedModel& loaded,
                                                                        int64_t batch,
                                                                        int64_t length);

/// --precision.
absl::StatusOr<Precision> precisionFlag();

/// A program that isn't compiled yet.
struct ProgramSource {
  using Facts = std::map<std::string, std::string>;

  /// All that the program follows from, but for instruction sets and the compiler itself: programs
  /// of equal identities are equal.
  std::string identity;
  /// Makes the module of its entry points, for what wasn't compiled before.
  std::function<absl::StatusOr<mlir::OwningOpRef<mlir::ModuleOp>>()> module;
  /// What the program's metadata says of that module. May be null.
  std::function<absl::StatusOr<Facts>(mlir::ModuleOp)> facts;
};

/// The entry points of an experiment, for packed documents if the task has segments; the module as
/// it is after `stopAfter`.
absl::StatusOr<ProgramSource> trainingSource(Workspace& workspace, const LoadedModel& loaded,
                                             const runtime::Task& task, bool evaluateOnly,
                                             Level stopAfter = Level::Optimized, bool fuse = true);

/// The module of a trainingSource.
absl::StatusOr<mlir::OwningOpRef<mlir::ModuleOp>> trainingModule(
    Workspace& workspace, const LoadedModel& loaded, const runtime::Task& task, bool evaluateOnly,
    Level stopAfter = Level::Optimized, bool fuse = true);

/// The entry points `init` and `run` (and `gradients`) of a model; with `segments` they take the
/// input of that name.
absl::StatusOr<ProgramSource> runSource(Workspace& workspace, const LoadedModel& loaded,
                                        const RunSettings& settings, bool segments = false);

/// What an identity says of a module: its text without names of places.
std::string identityOf(mlir::ModuleOp module);

/// Turns entry points into launches of kernels, in place; with `separate`, of a kernel for each op.
absl::Status formKernels(Workspace& workspace, mlir::ModuleOp module, bool separate = false);

/// A line about a compilation: "37 kernels compiled in 4.1 s (...)" or "37 kernels from the cache
/// in 0.02 s".
struct CompileTimes {
  /// All of it.
  double seconds = 0;
  /// The whole program was read from the cache.
  bool isFromCache = false;
  double lowerSeconds = 0;
  ProgramReport program;
  std::string str() const;
};

/// With --timing, prints the phases so far.
void printTiming();

/// formKernels, and then the program. Changes the module.
absl::StatusOr<runtime::Program> compileModule(Workspace& workspace, mlir::ModuleOp module,
                                               const std::vector<IsaLevel>& levels,
                                               std::map<std::string, std::string> metadata,
                                               CompileTimes* times);

/// Reads the program from the workspace's cache, or else compiles it, kernel by kernel where the
/// cache has them, and keeps it there. The program's metadata are `metadata` and the source's
/// facts.
absl::StatusOr<runtime::Program> compileSource(Workspace& workspace, const ProgramSource& source,
                                               const std::vector<IsaLevel>& levels,
                                               std::map<std::string, std::string> metadata,
                                               CompileTimes* times);

/// A program with the device it runs on.
struct RunningProgram {
  std::unique_ptr<runtime::CpuDevice> device;
  std::unique_ptr<runtime::Session> session;
};

/// Loads a program on this machine, with --isa and --threads.
absl::StatusOr<RunningProgram> startProgram(runtime::Program program);

/// Compiles for this machine and loads, with --threads.
absl::StatusOr<RunningProgram> startModule(Workspace& workspace, mlir::ModuleOp module,
                                           CompileTimes* times,
                                           std::map<std::string, std::string> metadata = {});
absl::StatusOr<RunningProgram> startSource(Workspace& workspace, const ProgramSource& source,
                                           CompileTimes* times,
                                           std::map<std::string, std::string> metadata = {});

}  // namespace weir

#endif  // WEIR_COMPILER_DRIVER_PROGRAM_H_
