// Gradients of the layers that come with Weir.

#include <ostream>
#include <string>
#include <vector>

#include "gtest/gtest.h"

#include "tests/gradients/harness.h"

namespace weir::gradients {
namespace {

struct Layer {
  const char* apply;  // name and options
  std::vector<int64_t> lengths;
  double tolerance32 = 2e-5;
};

void PrintTo(const Layer& layer, std::ostream* out) { *out << layer.apply; }

std::string quoted(const std::string& apply) {
  size_t space = apply.find(' ');
  return "\"" + apply.substr(0, space) + "\"(%x)" +
         (space == apply.npos ? "" : apply.substr(space));
}

/// The layer on an input of width 8.
Model layerModel(const std::string& apply, int64_t batch, int64_t time) {
  Model model;
  model.text =
      "!seq = tensor<?x?x?xf32>\nweir.model @m(%x0: tensor<?x?x8xf32>) -> !seq {\n"
      "  %x = tensor.cast %x0 : tensor<?x?x8xf32> to !seq\n  %y = weir.apply " +
      quoted(apply) + " : !seq\n  weir.return %y : !seq\n}\n";
  model.shapes["x0"] = {batch, time, 8};
  return model;
}

class Layers : public testing::TestWithParam<Layer> {};

TEST_P(Layers, Gradients) {
  for (int64_t time : GetParam().lengths) {
    SCOPED_TRACE(testing::Message() << GetParam().apply << ", length " << time);
    Model model = layerModel(GetParam().apply, 2, time);
    model.tolerance32 = GetParam().tolerance32;
    CheckModel(model);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Scans, Layers,
    testing::Values(Layer{"mingru {hidden = 12}", {1, 63, 64, 65, 209, 257}},
                    Layer{"mingru {hidden = 12, candidate = \"identity\"}", {1, 65, 257}},
                    Layer{"mingru {hidden = 12, arithmetic = \"log\"}", {1, 65, 257}},
                    Layer{"causal_conv", {1, 2, 3, 4, 5, 29, 257}},
                    Layer{"causal_conv {kernel = 2, pointwise = false}", {1, 2, 29}},
                    Layer{"minrnn_block {hidden = 12}", {1, 5, 65}},
                    Layer{"minrnn_block {conv = false, mlp = false, norm = \"rms\"}", {13}}));

INSTANTIATE_TEST_SUITE_P(Units, Layers,
                         testing::Values(Layer{"mlp", {1, 13}},
                                         Layer{"mlp {activation = \"relu2\"}", {13}},
                                         Layer{"mlp {activation = \"relu\"}", {13}},
                                         Layer{"mlp {activation = \"silu\"}", {13}},
                                         Layer{"glu", {1, 13}},
                                         Layer{"glu {activation = \"silu\"}", {13}},
                                         Layer{"glu {activation = \"sigmoid\"}", {13}},
                                         Layer{"glu {activation = \"identity\"}", {13}}));

INSTANTIATE_TEST_SUITE_P(
    ChunkedAttention, Layers,
    testing::Values(Layer{"flash {head = 6, chunk = 8}", {1, 7, 8, 9, 41}},
                    Layer{"flash {head = 6, chunk = 8, causal = false, norm = \"scale\"}",
                          {1, 9, 41}},
                    Layer{"flash {head = 6, chunk = 64}", {257}},
                    Layer{"gau {head = 6, length = 70}", {1, 13, 65}},
                    Layer{"gau {head = 6, length = 260}", {257}},
                    Layer{"gau {head = 6, length = 70, causal = false, norm = \"scale\"}", {13}},
                    Layer{"gau {head = 6, bias = \"none\"}", {13}}));

INSTANTIATE_TEST_SUITE_P(
    Attention, Layers,
    testing::Values(Layer{"attention", {1, 13, 65, 257}},
                    Layer{"attention {heads = 2, rotary = true, causal = false}", {1, 13}},
                    Layer{"transformer {heads = 2}", {1, 13}},
                    Layer{"transformer_plus {heads = 2}", {13}},
                    Layer{"transformer_pp {heads = 2}", {1, 13, 33}}));

}  // namespace
}  // namespace weir::gradients
