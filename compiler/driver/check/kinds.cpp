#include "compiler/driver/check/kind.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "mlir/IR/BuiltinAttributes.h"

#include "compiler/dialect/sequence_interfaces.h"

namespace weir::check {

namespace {

// Primes fit no tile, vector or chunk. Finite differences take the small one.
constexpr int64_t kPrime = 13, kLongPrime = 67;

std::vector<int64_t> once(int64_t) { return {kPrime}; }
std::vector<int64_t> onceLonger(int64_t) { return {kLongPrime}; }

// More than a chunk, so that states cross borders.
std::vector<int64_t> beyondBlock(int64_t block) { return {block + kPrime}; }

}  // namespace

std::string Case::str() const {
  std::string text = absl::StrCat("batch ", batch, ", length ", length);
  if (features > 0) absl::StrAppend(&text, ", features ", features);
  return text;
}

Verdict pass(std::string detail) { return {Verdict::Outcome::Pass, std::move(detail)}; }
Verdict fail(std::string detail) { return {Verdict::Outcome::Fail, std::move(detail)}; }
Verdict skip(std::string why) { return {Verdict::Outcome::Skip, std::move(why)}; }

Verdict within(const Difference& difference, double tolerance, const std::string& what) {
  std::string detail = absl::StrCat(what, what.empty() ? "" : " ");
  if (difference.error <= tolerance)
    return pass(absl::StrFormat("%s%.1e, at most %.0e", detail, difference.error, tolerance));
  return fail(absl::StrFormat("%s%s, at most %.0e", detail, difference.str(), tolerance));
}

const std::vector<Kind>& kinds() {
  static const auto* list = new std::vector<Kind>{
      {"text", "verifier, and printing and reading", once, false, checkText},
      {"fused", "as compiled to run = every op by itself", once, true, checkFused},
      {"gradients", "against finite differences in f64, initial states included",
       [](int64_t) { return std::vector<int64_t>{1, kPrime}; }, true, checkGradients},
      {"step", "step by step = chunk by chunk = whole", beyondBlock, true, checkStreaming},
      {"packed", "documents in a row = each alone, and none sees another", beyondBlock, true,
       checkPacking},
      {"causality", "no output depends on a later input", once, true, checkCausality},
      {"lengths", "any length: 1, a prime, a block and one more or less",
       [](int64_t block) { return std::vector<int64_t>{1, kLongPrime, block - 1, block + 1}; },
       true, checkLength},
      {"poison", "NaNs in memory that nobody wrote", onceLonger, true, checkPoison},
      {"bf16", "bf16 against f64", onceLonger, true, checkBf16},
      {"bits", "the same bits twice, and on 1, 2 and 3 threads", onceLonger, true, checkBits},
      {"cost", "what ops say they cost = counted",
       [](int64_t block) { return std::vector<int64_t>{2 * block}; }, false, checkCost},
      {"degree", "claimed degree in the length = counted",
       [](int64_t block) { return std::vector<int64_t>{std::max<int64_t>(4096, 64 * block)}; },
       false, checkDegree},
  };
  return *list;
}

int64_t blockOf(mlir::func::FuncOp function) {
  int64_t block = 0;
  function.walk([&](mlir::Operation* op) {
    for (mlir::NamedAttribute attribute : op->getAttrs()) {
      auto size = mlir::dyn_cast<mlir::IntegerAttr>(attribute.getValue());
      if (size && attribute.getName().strref().ends_with("_size"))
        block = std::max(block, size.getInt());
    }
  });
  return block > 1 ? block : 16;
}

mlir::Operation* findLookingAhead(mlir::func::FuncOp function) {
  mlir::Operation* found = nullptr;
  function.walk([&](TimeMixingOpInterface op) {
    if (!op.isCausal()) found = op;
  });
  return found;
}

}  // namespace weir::check
