// A program loaded on a device, with the memory of its variables.
//
//   absl::StatusOr<std::unique_ptr<Session>> session = Session::Create(program, device, {});
//   (*session)->WriteVariable("rng", seed);
//   (*session)->Run("init", {}, &outputs);
//   (*session)->Run("train_step", {tokens, targets}, &outputs);
#ifndef WEIR_RUNTIME_PROGRAM_SESSION_H_
#define WEIR_RUNTIME_PROGRAM_SESSION_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/types/span.h"
#include "runtime/device/device.h"
#include "runtime/program/program.h"
#include "runtime/program/tensor.h"

namespace weir::runtime {

struct SessionOptions {
  int threads = 0;  // 0: all cores
  // For tests: before each run every byte of arena, scratch and outputs is 0xff, which is NaN in
  // all floating-point types and -1 in integers. What a kernel reads before it is written shows.
  bool poison = false;
};

// The time of one launch, seen by Session::SetObserver.
struct LaunchTime {
  absl::string_view entry_point;
  absl::string_view kernel;
  int64_t launch;  // its place in the entry point
  double seconds;
};

// Threads: a session is used by one thread at a time, not always the same one. Sessions that share
// a program may be used by several threads at once, each by one, as long as none of them changes
// what is shared: parameters and optimizer state are written (WriteVariable, `init`, `train_step`)
// while no other session runs. Kernels start OpenMP threads of their own, options.threads of them
// for each thread that calls Run; many sessions at once are quickest with one each.
class Session {
 public:
  // Loads the code and allocates zeroed variables. The device must outlive the session.
  static absl::StatusOr<std::unique_ptr<Session>> Create(Program program, Device& device,
                                                         const SessionOptions& options);

  // A further session on the program of `other`, with the same code, constants, parameters and
  // optimizer state in memory. States, counters, arena and scratch are its own, the variables among
  // them zero. What is shared lives as long as any of the sessions.
  static absl::StatusOr<std::unique_ptr<Session>> CreateSharing(const Session& other,
                                                                const SessionOptions& options);

  const Program& program() const { return shared_->program; }
  const std::string& isa() const { return shared_->code->isa(); }
  int threads() const { return threads_; }
  // Bytes of variables, constants, arena, scratch, inputs and outputs.
  int64_t memory_bytes() const { return shared_->memory_bytes + own_memory_bytes_; }
  // Those of them that are no other session's.
  int64_t own_memory_bytes() const { return own_memory_bytes_; }

  bool HasEntryPoint(absl::string_view name) const {
    return program().FindEntryPoint(name) != nullptr;
  }

  // NotFound if there is no such variable, InvalidArgument if its type or shape differs.
  absl::Status WriteVariable(absl::string_view name, const HostTensor& value);
  absl::StatusOr<HostTensor> ReadVariable(absl::string_view name) const;

  // Runs an entry point. `inputs` are in its order and must match its types and shapes; `outputs`
  // is filled in its order (memory that is there is used again). NotFound if there is no such entry
  // point.
  absl::Status Run(absl::string_view entry_point, absl::Span<const HostTensor> inputs,
                   std::vector<HostTensor>* outputs);

  // Copies what buffer `buffer` of launch `launch` of an entry point begins with to the host. For
  // observers: right after a launch its results are there. The buffer must have as many bytes;
  // NotFound if the entry point hasn't run, or has no such launch or buffer.
  absl::Status ReadBuffer(absl::string_view entry_point, int64_t launch, int64_t buffer,
                          absl::Span<char> bytes) const;

  // Sees every launch from now on; null ends it.
  void SetObserver(std::function<void(const LaunchTime&)> observer) {
    observer_ = std::move(observer);
  }

 private:
  // An entry point with its own memory and the addresses of all buffers.
  struct Prepared {
    const EntryPoint* entry;
    std::vector<std::unique_ptr<DeviceMemory>> inputs, outputs;
    std::vector<ResolvedLaunch> launches;
    bool reads_prepared = false, touches_parameters = false;
  };

  // What sessions of a program have in common. Only the memory of variables ever changes.
  struct Shared {
    Program program;
    std::unique_ptr<LoadedCode> code;
    std::vector<std::unique_ptr<DeviceMemory>> constants;
    std::vector<std::unique_ptr<DeviceMemory>> variables;  // null where each session has its own
    int64_t memory_bytes = 0;
    // Guards the variables of role kPrepared, and whether parameters have changed since they were
    // computed.
    absl::Mutex mutex;
    bool stale ABSL_GUARDED_BY(mutex) = true;
  };

  Session(Device& device, std::shared_ptr<Shared> shared, const SessionOptions& options);

  // A session with memory of its own on what is shared.
  static absl::StatusOr<std::unique_ptr<Session>> CreateOn(Device& device,
                                                           std::shared_ptr<Shared> shared,
                                                           const SessionOptions& options);
  absl::StatusOr<std::unique_ptr<DeviceMemory>> AllocateOwn(int64_t bytes);
  absl::Status AllocateVariables();
  absl::Status AllocateScratch();
  const DeviceMemory& VariableMemory(int64_t index) const;
  absl::StatusOr<Prepared*> Prepare(absl::string_view entry_point);
  absl::Status RunLaunches(const Prepared& prepared);
  // Runs `prepare` if parameters have changed since it ran.
  absl::Status RefreshPrepared();
  void MarkStale();
  void* Resolve(const Prepared& prepared, const BufferRef& ref) const;
  absl::Status Poison(const Prepared& prepared);

  Device& device_;
  std::shared_ptr<Shared> shared_;
  int threads_;
  bool poison_;
  int64_t own_memory_bytes_ = 0;
  std::vector<std::unique_ptr<DeviceMemory>> variables_;  // null where shared
  std::unique_ptr<DeviceMemory> arena_, shared_scratch_, thread_scratch_;
  std::map<std::string, Prepared, std::less<>> prepared_;
  std::function<void(const LaunchTime&)> observer_;
};

}  // namespace weir::runtime

#endif  // WEIR_RUNTIME_PROGRAM_SESSION_H_
