// golden split CASE --params=P --inputs=I       writes the files that `weir run` reads
// golden compare CASE --outputs=O --gradients=G holds what it wrote against the case; exit code 1
// if
//                                               anything is too far off
#include <algorithm>
#include <cstdio>
#include <iostream>
#include <optional>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/strings/str_format.h"
#include "tests/golden/compare.h"

ABSL_FLAG(std::string, params, "", "split: where the parameters go");
ABSL_FLAG(std::string, inputs, "", "split: where the inputs, states and the cotangent go");
ABSL_FLAG(std::string, outputs, "", "compare: the outputs of `weir run`");
ABSL_FLAG(std::string, gradients, "", "compare: the gradients of `weir run`");
ABSL_FLAG(double, tolerance, 1e-5, "compare: largest max|error| / max|reference| of a tensor");

namespace weir::golden {
namespace {

using runtime::SafetensorsFile;

absl::Status Split(const SafetensorsFile& golden) {
  absl::StatusOr<std::vector<runtime::HostTensor>> params = Parameters(golden);
  if (!params.ok()) return params.status();
  absl::StatusOr<std::vector<runtime::HostTensor>> inputs = Inputs(golden);
  if (!inputs.ok()) return inputs.status();
  absl::Status status = runtime::WriteSafetensors(absl::GetFlag(FLAGS_params), *params, {});
  if (!status.ok()) return status;
  return runtime::WriteSafetensors(absl::GetFlag(FLAGS_inputs), *inputs, {});
}

absl::Status OpenOptional(const std::string& path, std::optional<SafetensorsFile>& file) {
  if (path.empty()) return absl::OkStatus();
  absl::StatusOr<SafetensorsFile> opened = SafetensorsFile::Open(path);
  if (opened.ok()) file.emplace(*std::move(opened));
  return opened.status();
}

// Prints a line per tensor and the largest error.
absl::Status CompareFiles(const SafetensorsFile& golden) {
  std::optional<SafetensorsFile> outputs, gradients;
  absl::Status status = OpenOptional(absl::GetFlag(FLAGS_outputs), outputs);
  if (status.ok()) status = OpenOptional(absl::GetFlag(FLAGS_gradients), gradients);
  if (!status.ok()) return status;
  absl::StatusOr<std::vector<Comparison>> comparisons =
      Compare(golden, outputs ? &*outputs : nullptr, gradients ? &*gradients : nullptr,
              absl::GetFlag(FLAGS_tolerance));
  if (!comparisons.ok()) return comparisons.status();
  double largest = 0;
  int problems = 0;
  for (const Comparison& comparison : *comparisons) {
    largest = std::max(largest, comparison.error);
    problems += !comparison.problem.empty();
    std::cout << absl::StrFormat("%-40s %10.2e %s\n", comparison.name, comparison.error,
                                 comparison.problem);
  }
  std::cout << absl::StrFormat("largest error %.2e in %d tensors\n", largest, comparisons->size());
  if (problems > 0) {
    return absl::InternalError(absl::StrFormat("%d tensors are wrong", problems));
  }
  if (comparisons->empty()) return absl::InvalidArgumentError("nothing was compared");
  return absl::OkStatus();
}

absl::Status Run(const std::vector<char*>& arguments) {
  const std::string command = arguments.size() == 3 ? arguments[1] : "";
  if (command != "split" && command != "compare") {
    return absl::InvalidArgumentError("usage: golden split|compare CASE.safetensors --flags");
  }
  absl::StatusOr<SafetensorsFile> golden = SafetensorsFile::Open(arguments[2]);
  if (!golden.ok()) return golden.status();
  return command == "split" ? Split(*golden) : CompareFiles(*golden);
}

}  // namespace
}  // namespace weir::golden

int main(int argc, char** argv) {
  const absl::Status status = weir::golden::Run(absl::ParseCommandLine(argc, argv));
  if (status.ok()) return 0;
  std::cerr << "golden: " << status.message() << "\n";
  return 1;
}
