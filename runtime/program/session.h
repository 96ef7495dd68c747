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

// Not thread-safe.
class Session {
 public:
  // Loads the code and allocates zeroed variables. The device must outlive the session.
  static absl::StatusOr<std::unique_ptr<Session>> Create(Program program, Device& device,
                                                         const SessionOptions& options);

  const Program& program() const { return program_; }
  const std::string& isa() const { return code_->isa(); }
  int threads() const { return threads_; }
  // Bytes of variables, constants, arena and scratch.
  int64_t memory_bytes() const { return memory_bytes_; }

  bool HasEntryPoint(absl::string_view name) const {
    return program_.FindEntryPoint(name) != nullptr;
  }

  // NotFound if there is no such variable, InvalidArgument if its type or shape differs.
  absl::Status WriteVariable(absl::string_view name, const HostTensor& value);
  absl::StatusOr<HostTensor> ReadVariable(absl::string_view name) const;

  // Runs an entry point. `inputs` are in its order and must match its types and shapes; `outputs`
  // is filled in its order (memory that is there is used again). NotFound if there is no such entry
  // point.
  absl::Status Run(absl::string_view entry_point, absl::Span<const HostTensor> inputs,
                   std::vector<HostTensor>* outputs);

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
  };

  Session(Program program, Device& device) : program_(std::move(program)), device_(device) {}

  absl::StatusOr<std::unique_ptr<DeviceMemory>> Allocate(int64_t bytes);
  absl::Status AllocateShared();
  absl::StatusOr<Prepared*> Prepare(absl::string_view entry_point);
  void* Resolve(const Prepared& prepared, const BufferRef& ref) const;
  absl::Status Poison(const Prepared& prepared);

  Program program_;
  Device& device_;
  int threads_ = 1;
  bool poison_ = false;
  int64_t memory_bytes_ = 0;
  std::unique_ptr<LoadedCode> code_;
  std::vector<std::unique_ptr<DeviceMemory>> variables_, constants_;
  std::unique_ptr<DeviceMemory> arena_, shared_scratch_, thread_scratch_;
  std::map<std::string, Prepared, std::less<>> prepared_;
  std::function<void(const LaunchTime&)> observer_;
};

}  // namespace weir::runtime

#endif  // WEIR_RUNTIME_PROGRAM_SESSION_H_
