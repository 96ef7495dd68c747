// A subject compiled in any of the ways that checks need, once each, and run on random numbers.

#ifndef WEIR_COMPILER_DRIVER_CHECK_BENCH_H_
#define WEIR_COMPILER_DRIVER_CHECK_BENCH_H_

#include <map>
#include <memory>
#include <string>
#include <tuple>

#include "absl/status/statusor.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"

#include "compiler/dialect/experiment_ops.h"
#include "compiler/driver/check/subject.h"
#include "compiler/driver/check/values.h"
#include "compiler/entry_points/programs.h"
#include "runtime/device/cpu/cpu_device.h"
#include "runtime/program/session.h"

namespace weir::check {

/// A way to compile a model's entry points `run` and `gradients` (entry_points/programs.h).
struct Build {
  int64_t batch = 1, length = 1;
  Precision precision = Precision::F64;
  /// Every op by itself: nothing is folded, absorbed or fused.
  bool separate = false;
  /// The inputs `segments` and `start`.
  bool segments = false;
  /// The entry point `gradients`.
  bool gradients = true;

  auto key() const {
    return std::make_tuple(batch, length, precision, separate, segments, gradients);
  }
  bool operator<(const Build& other) const { return key() < other.key(); }
};

/// A way to compile a stream (entry_points/programs.h), in f64.
struct StreamBuild {
  int64_t batch = 1, chunk = 0, context = 0;
  bool segments = false;

  auto key() const { return std::make_tuple(batch, chunk, context, segments); }
  bool operator<(const StreamBuild& other) const { return key() < other.key(); }
};

struct RunOptions {
  int threads = 1;
  /// Fill memory with NaNs before the run.
  bool poison = false;
};

/// Collects diagnostics instead of printing them, as long as it lives.
class DiagnosticCapture {
 public:
  explicit DiagnosticCapture(mlir::MLIRContext& context);
  /// The errors and their notes, in a line; "" if there were none.
  const std::string& text() const { return text_; }
  /// An error with this text, or with that of `status` if there were no diagnostics.
  absl::Status status(const absl::Status& status) const;

 private:
  std::string text_;
  mlir::ScopedDiagnosticHandler handler_;
};

class Bench {
 public:
  /// Both must outlive the bench.
  Bench(Workspace& workspace, const CheckSubject& subject);

  Workspace& workspace() { return workspace_; }
  const CheckSubject& subject() const { return subject_; }
  const LoadedModel& model() const { return subject_.model; }

  /// The expanded model; it may take segment ids and a start position.
  absl::StatusOr<mlir::ModuleOp> expanded(bool segments, bool start);

  /// Compiled at the first call. An error has the compiler's diagnostics as its message.
  absl::StatusOr<const runtime::Program*> program(const Build& build);

  /// The same for a stream.
  absl::StatusOr<const runtime::Program*> stream(const StreamBuild& build);

  /// The entry points of a stream before kernels are formed.
  absl::StatusOr<mlir::OwningOpRef<mlir::ModuleOp>> streamModule(const StreamBuild& build,
                                                                 Precision precision, Level level);

  /// Turns entry points into a program: with `separate`, a kernel for each op.
  absl::StatusOr<runtime::Program> compile(mlir::ModuleOp module, bool separate);

  /// Random numbers for all that `gradients` reads, parameters included, as f64 or integers. All
  /// tokens are in one segment, which starts at position 0.
  absl::StatusOr<Tensors> values(const Build& build);

  /// Values for a program's parameters; initial ones are often zero or tiny, where a wrong gradient
  /// can hide: they are shaken.
  Tensors parameters(const runtime::Program& program);

  /// The outputs of an entry point by name. `values` holds inputs and parameters.
  absl::StatusOr<Tensors> run(const Build& build, const std::string& entry, const Tensors& values,
                              const RunOptions& options = {});

  /// A session of its own.
  absl::StatusOr<std::unique_ptr<runtime::Session>> session(const runtime::Program& program,
                                                            const RunOptions& options);

  /// Tokens are drawn below this: a row of every table that they may look up.
  int64_t tokens() const { return tokens_; }

 private:
  /// A session and what its variables hold.
  struct Running {
    std::unique_ptr<runtime::Session> session;
    Tensors written;
  };
  using RunningKey = std::tuple<Build, int, bool>;

  absl::StatusOr<Running*> running(const Build& build, const RunOptions& options);

  Workspace& workspace_;
  const CheckSubject& subject_;
  int64_t tokens_;
  std::map<std::pair<bool, bool>, mlir::OwningOpRef<mlir::ModuleOp>> expanded_;
  std::unique_ptr<runtime::CpuDevice> device_;
  std::map<Build, runtime::Program> programs_;
  std::map<StreamBuild, runtime::Program> streams_;
  std::map<RunningKey, Running> running_;
};

/// The names in `values` of the inputs with a time, of initial states, of cotangents.
bool isState(absl::string_view name);
bool isCotangent(absl::string_view name);

}  // namespace weir::check

#endif  // WEIR_COMPILER_DRIVER_CHECK_BENCH_H_
