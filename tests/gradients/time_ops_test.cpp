// Gradients of scans, recurrences, convolutions and positions.

#include <string>
#include <vector>

#include "gtest/gtest.h"

#include "tests/gradients/harness.h"

namespace weir::gradients {
namespace {

constexpr int64_t kBatch = 2;

std::vector<int64_t> lengths(int64_t chunk) {
  return {1, chunk - 1, chunk, chunk + 1, 3 * chunk + 17, 257};
}

struct Variant {
  bool reverse = false, initial = false, broadcast = false, segments = false;
};

/// Decays in (0, 1) from sigmoids, inputs as they are.
Model scanModel(int64_t time, const Variant& variant) {
  std::string decay = variant.broadcast ? "tensor<8xf32>" : "tensor<?x?x8xf32>";
  std::string seq = "tensor<?x?x8xf32>", state = "tensor<?x8xf32>";
  Model model;
  model.text = "weir.model @m(%k: " + decay + ", %b: " + seq +
               (variant.initial ? ", %h0: " + state : "") + ") -> (" + seq + ", " + state +
               ") {\n" + "  %a = weir.sigmoid %k : " + decay + "\n" +
               "  %h, %last = weir.scan(%a, %b)" + (variant.initial ? " from %h0" : "") +
               (variant.reverse ? " reverse" : "") + " : (" + decay + ", " + seq +
               (variant.initial ? ", " + state : "") + ") -> (" + seq + ", " + state +
               ")\n  weir.return %h, %last : " + seq + ", " + state + "\n}\n";
  model.shapes["k"] =
      variant.broadcast ? std::vector<int64_t>{8} : std::vector<int64_t>{kBatch, time, 8};
  model.shapes["b"] = {kBatch, time, 8};
  if (variant.initial) model.shapes["h0"] = {kBatch, 8};
  if (variant.segments) model.segments = SomeSegments(kBatch, time);
  return model;
}

class Scan : public testing::TestWithParam<int64_t> {};

TEST_P(Scan, Forward) { CheckModel(scanModel(GetParam(), {})); }
TEST_P(Scan, FromInitial) { CheckModel(scanModel(GetParam(), {false, true})); }
TEST_P(Scan, Reverse) { CheckModel(scanModel(GetParam(), {true, true})); }
TEST_P(Scan, DecayPerFeature) { CheckModel(scanModel(GetParam(), {false, true, true})); }
TEST_P(Scan, ReverseDecayPerFeature) { CheckModel(scanModel(GetParam(), {true, false, true})); }
TEST_P(Scan, Segments) { CheckModel(scanModel(GetParam(), {false, true, false, true})); }
TEST_P(Scan, ReverseSegments) { CheckModel(scanModel(GetParam(), {true, true, false, true})); }
TEST_P(Scan, SegmentsDecayPerFeature) {
  CheckModel(scanModel(GetParam(), {false, true, true, true}));
}

INSTANTIATE_TEST_SUITE_P(Lengths, Scan, testing::ValuesIn(lengths(64)));

// a = 0 forgets everything, also in the gradient.
TEST(ScanEdges, DecaysOfZeroAndOne) {
  Model model;
  model.text = R"mlir(
!seq = tensor<?x?x8xf32>
weir.model @m(%a: !seq, %b: !seq, %h0: tensor<?x8xf32>) -> (!seq, tensor<?x8xf32>) {
  %h, %last = weir.scan(%a, %b) from %h0 : (!seq, !seq, tensor<?x8xf32>) -> (!seq, tensor<?x8xf32>)
  weir.return %h, %last : !seq, tensor<?x8xf32>
})mlir";
  model.shapes = {{"a", {2, 100, 8}}, {"b", {2, 100, 8}}, {"h0", {2, 8}}};
  model.values["a"] = {0, 1, 0.5, 1, 1, 0.999, 1, 0, 1, 1, 1};
  CheckModel(model);
}

// A state of two dimensions, read out by a sum: linear attention with a decay.
TEST_P(Scan, TwoDimensionalState) {
  int64_t time = GetParam();
  if (time > 100) time = 83;
  Model model;
  model.text = R"mlir(
weir.model @m(%x: tensor<?x?x6xf32>, %k: tensor<?x?x5xf32>, %q: tensor<?x?x5xf32>)
    -> (tensor<?x?x6xf32>, tensor<?x6x5xf32>) {
  %y, %last = weir.scan(%x, %k, %q) prologue {
    ^bb0(%u: f32, %kk: f32, %qq: f32):
      %z = weir.sigmoid %u : f32
      %b = arith.mulf %u, %kk : f32
      weir.yield %z, %b : f32, f32
  } epilogue {
    ^bb0(%h: f32, %u: f32, %kk: f32, %qq: f32):
      %o = arith.mulf %h, %qq : f32
      weir.yield %o : f32
  } {indexing_maps = [affine_map<(b, t, d, n) -> (b, t, d)>, affine_map<(b, t, d, n) -> (b, t, n)>,
                      affine_map<(b, t, d, n) -> (b, t, n)>, affine_map<(b, t, d, n) -> (b, t, d)>],
     iterator_types = ["parallel", "time", "parallel", "parallel"]}
    : (tensor<?x?x6xf32>, tensor<?x?x5xf32>, tensor<?x?x5xf32>) -> (tensor<?x?x6xf32>, tensor<?x6x5xf32>)
  weir.return %y, %last : tensor<?x?x6xf32>, tensor<?x6x5xf32>
})mlir";
  model.shapes = {{"x", {2, time, 6}}, {"k", {2, time, 5}}, {"q", {2, time, 5}}};
  CheckModel(model);
}

TEST(CausalConv, WithAndWithoutState) {
  for (int64_t time : {1, 2, 3, 4, 5, 29, 257}) {
    for (bool initial : {false, true}) {
      for (bool segments : {false, true}) {
        SCOPED_TRACE(testing::Message() << time << " " << initial << " " << segments);
        Model model;
        std::string seq = "tensor<?x?x?xf32>";
        model.text = "!seq = tensor<?x?x?xf32>\nweir.model @m(%x0: tensor<?x?x6xf32>" +
                     std::string(initial ? ", %s0: tensor<?x3x6xf32>" : "") +
                     ") -> (!seq, !seq) {\n  %x = tensor.cast %x0 : tensor<?x?x6xf32> to !seq\n" +
                     (initial ? "  %s = tensor.cast %s0 : tensor<?x3x6xf32> to !seq\n" : "") +
                     "  %y, %last = weir.causal_conv %x, \"conv\" kernel [4]" +
                     (initial ? " from %s : !seq" : "") +
                     " : !seq -> !seq, !seq\n  weir.return %y, %last : !seq, !seq\n}\n";
        model.shapes["x0"] = {2, time, 6};
        if (initial) model.shapes["s0"] = {2, 3, 6};
        if (segments) model.segments = SomeSegments(2, time);
        CheckModel(model);
      }
    }
  }
}

Model positions(const std::string& op, int64_t time, bool segments) {
  Model model;
  model.text =
      "!seq = tensor<?x?x?xf32>\nweir.model @m(%x0: tensor<?x?x8xf32>) -> !seq {\n"
      "  %x = tensor.cast %x0 : tensor<?x?x8xf32> to !seq\n  %y = " +
      op + " : !seq\n  weir.return %y : !seq\n}\n";
  model.shapes["x0"] = {2, time, 8};
  if (segments) model.segments = SomeSegments(2, time);
  return model;
}

TEST(Positions, All) {
  for (int64_t time : {1, 13, 257}) {
    for (bool segments : {false, true}) {
      SCOPED_TRACE(testing::Message() << time << " " << segments);
      CheckModel(positions("weir.rotary %x", time, segments));
      CheckModel(positions("weir.rotary %x heads [2]", time, segments));
      CheckModel(positions("weir.scaled_sin %x, \"pos\"", time, segments));
      CheckModel(positions("weir.learned_positions %x, \"pos\" [300]", time, segments));
    }
  }
}

}  // namespace
}  // namespace weir::gradients
