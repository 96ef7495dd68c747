#include "compiler/driver/matrix_scans.h"

#include <cstdio>

#include "absl/strings/str_format.h"

#include "compiler/driver/bench/kernel_facts.h"
#include "compiler/driver/flags.h"
#include "compiler/driver/program.h"
#include "compiler/transforms/matrix_scan.h"
#include "compiler/transforms/specialize.h"
#include "runtime/base/human.h"

namespace weir {

using namespace mlir;
using runtime::HumanCount;

namespace {

std::string describe(const MatrixScan& form, bool bf16) {
  std::string text = absl::StrFormat("%d of %d x %d, ", form.numMatrices(), form.sizes[form.key],
                                     form.sizes[form.value]);
  int64_t chunk = chunkOf(form, bf16);
  double inOrder = costInOrder(form);
  if (chunk == 0) return text + absl::StrFormat("in order, cost %s", HumanCount(inOrder));
  return text + absl::StrFormat("in chunks of %d tokens, cost %s (in order %s)", chunk,
                                HumanCount(costInChunks(form, chunk, bf16)), HumanCount(inOrder));
}

}  // namespace

absl::Status printMatrixScans(Workspace& workspace, const LoadedModel& loaded, int64_t batch,
                              int64_t length) {
  absl::StatusOr<Precision> precision = precisionFlag();
  if (!precision.ok()) return precision.status();
  if (!isGiven("precision") && loaded.experiment)
    precision = ExperimentOp(loaded.experiment).getPrecision();
  OwningOpRef<func::FuncOp> function(loaded.function().clone());
  if (failed(specializeFunction(*function, {batch, length, *precision == Precision::F64,
                                            /*isTraining=*/true})))
    return workspace.failed();
  bool isFirst = true;
  (*function).walk([&](ScanOp scan) {
    FailureOr<MatrixScan> form = matchMatrixScan(scan);
    if (failed(form)) return;
    if (isFirst)
      std::printf(
          "\nscans with a matrix for a state (cost: elementwise operations of a forward "
          "pass, products for less):\n");
    isFirst = false;
    std::printf("  %-28s %s\n", bench::placeOf(scan.getLoc()).c_str(),
                describe(*form, *precision == Precision::Bf16).c_str());
  });
  return absl::OkStatus();
}

}  // namespace weir
