// The same bits: from the same program again, and on any number of threads.

#include "absl/strings/str_cat.h"

#include "compiler/driver/check/kind.h"

namespace weir::check {

absl::StatusOr<Verdict> checkBits(Bench& bench, const Case& at) {
  for (Precision precision : {Precision::F32, Precision::Bf16}) {
    Build build{at.batch, at.length, precision};
    std::string type = stringifyPrecision(precision).str();
    absl::StatusOr<Tensors> values = bench.values(build);
    if (!values.ok()) return values.status();
    absl::StatusOr<Tensors> first = bench.run(build, "gradients", *values);
    if (!first.ok()) return first.status();
    for (int threads : {1, 2, 3}) {
      absl::StatusOr<Tensors> again = bench.run(build, "gradients", *values, {threads});
      if (!again.ok()) return again.status();
      if (std::string name = differsInBits(*again, *first); !name.empty())
        return fail(absl::StrCat(
            name, " in ", type, " differs ",
            threads == 1 ? "when it is run twice" : absl::StrCat("on ", threads, " threads"),
            " by ", compare(again->at(name), first->at(name), name, 0).str()));
    }
  }
  return pass("f32 and bf16, twice and on 1, 2 and 3 threads");
}

}  // namespace weir::check
