#include "tests/golden/compare.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"

namespace weir::golden {
namespace {

using runtime::HostTensor;
using runtime::SafetensorsEntry;
using runtime::SafetensorsFile;

absl::Status Append(const SafetensorsFile& golden, const std::string& name,
                    absl::string_view new_name, std::vector<HostTensor>& tensors) {
  absl::StatusOr<HostTensor> tensor = golden.Read(name);
  if (!tensor.ok()) return tensor.status();
  runtime::TensorSpec spec = tensor->spec();
  spec.name = std::string(new_name);
  HostTensor renamed(std::move(spec));
  std::copy(tensor->bytes().begin(), tensor->bytes().end(), renamed.bytes().begin());
  tensors.push_back(std::move(renamed));
  return absl::OkStatus();
}

// "gradient.param.to_z.weight" is "to_z.weight" in the file of gradients.
std::string NameInResult(absl::string_view name) {
  if (absl::ConsumePrefix(&name, "gradient.")) absl::ConsumePrefix(&name, "param.");
  absl::ConsumePrefix(&name, "output.");
  return std::string(name);
}

Comparison CompareTensor(const std::string& name, const HostTensor& reference,
                         const HostTensor& actual, double tolerance) {
  Comparison result;
  result.name = name;
  result.error = std::numeric_limits<double>::infinity();
  if (actual.spec().shape != reference.spec().shape) {
    result.problem =
        absl::StrCat("has the shape [", absl::StrJoin(actual.spec().shape, ", "),
                     "], the reference [", absl::StrJoin(reference.spec().shape, ", "), "]");
    return result;
  }
  double error = 0, largest = 0;
  for (int64_t i = 0; i < reference.spec().NumElements(); ++i) {
    const double value = actual.Number(i);
    if (!std::isfinite(value)) {
      result.problem = absl::StrCat("element ", i, " is ", value);
      return result;
    }
    error = std::max(error, std::abs(value - reference.Number(i)));
    largest = std::max(largest, std::abs(reference.Number(i)));
  }
  result.error = largest > 0 ? error / largest : error;
  if (!(result.error <= tolerance)) {
    result.problem = absl::StrCat("is off by ", result.error, ", more than ", tolerance);
  }
  return result;
}

}  // namespace

absl::StatusOr<std::vector<HostTensor>> Parameters(const SafetensorsFile& golden) {
  std::vector<HostTensor> tensors;
  for (const SafetensorsEntry& entry : golden.entries()) {
    absl::string_view name = entry.spec.name;
    if (!absl::ConsumePrefix(&name, "param.")) continue;
    absl::Status status = Append(golden, entry.spec.name, name, tensors);
    if (!status.ok()) return status;
  }
  return tensors;
}

absl::StatusOr<std::vector<HostTensor>> Inputs(const SafetensorsFile& golden) {
  std::vector<HostTensor> tensors;
  for (const SafetensorsEntry& entry : golden.entries()) {
    absl::string_view name = entry.spec.name;
    if (!absl::ConsumePrefix(&name, "input.") && name != "cotangent") continue;
    absl::Status status = Append(golden, entry.spec.name, name, tensors);
    if (!status.ok()) return status;
  }
  return tensors;
}

absl::StatusOr<std::vector<Comparison>> Compare(const SafetensorsFile& golden,
                                                const SafetensorsFile* outputs,
                                                const SafetensorsFile* gradients,
                                                double tolerance) {
  std::vector<Comparison> comparisons;
  std::set<std::pair<const SafetensorsFile*, std::string>> expected;
  for (const SafetensorsEntry& entry : golden.entries()) {
    const std::string& name = entry.spec.name;
    const bool output = name == "output" || absl::StartsWith(name, "output.");
    const bool gradient = absl::StartsWith(name, "gradient.");
    const SafetensorsFile* file = output ? outputs : gradient ? gradients : nullptr;
    if (file == nullptr) continue;
    const std::string actual_name = NameInResult(name);
    expected.insert({file, actual_name});
    if (file->Find(actual_name) == nullptr) {
      comparisons.push_back({name, std::numeric_limits<double>::infinity(),
                             absl::StrCat("is missing: there is no '", actual_name, "'")});
      continue;
    }
    absl::StatusOr<HostTensor> reference = golden.Read(name);
    if (!reference.ok()) return reference.status();
    absl::StatusOr<HostTensor> actual = file->Read(actual_name);
    if (!actual.ok()) return actual.status();
    comparisons.push_back(CompareTensor(name, *reference, *actual, tolerance));
  }
  for (const SafetensorsFile* file : {outputs, gradients}) {
    if (file == nullptr) continue;
    for (const SafetensorsEntry& entry : file->entries()) {
      // A case that isn't about states doesn't list them; they come with any recurrent layer.
      if (absl::StartsWith(entry.spec.name, "state.")) continue;
      if (expected.count({file, entry.spec.name}) == 0) {
        comparisons.push_back({entry.spec.name, std::numeric_limits<double>::infinity(),
                               "is not in the golden file"});
      }
    }
  }
  return comparisons;
}

}  // namespace weir::golden
