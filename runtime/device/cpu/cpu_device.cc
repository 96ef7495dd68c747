#include "runtime/device/cpu/cpu_device.h"

#include <omp.h>
#include <sched.h>
#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "runtime/device/cpu/isa.h"
#include "runtime/device/cpu/shared_object.h"

namespace weir::runtime {
namespace {

constexpr int64_t kAlignment = 64;
constexpr int64_t kHugePage = int64_t{2} << 20;

int64_t RoundUp(int64_t bytes, int64_t multiple) {
  return (bytes + multiple - 1) / multiple * multiple;
}

class HeapMemory : public DeviceMemory {
 public:
  HeapMemory(void* data, int64_t bytes) : data_(data), bytes_(bytes) {}
  ~HeapMemory() override { std::free(data_); }
  void* address() const override { return data_; }
  int64_t bytes() const override { return bytes_; }

 private:
  void* data_;
  int64_t bytes_;
};

// Large blocks are mapped, on 2 MiB borders, so that the kernel can back them with huge pages
// (fewer TLB misses on the long strides of recurrent layers) and commits only what is touched.
class MappedMemory : public DeviceMemory {
 public:
  MappedMemory(void* mapping, int64_t mapped_bytes, void* data, int64_t bytes)
      : mapping_(mapping), mapped_bytes_(mapped_bytes), data_(data), bytes_(bytes) {}
  ~MappedMemory() override { ::munmap(mapping_, mapped_bytes_); }
  void* address() const override { return data_; }
  int64_t bytes() const override { return bytes_; }

 private:
  void* mapping_;
  int64_t mapped_bytes_;
  void* data_;
  int64_t bytes_;
};

using Kernel = void (*)(void* const*);

class CpuCode : public LoadedCode {
 public:
  CpuCode(std::string isa, std::unique_ptr<SharedObject> object, std::vector<Kernel> kernels)
      : isa_(std::move(isa)), object_(std::move(object)), kernels_(std::move(kernels)) {}

  const std::string& isa() const override { return isa_; }

  absl::Status Run(absl::Span<const ResolvedLaunch> launches, int threads,
                   const LaunchObserver& observer) override {
    // The number is a property of the calling thread, so it is set for each run.
    omp_set_dynamic(0);
    omp_set_num_threads(std::max(1, threads));
    for (size_t i = 0; i < launches.size(); ++i) {
      if (!observer) {
        kernels_[launches[i].kernel](launches[i].buffers.data());
        continue;
      }
      auto start = std::chrono::steady_clock::now();
      kernels_[launches[i].kernel](launches[i].buffers.data());
      std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
      observer(i, seconds.count());
    }
    return absl::OkStatus();
  }

 private:
  std::string isa_;
  std::unique_ptr<SharedObject> object_;
  std::vector<Kernel> kernels_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<CpuDevice>> CpuDevice::Create(const CpuOptions& options) {
  absl::StatusOr<std::vector<std::string>> levels =
      UsableIsaLevels(options.isa, options.machine_isa);
  if (!levels.ok()) return levels.status();
  return std::unique_ptr<CpuDevice>(new CpuDevice(*std::move(levels)));
}

std::string CpuDevice::name() const { return absl::StrCat("cpu (", isa(), ")"); }

int CpuDevice::default_threads() const {
  // The cores this process may use, which in a container are often fewer than the machine's.
  cpu_set_t set;
  if (::sched_getaffinity(0, sizeof(set), &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1, omp_get_num_procs());
}

absl::StatusOr<std::unique_ptr<DeviceMemory>> CpuDevice::Allocate(int64_t bytes) {
  auto failure = [&] {
    return absl::ResourceExhaustedError(absl::StrCat("cannot allocate ", bytes, " bytes"));
  };
  if (bytes < 0 || bytes > (int64_t{1} << 47)) return failure();
  if (bytes < kHugePage) {
    int64_t rounded = RoundUp(std::max<int64_t>(bytes, 1), kAlignment);
    void* data = std::aligned_alloc(kAlignment, rounded);
    if (data == nullptr) return failure();
    std::memset(data, 0, rounded);
    return std::make_unique<HeapMemory>(data, bytes);
  }
  int64_t mapped = RoundUp(bytes, kHugePage) + kHugePage;
  void* mapping =
      ::mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapping == MAP_FAILED) return failure();
  int64_t address = reinterpret_cast<intptr_t>(mapping);
  void* data = static_cast<char*>(mapping) + (RoundUp(address, kHugePage) - address);
  // Advice: where it is refused, small pages do.
  ::madvise(data, RoundUp(bytes, kHugePage), MADV_HUGEPAGE);
  return std::make_unique<MappedMemory>(mapping, mapped, data, bytes);
}

absl::Status CpuDevice::CopyToDevice(void* destination, const void* host, int64_t bytes) {
  if (bytes > 0) std::memcpy(destination, host, bytes);
  return absl::OkStatus();
}

absl::Status CpuDevice::CopyToHost(void* host, const void* source, int64_t bytes) {
  if (bytes > 0) std::memcpy(host, source, bytes);
  return absl::OkStatus();
}

absl::Status CpuDevice::Fill(void* destination, uint8_t byte, int64_t bytes) {
  if (bytes > 0) std::memset(destination, byte, bytes);
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<LoadedCode>> CpuDevice::Load(const Program& program) {
  const CodeObject* chosen = nullptr;
  for (const std::string& level : levels_) {
    for (const CodeObject& code : program.code) {
      if (chosen == nullptr && code.isa == level) chosen = &code;
    }
  }
  if (chosen == nullptr) {
    std::vector<absl::string_view> offered;
    offered.reserve(program.code.size());
    for (const CodeObject& code : program.code) offered.push_back(code.isa);
    return absl::NotFoundError(absl::StrCat(
        "the program has code for ", offered.empty() ? "no CPU" : absl::StrJoin(offered, ", "),
        "; this machine runs ", absl::StrJoin(levels_, ", ")));
  }
  absl::StatusOr<std::unique_ptr<SharedObject>> object = SharedObject::Open(chosen->elf);
  if (!object.ok()) return object.status();
  std::vector<Kernel> kernels;
  for (const std::string& kernel : program.kernels) {
    void* symbol = (*object)->Symbol(kernel);
    if (symbol == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat("the program's ", chosen->isa, " code lacks the kernel '", kernel, "'"));
    }
    kernels.push_back(reinterpret_cast<Kernel>(symbol));
  }
  return std::make_unique<CpuCode>(chosen->isa, *std::move(object), std::move(kernels));
}

}  // namespace weir::runtime
