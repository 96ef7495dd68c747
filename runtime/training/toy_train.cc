// Trains the toy program on a text file: toy_train TEXT DIRECTORY STEPS [resume]. For kill_test.sh.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>

#include "runtime/data/task_registry.h"
#include "runtime/device/cpu/cpu_device.h"
#include "runtime/testing/toy_program.h"
#include "runtime/training/loop.h"

int main(int argc, char** argv) {
  using namespace weir::runtime;  // NOLINT
  if (argc < 4) return 2;
  auto task =
      TaskRegistry::WithBuiltinTasks()
          .Create("text",
                  {{"data", std::string(argv[1])}, {"context", int64_t{16}}, {"batch", int64_t{4}}})
          .value();
  auto device = CpuDevice::Create({}).value();
  auto session = Session::Create(ToyProgram(4, 16, task->spec().vocabulary), *device, {1}).value();
  TrainingOptions options;
  options.directory = argv[2];
  options.steps = std::strtol(argv[3], nullptr, 10);
  options.resume = argc > 4;
  options.eval_every = 50;
  options.checkpoint_seconds = 0.05;
  options.progress = stdout;
  // Slow enough to be killed on the way.
  options.after_step = [](int64_t) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return absl::OkStatus();
  };
  absl::StatusOr<TrainingResult> result = Train(*session, *task, options);
  if (!result.ok()) {
    std::fprintf(stderr, "error: %s\n", std::string(result.status().message()).c_str());
    return 1;
  }
  std::printf("%s after %lld steps\n", result->interrupted ? "interrupted" : "done",
              static_cast<long long>(result->steps));
  return 0;
}
