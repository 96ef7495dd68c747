// Where the time of a compilation goes: seconds by phase, over all threads of the process.
//
//   PhaseTimes::enable();
//   {
//     Phase phase("plan");
//     ...
//   }
//   std::puts(PhaseTimes::table().c_str());
//
// Until it is enabled, a phase costs the reading of a flag.

#ifndef WEIR_COMPILER_SUPPORT_PHASE_TIMES_H_
#define WEIR_COMPILER_SUPPORT_PHASE_TIMES_H_

#include <chrono>
#include <memory>
#include <string>

#include "mlir/Pass/PassInstrumentation.h"

namespace weir {

namespace PhaseTimes {

/// From here on phases are recorded, and "total" begins.
void enable();
bool enabled();

/// A line for each phase, in the order in which they first began: seconds, how often, name. Phases
/// inside of another one are indented below it, and their times are part of its time; those of
/// several threads at once add up to more than passed on the clock.
std::string table();

/// Records each pass as a phase inside of that which this is called in. To be added to a pass
/// manager before it runs.
std::unique_ptr<mlir::PassInstrumentation> instrumentation();

}  // namespace PhaseTimes

/// A phase, from its construction to its destruction, inside of that which its thread is in.
class Phase {
 public:
  explicit Phase(llvm::StringRef name);
  /// For the first phase of a thread that works for another thread's phase.
  Phase(llvm::StringRef name, const Phase& outer);
  ~Phase();
  struct Entry;
  Phase(const Phase&) = delete;
  Phase& operator=(const Phase&) = delete;

 private:
  friend class PhaseInstrumentation;
  Phase(llvm::StringRef name, Entry* outer);

  Entry* entry = nullptr;
  /// What the thread was in before.
  Entry* before = nullptr;
  std::chrono::steady_clock::time_point start;
};

}  // namespace weir

#endif  // WEIR_COMPILER_SUPPORT_PHASE_TIMES_H_
