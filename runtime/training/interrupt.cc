#include "runtime/training/interrupt.h"

namespace weir::runtime {
namespace {

volatile std::sig_atomic_t interrupt_requested = 0;

void Request(int) { interrupt_requested = 1; }

}  // namespace

InterruptGuard::InterruptGuard() {
  interrupt_requested = 0;
  struct sigaction action = {};
  action.sa_handler = Request;
  sigemptyset(&action.sa_mask);
  // Back to the default after the first, so that a second one ends the process; calls that are
  // under way go on.
  action.sa_flags = static_cast<int>(SA_RESETHAND) | SA_RESTART;
  sigaction(SIGINT, &action, &old_interrupt_);
  sigaction(SIGTERM, &action, &old_terminate_);
}

InterruptGuard::~InterruptGuard() {
  sigaction(SIGINT, &old_interrupt_, nullptr);
  sigaction(SIGTERM, &old_terminate_, nullptr);
}

bool InterruptGuard::requested() const { return interrupt_requested != 0; }

}  // namespace weir::runtime
