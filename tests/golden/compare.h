// Golden cases: what goes in, and how close what comes out must be (see make_golden.py).
#ifndef WEIR_TESTS_GOLDEN_COMPARE_H_
#define WEIR_TESTS_GOLDEN_COMPARE_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/checkpoint/safetensors.h"
#include "runtime/program/tensor.h"

namespace weir::golden {

// The tensors of `golden` whose names begin with one of `prefixes`, without that prefix.
//   {"param."}                  parameters by path
//   {"input.", ""} + cotangent  see CaseInputs
absl::StatusOr<std::vector<runtime::HostTensor>> Parameters(const runtime::SafetensorsFile& golden);

// The model's arguments by name, `cotangent`, and initial states as `state.<path>`.
absl::StatusOr<std::vector<runtime::HostTensor>> Inputs(const runtime::SafetensorsFile& golden);

struct Comparison {
  std::string name;  // in the golden file
  double error = 0;  // max|actual - reference| / max|reference|; infinity if it can't be compared
  std::string
      problem;  // why it can't: missing, another shape, not finite; or that it is too far off
};

// Every `output` and `output.state.<path>` of `golden` against `outputs` ("output",
// "state.<path>"), and every `gradient.*` against `gradients` (a parameter's path,
// "input.<argument>", "state.<path>"). Either file may be null: then its tensors are not compared.
// Names that golden doesn't have are a problem too. An error above `tolerance` is one.
absl::StatusOr<std::vector<Comparison>> Compare(const runtime::SafetensorsFile& golden,
                                                const runtime::SafetensorsFile* outputs,
                                                const runtime::SafetensorsFile* gradients,
                                                double tolerance);

}  // namespace weir::golden

#endif  // WEIR_TESTS_GOLDEN_COMPARE_H_
