// weir check: whether a layer can be trusted.

#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "llvm/Support/raw_ostream.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Parser/Parser.h"

#include "compiler/dialect/sequence_interfaces.h"
#include "compiler/driver/check_subject.h"
#include "compiler/driver/command.h"
#include "compiler/driver/flags.h"
#include "compiler/driver/numeric_check.h"
#include "compiler/entry_points/arguments.h"

namespace weir {

namespace {

constexpr double kGradientTolerance = 1e-6;
constexpr double kSameTolerance = 1e-10;

/// Prints a line per check and counts.
class Table {
 public:
  void row(const std::string& what, bool passed, const std::string& detail) {
    std::printf("  %-6s %-48s %s\n", passed ? "pass" : "FAIL", what.c_str(), detail.c_str());
    ++(passed ? passed_ : failed_);
  }
  void skip(const std::string& what, const std::string& why) {
    std::printf("  %-6s %-48s %s\n", "-", what.c_str(), why.c_str());
  }
  int passed() const { return passed_; }
  int failed() const { return failed_; }

 private:
  int passed_ = 0, failed_ = 0;
};

std::string textOf(mlir::ModuleOp module, bool generic) {
  std::string text;
  llvm::raw_string_ostream stream(text);
  mlir::OpPrintingFlags flags;
  if (generic) flags.printGenericOpForm();
  module.print(stream, flags);
  return text;
}

/// Whether printing and reading gives the same text again.
absl::Status checkRoundTrip(Workspace& workspace, mlir::ModuleOp module, const std::string& what,
                            Table& table) {
  for (bool generic : {false, true}) {
    std::string first = textOf(module, generic);
    auto again = workspace.parseText(first, absl::StrCat("<", what, ", printed>"));
    if (!again.ok()) return again.status();
    table.row(absl::StrCat("round trip of ", what, generic ? ", generic form" : ""),
              textOf(**again, generic) == first, "");
  }
  return absl::OkStatus();
}

/// An op that may look ahead, or null.
mlir::Operation* findLookingAhead(mlir::func::FuncOp function) {
  mlir::Operation* found = nullptr;
  function.walk([&](TimeMixingOpInterface op) {
    if (!op.isCausal()) found = op;
  });
  return found;
}

/// An op along time that carries no state from one call to the next, or counts positions; null if
/// there is none.
mlir::Operation* findStateless(mlir::func::FuncOp function) {
  mlir::Operation* found = nullptr;
  function.walk([&](TimeMixingOpInterface op) {
    bool hasState = false;
    for (mlir::Value operand : op->getOperands()) {
      while (auto cast = operand.getDefiningOp<mlir::tensor::CastOp>()) operand = cast.getSource();
      auto argument = mlir::dyn_cast<mlir::BlockArgument>(operand);
      if (argument && argument.getOwner() == &function.front())
        hasState |= bool(function.getArgAttr(argument.getArgNumber(), kStateAttr));
    }
    if (!hasState || op.usesStart()) found = op;
  });
  return found;
}

absl::Status checkLength(NumericCheck& check, Table& table) {
  std::string length = absl::StrCat(", length ", check.length());
  absl::StatusOr<bool> finite = check.isFinite();
  if (!finite.ok()) return finite.status();
  table.row(absl::StrCat("outputs are numbers", length), *finite, "");
  absl::StatusOr<std::vector<GradientError>> errors = check.gradients();
  if (!errors.ok()) return errors.status();
  for (const GradientError& error : *errors)
    table.row(absl::StrCat("gradient of ", error.name, length), error.error <= kGradientTolerance,
              absl::StrFormat("%.1e", error.error));
  return absl::OkStatus();
}

absl::Status checkCausality(const CheckSubject& subject, NumericCheck& check, Table& table) {
  if (mlir::Operation* op = findLookingAhead(subject.model.function())) {
    table.skip("causality", absl::StrCat("not causal: ", op->getName().getStringRef().str()));
    return absl::OkStatus();
  }
  absl::StatusOr<NumericCheck::Causality> result = check.causality(check.length() / 2);
  if (!result.ok()) return result.status();
  table.row("causality: outputs ignore later inputs", result->before <= kSameTolerance,
            absl::StrFormat("%.1e", result->before));
  table.row("outputs follow their inputs", result->changesAfter, "");
  return absl::OkStatus();
}

absl::Status checkSteps(const CheckSubject& subject, NumericCheck& whole, NumericCheck& step,
                        Table& table) {
  mlir::Operation* stateless = findStateless(subject.model.function());
  if (!whole.hasStates() || stateless) {
    table.skip("one position at a time",
               stateless
                   ? absl::StrCat("no state yet for ", stateless->getName().getStringRef().str())
                   : "no state");
    return absl::OkStatus();
  }
  absl::StatusOr<double> error = whole.stepError(step);
  if (!error.ok()) return error.status();
  table.row("one position at a time gives the same", *error <= kSameTolerance,
            absl::StrFormat("%.1e", *error));
  return absl::OkStatus();
}

absl::Status checkSubject(Workspace& workspace, const CheckSubject& subject, Table& table) {
  std::printf("%s (%s)\n", subject.name.c_str(), subject.source.c_str());
  auto definition = workspace.parseText(subject.text, subject.source);
  if (!definition.ok()) return definition.status();
  table.row("verifies", true, "");
  absl::Status status = checkRoundTrip(workspace, **definition, "the definition", table);
  if (!status.ok()) return status;
  status = checkRoundTrip(workspace, *subject.model.expanded, "the expanded form", table);
  if (!status.ok()) return status;

  // A prime fits no tile, vector or chunk; with 1 nothing is mixed.
  int64_t prime = absl::GetFlag(FLAGS_length) > 0 ? absl::GetFlag(FLAGS_length) : 13;
  int64_t batch = absl::GetFlag(FLAGS_batch) > 0 ? absl::GetFlag(FLAGS_batch) : 2;
  std::unique_ptr<NumericCheck> one, many;
  for (auto [check, length] : {std::pair{&one, int64_t{1}}, std::pair{&many, prime}}) {
    auto created = NumericCheck::create(workspace, subject.model, batch, length);
    if (!created.ok()) return created.status();
    *check = *std::move(created);
    if (status = checkLength(**check, table); !status.ok()) return status;
  }
  if (status = checkCausality(subject, *many, table); !status.ok()) return status;
  return checkSteps(subject, *many, *one, table);
}

absl::Status run(const Arguments& arguments) {
  absl::StatusOr<CheckSubjects> subjects = checkSubjects(arguments[0]);
  if (!subjects.ok()) return subjects.status();
  Table table;
  for (const CheckSubject& subject : subjects->subjects) {
    absl::Status status = checkSubject(*subjects->workspace, subject, table);
    if (!status.ok()) return status;
  }
  std::printf("%d passed, %d failed\n", table.passed(), table.failed());
  if (table.failed() > 0)
    return absl::FailedPreconditionError(
        absl::StrCat(arguments[0], ": ", table.failed(), " checks failed"));
  return absl::OkStatus();
}

}  // namespace

Command checkCommand() {
  return {
      "check",
      "LAYER|FILE",
      "checks a layer: text, gradients, causality, lengths 1 and a prime",
      "Gradients are held against finite differences in f64, along 3 random directions for each\n"
      "input and parameter (tolerance 1e-6). FILE holds layers, or a model.",
      "weir check mingru --set hidden=12\n"
      "weir check my_layer.mlir --features=6 --length=31",
      {"set", "features", "batch", "length", "threads", "isa", "plugin", "experiment", "model"},
      1,
      1,
      run};
}

}  // namespace weir
