// What a user sees of a run: one live line on a terminal, a line now and then elsewhere.
#ifndef WEIR_RUNTIME_TRAINING_PROGRESS_H_
#define WEIR_RUNTIME_TRAINING_PROGRESS_H_

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>

#include "runtime/base/human.h"
#include "runtime/training/metrics.h"

namespace weir::runtime {

class Progress {
 public:
  // `file` may be null: nothing is shown. `steps`: of the whole run.
  Progress(std::FILE* file, int64_t steps);
  // Ends a live line.
  ~Progress();

  // A training step; shown if the last one shown is a moment ago (on a terminal) or ten seconds
  // (elsewhere).
  void Step(const MetricsRecord& record, double seconds_left);
  // An evaluation; `best`: the best so far. Always shown, and stays.
  void Evaluation(const MetricsRecord& record, bool best);
  // A line that stays.
  void Say(const std::string& text);

 private:
  void ClearLive();

  std::FILE* file_;
  int64_t steps_;
  bool terminal_;
  bool live_ = false;   // a live line is on the screen
  bool shown_ = false;  // a step was shown
  std::chrono::steady_clock::time_point last_shown_;
};

}  // namespace weir::runtime

#endif  // WEIR_RUNTIME_TRAINING_PROGRESS_H_
