// Layers that nobody had in mind when the compiler was written get the kernels that minGRU gets: as
// many, and no more bytes per token.

#include <iostream>
#include <string>

#include "gtest/gtest.h"

#include "tests/gradients/harness.h"

namespace weir::gradients {
namespace {

constexpr int64_t kBatch = 2, kTime = 65, kHidden = 12;

const char kLayers[] = R"mlir(
!seq = tensor<?x?x?xf32>
!state = tensor<?x?xf32>

// minGRU with another activation.
weir.layer @squashed(%x: !seq) -> !seq {
  %e = weir.config "hidden" default 12 : index
  %k = weir.linear %x, "to_z" [%e] bias : !seq
  %u = weir.linear %x, "to_h" [%e] bias : !seq
  %nk = arith.negf %k : !seq
  %a = weir.sigmoid %nk : !seq
  %z = weir.sigmoid %k : !seq
  %t = math.tanh %u : !seq
  %c = arith.mulf %t, %t : !seq
  %b = arith.mulf %z, %c : !seq
  %h0 = weir.state "h" [%e] init(zeros) : !state
  %h, %last = weir.scan(%a, %b) from %h0 : (!seq, !seq, !state) -> (!seq, !state)
  weir.return %h, state("h" = %last : !state) : !seq
}

// The decay is exp(-softplus(k)^2), the input is normalized by sqrt(1 - a^2).
weir.layer @other_decay(%x: !seq) -> !seq {
  %e = weir.config "hidden" default 12 : index
  %k = weir.linear %x, "to_z" [%e] bias : !seq
  %u = weir.linear %x, "to_h" [%e] bias : !seq
  %s = weir.softplus %k : !seq
  %s2 = arith.mulf %s, %s : !seq
  %ns = arith.negf %s2 : !seq
  %a = math.exp %ns : !seq
  %a2 = arith.mulf %a, %a : !seq
  %one = weir.constant 1.0001 like %a : !seq
  %rest = arith.subf %one, %a2 : !seq
  %scale = math.sqrt %rest : !seq
  %b = arith.mulf %scale, %u : !seq
  %h0 = weir.state "h" [%e] init(zeros) : !state
  %h, %last = weir.scan(%a, %b) from %h0 : (!seq, !seq, !state) -> (!seq, !state)
  weir.return %h, state("h" = %last : !state) : !seq
}

// A second gate, on the output, from the same two projections.
weir.layer @two_gates(%x: !seq) -> !seq {
  %e = weir.config "hidden" default 12 : index
  %k = weir.linear %x, "to_z" [%e] bias : !seq
  %u = weir.linear %x, "to_h" [%e] bias : !seq
  %nk = arith.negf %k : !seq
  %a = weir.sigmoid %nk : !seq
  %z = weir.sigmoid %k : !seq
  %b = arith.mulf %z, %u : !seq
  %h0 = weir.state "h" [%e] init(zeros) : !state
  %h, %last = weir.scan(%a, %b) from %h0 : (!seq, !seq, !state) -> (!seq, !state)
  %g = weir.silu %u : !seq
  %y = arith.mulf %g, %h : !seq
  weir.return %y, state("h" = %last : !state) : !seq
}
)mlir";

Model layerModel(const std::string& layer) {
  Model model;
  model.text = std::string(kLayers) +
               "weir.model @m(%x0: tensor<?x?x8xf32>) -> !seq {\n"
               "  %x = tensor.cast %x0 : tensor<?x?x8xf32> to !seq\n  %y = weir.apply \"" +
               layer + "\"(%x) {hidden = " + std::to_string(kHidden) +
               "} : !seq\n  weir.return %y : !seq\n}\n";
  model.shapes["x0"] = {kBatch, kTime, 8};
  return model;
}

class Unforeseen : public testing::TestWithParam<const char*> {};

TEST_P(Unforeseen, HasTheKernelsOfMingru) {
  Compiled mingru(layerModel("mingru"), Type::F32), layer(layerModel(GetParam()), Type::F32);
  ASSERT_TRUE(mingru.ok() && layer.ok());
  for (const char* function : {"forward", "model_forward", "model_backward"}) {
    Work expected = mingru.work().at(function), work = layer.work().at(function);
    std::cout << "  " << function << ": " << work.launches << " launches, "
              << static_cast<double>(work.bytes) / (kBatch * kTime) << " bytes per token; mingru "
              << expected.launches << ", " << static_cast<double>(expected.bytes) / (kBatch * kTime)
              << "\n";
    EXPECT_GT(expected.launches, 0);
    EXPECT_EQ(work.launches, expected.launches) << function;
    EXPECT_EQ(work.bytes, expected.bytes) << function;
  }
}

TEST_P(Unforeseen, HasGradients) { CheckModel(layerModel(GetParam())); }

INSTANTIATE_TEST_SUITE_P(Layers, Unforeseen,
                         testing::Values("squashed", "other_decay", "two_gates"));

}  // namespace
}  // namespace weir::gradients
