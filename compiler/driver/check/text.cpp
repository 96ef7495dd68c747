// The verifier, and whether printing and reading gives the same text again.

#include "absl/strings/str_cat.h"
#include "llvm/Support/raw_ostream.h"
#include "mlir/IR/Verifier.h"

#include "compiler/driver/check/kind.h"

namespace weir::check {

namespace {

std::string textOf(mlir::ModuleOp module, bool generic) {
  std::string text;
  llvm::raw_string_ostream stream(text);
  mlir::OpPrintingFlags flags;
  if (generic) flags.printGenericOpForm();
  module.print(stream, flags);
  return text;
}

absl::StatusOr<Verdict> checkModule(Bench& bench, mlir::ModuleOp module, const std::string& what) {
  if (mlir::failed(mlir::verify(module))) return fail(absl::StrCat(what, " doesn't verify"));
  for (bool generic : {false, true}) {
    const char* form = generic ? ", in the generic form," : "";
    std::string first = textOf(module, generic);
    auto again = bench.workspace().parseText(first, absl::StrCat("<", what, form, " printed>"));
    if (!again.ok()) return fail(absl::StrCat(what, form, " is printed as what can't be read"));
    if (textOf(**again, generic) != first)
      return fail(absl::StrCat(what, form, " changes when it is printed and read"));
  }
  return pass("");
}

}  // namespace

absl::StatusOr<Verdict> checkText(Bench& bench, const Case& at) {
  DiagnosticCapture diagnostics(bench.workspace().context());
  const CheckSubject& subject = bench.subject();
  auto definition = bench.workspace().parseText(subject.text, subject.source);
  if (!definition.ok()) return diagnostics.status(definition.status());
  absl::StatusOr<Verdict> verdict = checkModule(bench, **definition, "the definition");
  if (!verdict.ok() || verdict->outcome != Verdict::Outcome::Pass) return verdict;
  verdict = checkModule(bench, *subject.model.expanded, "the expanded form");
  if (!verdict.ok() || verdict->outcome != Verdict::Outcome::Pass) return verdict;
  return pass("the definition and the expanded form, both ways of printing");
}

}  // namespace weir::check
