// This machine's CPU as a device: code is an ELF shared object opened from memory, a launch is a
// call.
//
//   auto device = CpuDevice::Create({});
//   if (!device.ok()) return device.status();
//   auto session = Session::Create(std::move(program), **device, {.threads = 2});
#ifndef WEIR_RUNTIME_DEVICE_CPU_CPU_DEVICE_H_
#define WEIR_RUNTIME_DEVICE_CPU_CPU_DEVICE_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/device/device.h"

namespace weir::runtime {

struct CpuOptions {
  // "amx", "avx512" or "avx2"; empty for the best that the machine has.
  std::string isa = {};
  // If not empty, it is as if the machine had no level beyond this one: for tests of programs that
  // go to other machines.
  std::string machine_isa = {};
};

class CpuDevice : public Device {
 public:
  static absl::StatusOr<std::unique_ptr<CpuDevice>> Create(const CpuOptions& options);

  // The best level that code is chosen from: "amx", "avx512" or "avx2".
  const std::string& isa() const { return levels_.front(); }

  std::string name() const override;
  int default_threads() const override;
  absl::StatusOr<std::unique_ptr<DeviceMemory>> Allocate(int64_t bytes) override;
  absl::Status CopyToDevice(void* destination, const void* host, int64_t bytes) override;
  absl::Status CopyToHost(void* host, const void* source, int64_t bytes) override;
  absl::Status Fill(void* destination, uint8_t byte, int64_t bytes) override;
  absl::StatusOr<std::unique_ptr<LoadedCode>> Load(const Program& program) override;

 private:
  explicit CpuDevice(std::vector<std::string> levels) : levels_(std::move(levels)) {}

  std::vector<std::string> levels_;  // best first
};

}  // namespace weir::runtime

#endif  // WEIR_RUNTIME_DEVICE_CPU_CPU_DEVICE_H_
