#include "runtime/device/cpu/cpu_device.h"

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/device/cpu/isa.h"
#include "runtime/program/session.h"
#include "runtime/testing/toy_program.h"

namespace weir::runtime {
namespace {

std::unique_ptr<CpuDevice> Cpu() { return CpuDevice::Create({}).value(); }

TEST(CpuDevice, MemoryIsAlignedAndZero) {
  auto device = Cpu();
  for (int64_t bytes : {0, 1, 63, 4096, (2 << 20) - 1, 2 << 20, (5 << 20) + 3}) {
    auto memory = device->Allocate(bytes);
    ASSERT_TRUE(memory.ok());
    char* data = static_cast<char*>((*memory)->address());
    EXPECT_EQ(reinterpret_cast<intptr_t>(data) % (bytes >= 2 << 20 ? 2 << 20 : 64), 0) << bytes;
    for (int64_t i = 0; i < bytes; ++i) ASSERT_EQ(data[i], 0);
    if (bytes > 0) std::memset(data, 1, bytes);
  }
  EXPECT_EQ(device->Allocate(int64_t{1} << 60).status().code(),
            absl::StatusCode::kResourceExhausted);
}

TEST(CpuDevice, KernelsRunOnTheThreadsAskedFor) {
  auto device = Cpu();
  for (int threads : {1, 2, 3}) {
    auto session = Session::Create(ToyProgram(1, 1, 2), *device, {threads});
    ASSERT_TRUE(session.ok()) << session.status();
    std::vector<HostTensor> outputs;
    ASSERT_TRUE((*session)->Run("threads", {}, &outputs).ok());
    EXPECT_EQ(outputs[0].As<int64_t>()[0], threads);
  }
}

// The loader finds libraries by path and so by descriptor number; code that was closed must not
// come back.
TEST(CpuDevice, ProgramsComeAndGo) {
  auto device = Cpu();
  for (int i = 0; i < 5; ++i) {
    auto first = Session::Create(ToyProgram(1, 1, 2), *device, {1});
    auto second = Session::Create(ToyProgram(1, 1, 2), *device, {1});
    ASSERT_TRUE(first.ok() && second.ok());
    first->reset();
    Program wrong = ToyProgram(1, 1, 2);
    wrong.kernels[3] = "toy_absent";
    EXPECT_EQ(Session::Create(wrong, *device, {1}).status().message(),
              "the program's avx2 code lacks the kernel 'toy_absent'");
    std::vector<HostTensor> outputs;
    EXPECT_TRUE((*second)->Run("threads", {}, &outputs).ok());
  }
}

TEST(CpuDevice, CodeThatIsNoElfIsRefused) {
  auto device = Cpu();
  Program program = ToyProgram(1, 1, 2);
  program.code[0].elf = "hello";
  absl::Status status = Session::Create(program, *device, {}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
}

TEST(CpuDevice, IsaLevels) {
  ASSERT_FALSE(SupportedIsaLevels().empty());
  EXPECT_EQ(SupportedIsaLevels().back(), "avx2");
  EXPECT_EQ(Cpu()->isa(), SupportedIsaLevels().front());
  EXPECT_EQ(CpuDevice::Create({"avx2"}).value()->isa(), "avx2");
  EXPECT_EQ(CpuDevice::Create({"sse"}).status().message(),
            "'sse' is no instruction-set level: amx, avx512, avx2");
  Program program = ToyProgram(1, 1, 2);
  program.code[0].isa = "mmx";
  EXPECT_EQ(Session::Create(program, *CpuDevice::Create({"avx2"}).value(), {}).status().message(),
            "the program has code for mmx; this machine runs avx2");
}

// A machine with less than this one.
TEST(CpuDevice, LesserMachines) {
  auto device = CpuDevice::Create({"", "avx2"}).value();
  EXPECT_EQ(device->isa(), "avx2");
  Program program = ToyProgram(1, 1, 2);
  program.code.insert(program.code.begin(), {"amx", "not for this machine"});
  EXPECT_EQ(Session::Create(program, *device, {}).value()->isa(), "avx2");
  program.code.pop_back();
  EXPECT_EQ(Session::Create(program, *device, {}).status().message(),
            "the program has code for amx; this machine runs avx2");
  EXPECT_EQ(CpuDevice::Create({"amx", "avx2"}).status().message(),
            "this machine can't run amx code; it can run avx2");
  EXPECT_EQ(CpuDevice::Create({"", "sse"}).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace weir::runtime
