// What `weir bench` runs: an entry point of a model's program, loaded, with inputs.

#ifndef WEIR_COMPILER_DRIVER_BENCH_SUBJECT_H_
#define WEIR_COMPILER_DRIVER_BENCH_SUBJECT_H_

#include <memory>
#include <string>
#include <vector>

#include "compiler/driver/bench/floor.h"
#include "compiler/driver/bench/kernel_facts.h"
#include "compiler/driver/program.h"
#include "compiler/transforms/plan.h"

namespace weir::bench {

/// A program with an entry point: `train_step` and `eval` of an experiment, `step` and `prefill` of
/// a stream. --batch and --chunk are those of a stream.
struct EntrySource {
  ProgramSource program;
  int64_t batch = 0, length = 0;
  Precision precision = Precision::F32;
  /// Null for streams.
  std::unique_ptr<runtime::Task> task;
};
absl::StatusOr<EntrySource> entrySource(Workspace& workspace, const LoadedModel& loaded,
                                        const std::string& entry);

/// The module of such a program after planning, and what was kept for backward.
struct PlannedModule {
  mlir::OwningOpRef<mlir::ModuleOp> module;
  ModulePlan plan;
  double residuals = 0;
};
absl::StatusOr<PlannedModule> planSource(Workspace& workspace, const ProgramSource& source);

/// The floor of an entry point of a planned program.
Work floorOf(const LoadedModel& loaded, const EntrySource& source, const PlannedModule& planned,
             const std::string& entry);

struct Subject {
  LoadedModel loaded;
  std::string entry;
  Precision precision = Precision::F32;
  /// Shape of the tokens that a run reads.
  int64_t batch = 0, length = 0;
  PlannedModule planned;
  std::vector<LaunchFacts> launches;
  Work floor;
  RunningProgram program;
  std::vector<runtime::HostTensor> inputs;
  CompileTimes times;
  /// From the file's text to a program that can be launched.
  double compileSeconds = 0;

  double tokens() const { return static_cast<double>(batch * length); }
  absl::Status run() { return program.session->Run(entry, inputs, &outputs); }

 private:
  std::vector<runtime::HostTensor> outputs;
};

/// --entry, or what it is without the flag.
absl::StatusOr<std::string> entryName(const LoadedModel& loaded);

/// Reads, compiles and loads a model, sets its parameters and fills its inputs: with the task's
/// first batch, or with random tokens if there is no data.
absl::StatusOr<std::unique_ptr<Subject>> prepare(Workspace& workspace, const std::string& file);

}  // namespace weir::bench

#endif  // WEIR_COMPILER_DRIVER_BENCH_SUBJECT_H_
