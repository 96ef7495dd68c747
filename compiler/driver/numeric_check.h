// A model run on random numbers in f64, to see whether its gradients and its order in time are what
// they should be.

#ifndef WEIR_COMPILER_DRIVER_NUMERIC_CHECK_H_
#define WEIR_COMPILER_DRIVER_NUMERIC_CHECK_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "compiler/driver/program.h"

namespace weir {

struct GradientError {
  /// "input.x", a parameter's path, or "state.<path>".
  std::string name;
  /// The largest over the directions, of |numeric - analytic| over the size of the derivative.
  double error = 0;
};

class NumericCheck {
 public:
  /// Compiles `run` and `gradients` in f64 for this batch and length, with parameters and inputs at
  /// random.
  static absl::StatusOr<std::unique_ptr<NumericCheck>> create(Workspace& workspace,
                                                              const LoadedModel& model,
                                                              int64_t batch, int64_t length);

  /// Compares gradients with finite differences along three random directions per tensor. A step
  /// over a kink spoils a difference, so the best of several step sizes counts.
  absl::StatusOr<std::vector<GradientError>> gradients();

  /// The largest change of outputs before time `from` when the inputs change from there on,
  /// relative to the largest output; and whether the outputs from there on change at all.
  struct Causality {
    double before = 0;
    bool changesAfter = false;
  };
  absl::StatusOr<Causality> causality(int64_t from);

  /// The largest difference between these outputs and those of `step`, a check of length 1, which
  /// gets one position at a time and its own last states; relative to the largest output.
  absl::StatusOr<double> stepError(NumericCheck& step);

  /// Whether all outputs are finite numbers.
  absl::StatusOr<bool> isFinite();

  bool hasStates() const;
  int64_t length() const { return length_; }

 private:
  using Tensors = std::vector<runtime::HostTensor>;

  absl::StatusOr<Tensors> run(const Tensors& inputs);
  /// sum(output * cotangent), last states included.
  absl::StatusOr<double> objective(const Tensors& inputs);
  absl::StatusOr<double> directionalError(const std::string& name,
                                          const runtime::HostTensor& gradient, int direction);
  absl::StatusOr<double> objectiveAlong(const std::string& name, const runtime::HostTensor& along,
                                        double step);

  RunningProgram program_;
  Tensors inputs_;      // of `run`
  Tensors cotangents_;  // that `gradients` takes besides
  int64_t length_ = 0;
};

}  // namespace weir

#endif  // WEIR_COMPILER_DRIVER_NUMERIC_CHECK_H_
