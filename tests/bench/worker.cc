// Runs an entry point of a compiled program as often as it is told to, and stays alive in between,
// so that other processes can take turns with it. Usage:
//
//   worker PROGRAM ENTRY INPUTS.safetensors [PARAMETERS.safetensors]
//
// A line with a number on stdin asks for so many runs; the answer is one JSON object: `seconds` of
// each run, `kernels` (seconds inside of kernels, without copies of inputs and outputs), `loss`
// where there is one, `peak_bytes` of the process.
#include <sys/resource.h>

#include <chrono>
#include <cstdint>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "runtime/checkpoint/safetensors.h"
#include "runtime/device/cpu/cpu_device.h"
#include "runtime/program/program.h"
#include "runtime/program/session.h"
#include "runtime/training/checkpoint.h"

namespace weir::runtime {
namespace {

std::string JsonArray(const std::vector<double>& values) {
  auto number = [](std::string* out, double value) { absl::StrAppendFormat(out, "%.9g", value); };
  return absl::StrCat("[", absl::StrJoin(values, ", ", number), "]");
}

int64_t PeakBytes() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return int64_t{1024} * usage.ru_maxrss;
}

absl::StatusOr<std::vector<HostTensor>> ReadInputs(const EntryPoint& entry,
                                                   const std::string& path) {
  absl::StatusOr<SafetensorsFile> file = SafetensorsFile::Open(path);
  if (!file.ok()) return file.status();
  std::vector<HostTensor> inputs;
  for (const TensorSpec& spec : entry.inputs) {
    absl::StatusOr<HostTensor> input = file->Read(spec.name);
    if (!input.ok()) return input.status();
    inputs.push_back(*std::move(input));
  }
  return inputs;
}

// Runs `entry` so many times; the answer.
absl::StatusOr<std::string> Answer(Session& session, const std::string& entry,
                                   const std::vector<HostTensor>& inputs, int runs) {
  std::vector<double> seconds, kernels, loss;
  std::vector<HostTensor> outputs;
  double inside = 0;
  session.SetObserver([&](const LaunchTime& time) { inside += time.seconds; });
  for (int i = 0; i < runs; ++i) {
    inside = 0;
    auto start = std::chrono::steady_clock::now();
    if (absl::Status status = session.Run(entry, inputs, &outputs); !status.ok()) return status;
    std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
    seconds.push_back(time.count());
    kernels.push_back(inside);
    for (const HostTensor& output : outputs)
      if (output.spec().name == "loss") loss.push_back(output.Number(0));
  }
  return absl::StrFormat(R"({"seconds": %s, "kernels": %s, "loss": %s, "peak_bytes": %d})",
                         JsonArray(seconds), JsonArray(kernels), JsonArray(loss), PeakBytes());
}

absl::Status Serve(const std::vector<std::string>& arguments) {
  absl::StatusOr<Program> program = LoadProgram(arguments[0]);
  if (!program.ok()) return program.status();
  absl::StatusOr<std::unique_ptr<CpuDevice>> device = CpuDevice::Create({});
  if (!device.ok()) return device.status();
  absl::StatusOr<std::unique_ptr<Session>> created =
      Session::Create(*std::move(program), **device, {});
  if (!created.ok()) return created.status();
  Session& session = **created;
  if (absl::Status status = InitializeVariables(session, 1); !status.ok()) return status;
  if (arguments.size() > 3) {
    absl::Status status = LoadParameters(session, arguments[3]);
    if (!status.ok()) return status;
  }
  const std::string& name = arguments[1];
  const EntryPoint* entry = session.program().FindEntryPoint(name);
  if (entry == nullptr) return absl::NotFoundError(absl::StrCat("no entry point '", name, "'"));
  absl::StatusOr<std::vector<HostTensor>> inputs = ReadInputs(*entry, arguments[2]);
  if (!inputs.ok()) return inputs.status();
  int64_t parameters = 0;
  for (const Variable& variable : session.program().variables)
    if (variable.role == Role::kParameter) parameters += variable.spec.NumElements();
  std::cout << absl::StrFormat(R"({"parameters": %d, "threads": %d, "isa": "%s"})", parameters,
                               session.threads(), session.isa())
            << std::endl;
  for (int runs = 0; std::cin >> runs;) {
    absl::StatusOr<std::string> answer = Answer(session, name, *inputs, runs);
    if (!answer.ok()) return answer.status();
    std::cout << *answer << std::endl;
  }
  return absl::OkStatus();
}

}  // namespace
}  // namespace weir::runtime

int main(int argc, char** argv) {
  std::vector<std::string> arguments(argv + 1, argv + argc);
  if (arguments.size() < 3 || arguments.size() > 4) {
    std::cerr << "usage: worker PROGRAM ENTRY INPUTS.safetensors [PARAMETERS.safetensors]\n";
    return 2;
  }
  absl::Status status = weir::runtime::Serve(arguments);
  if (status.ok()) return 0;
  std::cerr << status.message() << "\n";
  return 1;
}
