// weir compare: runs side by side.

#include "runtime/training/compare.h"

#include <cstdio>

#include "compiler/driver/command.h"

namespace weir {

namespace {

absl::Status run(const Arguments& arguments) {
  absl::StatusOr<std::string> table = runtime::CompareRuns(arguments);
  if (!table.ok()) return table.status();
  std::fputs(table->c_str(), stdout);
  return absl::OkStatus();
}

}  // namespace

Command compareCommand() {
  return {"compare",
          "DIR...",
          "shows runs side by side, from what `weir train --out=DIR` wrote",
          "",
          "weir compare runs/mingru runs/gru runs/transformer_pp",
          {},
          1,
          -1,
          run};
}

}  // namespace weir
