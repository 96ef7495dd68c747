// From host functions of launches to a program that runs without a compiler.
//
//   ProgramOptions options;
//   options.levels = {IsaLevel::Avx512};
//   FailureOr<runtime::Program> program = buildProgram(module, options);
//   runtime::SaveProgram(*program, "model.weir");
//
// The module holds entry points after dispatch: functions with `weir.entry`, whose arguments are
// inputs (`weir.input = "tokens"`) or variables (`weir.variable = "layer.0.in.weight"`), and whose
// results are outputs (`weir.output = "loss"`) or new values of variables. They may call other
// functions (forward, backward, optimizer).

#ifndef WEIR_COMPILER_PROGRAM_BUILDER_PROGRAM_BUILDER_H_
#define WEIR_COMPILER_PROGRAM_BUILDER_PROGRAM_BUILDER_H_

#include <map>
#include <string>
#include <vector>

#include "mlir/IR/BuiltinOps.h"

#include "compiler/conversion/cpu/compile_kernel.h"
#include "runtime/program/program.h"

namespace weir {

struct ProgramOptions {
  /// One code object each.
  std::vector<IsaLevel> levels = {IsaLevel::Avx512};
  /// Handed to the program as they are.
  std::map<std::string, std::string> metadata;
  /// Where compiled kernels are looked for and kept; may be null.
  Cache* cache = nullptr;
};

/// What building took, for whoever wants to print it.
struct ProgramReport {
  int64_t kernels = 0;
  /// Of all levels.
  int64_t kernelsFromCache = 0;
  double planSeconds = 0;
  /// All levels, by the wall clock.
  double compileSeconds = 0;
  double linkSeconds = 0;
};

/// Plans the module (see planModule, which changes it), compiles its kernels on the threads of its
/// context and links them. Errors are reported as diagnostics: those of planning, kernels that
/// can't be compiled, by name, and a linker that fails. `report` may be null.
mlir::FailureOr<runtime::Program> buildProgram(mlir::ModuleOp module, const ProgramOptions& options,
                                               ProgramReport* report = nullptr);

}  // namespace weir

#endif  // WEIR_COMPILER_PROGRAM_BUILDER_PROGRAM_BUILDER_H_
