// Memory that nobody has written: results are the same when it holds NaNs.

#include "absl/strings/str_cat.h"

#include "compiler/driver/check/kind.h"

namespace weir::check {

absl::StatusOr<Verdict> checkPoison(Bench& bench, const Case& at) {
  for (Precision precision : {Precision::F32, Precision::Bf16}) {
    Build build{at.batch, at.length, precision};
    absl::StatusOr<Tensors> values = bench.values(build);
    if (!values.ok()) return values.status();
    for (const char* entry : {"run", "gradients"}) {
      absl::StatusOr<Tensors> clean = bench.run(build, entry, *values);
      if (!clean.ok()) return clean.status();
      absl::StatusOr<Tensors> poisoned = bench.run(build, entry, *values, {1, /*poison=*/true});
      if (!poisoned.ok()) return poisoned.status();
      if (std::string name = differsInBits(*poisoned, *clean); !name.empty())
        return fail(absl::StrCat("NaNs in memory that nobody wrote change ",
                                 compare(poisoned->at(name), clean->at(name), name, 0).str()));
    }
  }
  return pass("NaNs in arena, scratch and outputs change nothing");
}

}  // namespace weir::check
