// A bug of each kind, planted in a layer or an op: the row that is for it must fail, and all rows
// must pass without it.

#include <filesystem>
#include <fstream>

#include "absl/flags/flag.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gtest/gtest.h"

#include "compiler/driver/check/report.h"
#include "compiler/driver/check/tests/planted.h"
#include "compiler/driver/flags.h"

namespace weir::check {
namespace {

/// All rows of a check of the layer @planted in `text`, and what `explain` says about failures.
struct Checked {
  std::vector<Row> rows;
  std::string explanations;

  std::set<std::string> failed() const {
    std::set<std::string> kinds;
    for (const Row& row : rows)
      if (row.verdict.outcome == Verdict::Outcome::Fail) kinds.insert(row.kind);
    return kinds;
  }
  std::set<std::string> passed() const {
    std::set<std::string> kinds;
    for (const Row& row : rows)
      if (row.verdict.outcome == Verdict::Outcome::Pass) kinds.insert(row.kind);
    return kinds;
  }
};

Checked checkLayer(const std::string& text, const std::set<std::string>& only) {
  Checked checked;
  std::string file = absl::StrCat(std::getenv("TEST_TMPDIR"), "/planted.mlir");
  std::ofstream(file) << text;
  absl::SetFlag(&FLAGS_plugin, {file});
  auto workspace = Workspace::create();
  EXPECT_TRUE(workspace.ok()) << workspace.status();
  if (!workspace.ok()) return checked;
  (*workspace)->context().getOrLoadDialect<planted::PlantedDialect>();
  auto make = [&](int64_t features) { return layerSubject(**workspace, "planted", features); };
  auto subject = make(4);
  EXPECT_TRUE(subject.ok()) << subject.status() << "\n" << text;
  if (!subject.ok()) return checked;
  CheckSettings settings;
  settings.only = only;
  checked.rows = runChecks(**workspace, *subject, make, settings, [&](const Row& row) {
    std::cout << str(row) << "\n";
    if (row.isExplained) absl::StrAppend(&checked.explanations, explain(*subject, row), "\n");
  });
  std::cout << checked.explanations;
  return checked;
}

std::string layerOf(const std::string& body) {
  return absl::StrCat(
      "// A layer for a test.\n!seq = tensor<?x?x?xf32>\n"
      "weir.layer @planted(%x: !seq) -> !seq {\n",
      body, "}\n");
}

/// An op between two projections.
std::string layerWith(const std::string& op, const std::string& type) {
  return layerOf(absl::StrCat(R"mlir(
  %d = weir.dim %x, feature : !seq
  %a = weir.linear %x, "in" [%d] bias : !seq
  %b = )mlir",
                              op, " : ", type, R"mlir(
  %y = weir.linear %b, "out" [%d] bias : !seq
  weir.return %y : !seq
)mlir"));
}

std::string unary(const std::string& op) { return layerWith(op, "!seq"); }
std::string shift(const std::string& attributes) {
  return layerWith("planted.shift %a " + attributes, "!seq -> !seq");
}

void expectCaught(const std::string& text, const std::string& kind, const std::string& smallest) {
  Checked checked = checkLayer(text, {kind});
  EXPECT_EQ(checked.failed(), std::set<std::string>{kind});
  EXPECT_TRUE(absl::StrContains(checked.explanations, absl::StrCat("--only=", kind, " --batch=")))
      << checked.explanations;
  EXPECT_TRUE(absl::StrContains(checked.explanations, smallest)) << checked.explanations;
}

void expectPasses(const std::string& text, const std::set<std::string>& only = {}) {
  Checked checked = checkLayer(text, only);
  EXPECT_EQ(checked.failed(), std::set<std::string>());
  // And it isn't for lack of rows.
  if (only.empty()) EXPECT_GE(checked.passed().size(), 11u);
}

TEST(Planted, WrongGradient) {
  expectCaught(unary("planted.square %a {wrong_gradient}"), "gradients",
               "--batch=1 --length=1 --features=1");
  expectPasses(unary("planted.square %a"));
}

TEST(Planted, CostThatLies) {
  expectCaught(unary("planted.square %a {lies}"), "cost", "planted.square says");
  expectCaught(unary("planted.pairs %a {lies}"), "cost", "planted.pairs says");
  expectPasses(unary("planted.pairs %a"), {"cost", "degree", "gradients"});
}

TEST(Planted, DegreeThatLies) {
  expectCaught(unary("planted.pairs %a {lies}"), "degree",
               "planted.pairs claims degree 1 for its operations, but 2.00 is counted");
}

TEST(Planted, ReadsWhatNobodyWrote) {
  expectCaught(unary("planted.unwritten %a {reads}"), "poison", "--batch=1 --length=2");
  expectPasses(unary("planted.unwritten %a"));
}

TEST(Planted, LeakAcrossSegments) {
  expectCaught(shift("{leaks}"), "packed", "leaks: it changes");
  expectPasses(shift(""));
}

TEST(Planted, LookIntoTheFuture) {
  expectCaught(shift("{ahead}"), "causality", "--batch=1 --length=2 --features=1");
}

TEST(Planted, StateThatAnOpForgets) {
  expectCaught(shift("{forgets}"), "step", "--batch=1 --length=2 --features=1");
}

// minGRU without its comments.
constexpr char kMinGru[] = R"mlir(
  %d = weir.dim %x, feature : !seq
  %k = weir.linear %x, "to_z" [%d] bias : !seq
  %u = weir.linear %x, "to_h" [%d] bias : !seq
  %nk = arith.negf %k : !seq
  %h0 = weir.state "h" [%d] init(zeros) : tensor<?x?xf32>
  %a = weir.sigmoid %nk : !seq
  %z = weir.sigmoid %k : !seq
  %b = arith.mulf %z, %u : !seq
  %h, %last = weir.scan(%a, %b) from %h0 : (!seq, !seq, tensor<?x?xf32>) -> (!seq, tensor<?x?xf32>)
  weir.return %h, state("h" = %last : tensor<?x?xf32>) : !seq
)mlir";

TEST(Planted, StateThatALayerDoesNotCarry) {
  std::string broken = absl::StrReplaceAll(kMinGru, {{"state(\"h\" = %last", "state(\"h\" = %h0"}});
  expectCaught(layerOf(broken), "step", "--batch=1 --length=2 --features=1");
  expectPasses(layerOf(kMinGru));
}

// The first state does nothing: the layer has a gradient by it, but the state isn't what it says.
TEST(Planted, StateThatIsHandedBackHalved) {
  std::string broken =
      absl::StrReplaceAll(kMinGru, {{"  weir.return %h, state(\"h\" = %last",
                                     "  %half = weir.constant 0.5 like %last : tensor<?x?xf32>\n"
                                     "  %less = arith.mulf %half, %last : tensor<?x?xf32>\n"
                                     "  weir.return %h, state(\"h\" = %less"}});
  expectCaught(layerOf(broken), "step", "--batch=1 --length=2 --features=1");
}

}  // namespace
}  // namespace weir::check
