#ifndef WEIR_RUNTIME_TRAINING_INTERRUPT_H_
#define WEIR_RUNTIME_TRAINING_INTERRUPT_H_

#include <csignal>

namespace weir::runtime {

// While it lives, the first SIGINT or SIGTERM only sets a flag; a second one of the same kind ends
// the process at once. One at a time in a process.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

  bool requested() const;

 private:
  struct sigaction old_interrupt_, old_terminate_;
};

}  // namespace weir::runtime

#endif  // WEIR_RUNTIME_TRAINING_INTERRUPT_H_
