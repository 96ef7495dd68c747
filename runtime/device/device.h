// What a device must do to run programs: give memory, copy, load code, run a list of launches.
//
// All functions may be called from several threads at once. Memory and code keep no pointer to the
// device and may outlive it.
#ifndef WEIR_RUNTIME_DEVICE_DEVICE_H_
#define WEIR_RUNTIME_DEVICE_DEVICE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "runtime/program/program.h"

namespace weir::runtime {

// A block of the device's memory, freed with the object. Aligned to 64 bytes, or to 2 MiB where it
// is that large.
class DeviceMemory {
 public:
  virtual ~DeviceMemory() = default;
  // An address in the device's memory; on the CPU an ordinary pointer.
  virtual void* address() const = 0;
  // As many as were asked for.
  virtual int64_t bytes() const = 0;
};

// A launch with its buffers' addresses filled in.
struct ResolvedLaunch {
  int32_t kernel = 0;
  std::vector<void*> buffers;
};

// Called after each launch with its place in the list and the time it took. Observed runs are
// slower: each launch is waited for.
using LaunchObserver = std::function<void(int64_t launch, double seconds)>;

// The kernels of a program, ready to be called.
class LoadedCode {
 public:
  virtual ~LoadedCode() = default;
  // The instruction set it was compiled for, of those the program offers.
  virtual const std::string& isa() const = 0;
  // Runs the launches in order, on `threads` threads of which the caller is one, and waits for the
  // last. `observer` may be null.
  virtual absl::Status Run(absl::Span<const ResolvedLaunch> launches, int threads,
                           const LaunchObserver& observer) = 0;
};

class Device {
 public:
  virtual ~Device() = default;

  virtual std::string name() const = 0;

  // How many threads a program gets if it asks for 0.
  virtual int default_threads() const = 0;

  // Zeroed memory; ResourceExhausted says how much was asked for.
  virtual absl::StatusOr<std::unique_ptr<DeviceMemory>> Allocate(int64_t bytes) = 0;

  virtual absl::Status CopyToDevice(void* destination, const void* host, int64_t bytes) = 0;
  virtual absl::Status CopyToHost(void* host, const void* source, int64_t bytes) = 0;
  virtual absl::Status Fill(void* destination, uint8_t byte, int64_t bytes) = 0;

  // Loads the best of the program's code objects that the device can run. NotFound if there is
  // none; InvalidArgument if the code lacks a kernel.
  virtual absl::StatusOr<std::unique_ptr<LoadedCode>> Load(const Program& program) = 0;
};

}  // namespace weir::runtime

#endif  // WEIR_RUNTIME_DEVICE_DEVICE_H_
