// What was measured, for people and for programs.

#ifndef WEIR_COMPILER_DRIVER_BENCH_REPORT_H_
#define WEIR_COMPILER_DRIVER_BENCH_REPORT_H_

#include <string>
#include <vector>

#include "llvm/Support/JSON.h"

#include "compiler/driver/bench/measure.h"

namespace weir::bench {

struct Result {
  Spread seconds;
  /// floor / time, of each round with its own rates.
  Spread fraction;
  /// Medians.
  Rates rates;
  double floorSeconds = 0;
  /// Memory of the program by its plan: variables, constants, arena, scratch, inputs and outputs.
  double plannedBytes = 0;
  /// Distinct bytes of the launches' operands, added up.
  double movedBytes = 0;
};
Result resultOf(const Subject& subject, const Measured& measured);

/// The launches of one kernel in a run.
struct KernelLine {
  std::string kernel;
  /// Parts of the step it is launched in, and where in the model its first launch comes from.
  std::string parts, place;
  int64_t launches = 0;
  double seconds = 0, flops = 0, bytes = 0, floorSeconds = 0;
};
/// Sorted by time. Needs rounds that were timed launch by launch.
std::vector<KernelLine> kernelLines(const Subject& subject, const Measured& measured,
                                    const Result& result);

void printResult(const std::string& file, const Subject& subject, const Measured& measured,
                 const Result& result);
void printKernelLines(const std::vector<KernelLine>& lines);

llvm::json::Object resultJson(const std::string& file, const Subject& subject,
                              const Measured& measured, const Result& result);
llvm::json::Array kernelJson(const std::vector<KernelLine>& lines);

/// A trace of the run that was timed launch by launch and took the least time, in the format of
/// Chrome's about:tracing, which Perfetto reads: a slice for each launch.
llvm::json::Object traceJson(const Subject& subject, const Measured& measured,
                             const Result& result);

}  // namespace weir::bench

#endif  // WEIR_COMPILER_DRIVER_BENCH_REPORT_H_
