// Documents packed into one row, told apart by segment ids, against each document alone.

#include <string>
#include <vector>

#include "gtest/gtest.h"

#include "tests/gradients/harness.h"

namespace weir::gradients {
namespace {

using runtime::HostTensor;

/// Copies times [from, from + count) of a tensor of batch 1.
HostTensor timesOf(const HostTensor& packed, int64_t from, int64_t count) {
  runtime::TensorSpec spec = packed.spec();
  int64_t row = spec.NumElements() / spec.shape[1];
  spec.shape[1] = count;
  HostTensor part(spec);
  for (int64_t i = 0; i < count * row; ++i) SetNumber(part, i, packed.Number(from * row + i));
  return part;
}

/// Holds a model of one input x (1 x time x 8) over packed documents against the same model over
/// each: outputs and input gradients have to be the same, gradients of parameters their sum.
/// Initial states belong to the first document, last states to the last.
void expectPackedIsSeparate(const std::string& layer, const std::vector<int64_t>& lengths) {
  SCOPED_TRACE(layer);
  Model model;
  model.text =
      "!seq = tensor<?x?x?xf32>\nweir.model @m(%x0: tensor<?x?x8xf32>) -> !seq {\n"
      "  %x = tensor.cast %x0 : tensor<?x?x8xf32> to !seq\n  %y = " +
      layer + " : !seq\n  weir.return %y : !seq\n}\n";
  int64_t total = 0;
  for (size_t document = 0; document < lengths.size(); ++document) {
    total += lengths[document];
    // Ids differ within a row; their order is nobody's business.
    constexpr int32_t kIds[] = {5, -2, 9};
    model.segments.insert(model.segments.end(), lengths[document], kIds[document]);
  }
  model.shapes["x0"] = {1, total, 8};
  Compiled packed(model, Type::F64);
  ASSERT_TRUE(packed.ok());
  Tensors values = packed.draw(model);
  Tensors results = Runner(packed.program(), 2).run("gradients", values);

  Tensors sums;
  int64_t from = 0;
  for (size_t document = 0; document < lengths.size(); ++document) {
    SCOPED_TRACE("document " + std::to_string(document));
    int64_t length = lengths[document];
    Model alone = model;
    alone.segments.clear();
    alone.shapes["x0"] = {1, length, 8};
    Compiled compiled(alone, Type::F64);
    ASSERT_TRUE(compiled.ok());
    Tensors part = values;
    for (auto& [name, tensor] : part) {
      bool isState = name.rfind("state.", 0) == 0, isLast = name.rfind("cotangent.", 0) == 0;
      if (name == "x0" || name == "cotangent") {
        tensor = timesOf(tensor, from, length);
      } else if ((isState && document > 0) || (isLast && document + 1 < lengths.size())) {
        for (int64_t i = 0; i < tensor.spec().NumElements(); ++i) SetNumber(tensor, i, 0);
      }
    }
    for (auto& [name, tensor] : Runner(compiled.program(), 2).run("gradients", part)) {
      if (name == "output" || name == "input.x0") {
        EXPECT_LE(Difference(tensor, timesOf(results.at(name), from, length)), 1e-11) << name;
      } else if (name.rfind("state.", 0) == 0) {
        if (document + 1 == lengths.size())
          EXPECT_LE(Difference(tensor, results.at(name)), 1e-11) << name;
      } else if (name.rfind("state_gradient.", 0) == 0) {
        if (document == 0) EXPECT_LE(Difference(tensor, results.at(name)), 1e-11) << name;
      } else {
        HostTensor& sum = sums.emplace(name, HostTensor(tensor.spec())).first->second;
        for (int64_t i = 0; i < sum.spec().NumElements(); ++i)
          SetNumber(sum, i, sum.Number(i) + tensor.Number(i));
      }
    }
    from += length;
  }
  for (const auto& [name, sum] : sums) EXPECT_LE(Difference(sum, results.at(name)), 1e-11) << name;
}

const std::vector<int64_t> kLengths = {5, 1, 19};

TEST(Packed, Positions) {
  expectPackedIsSeparate("weir.rotary %x", kLengths);
  expectPackedIsSeparate("weir.scaled_sin %x, \"pos\"", kLengths);
  expectPackedIsSeparate("weir.learned_positions %x, \"pos\" [25]", kLengths);
}

TEST(Packed, Scans) {
  expectPackedIsSeparate("weir.apply \"mingru\"(%x) {hidden = 12}", kLengths);
  expectPackedIsSeparate("weir.apply \"mingru\"(%x) {arithmetic = \"log\"}", kLengths);
}

TEST(Packed, Gru) { expectPackedIsSeparate("weir.apply \"gru\"(%x) {hidden = 12}", kLengths); }

TEST(Packed, Convolution) { expectPackedIsSeparate("weir.apply \"causal_conv\"(%x)", kLengths); }

TEST(Packed, Blocks) {
  expectPackedIsSeparate("weir.apply \"minrnn_block\"(%x)", kLengths);
  expectPackedIsSeparate("weir.apply \"transformer_plus\"(%x) {heads = 2}", kLengths);
  expectPackedIsSeparate("weir.apply \"transformer_pp\"(%x) {heads = 2, hidden = 16}", kLengths);
}

// Chunks lie at multiples of their size in the row: documents that begin there are as alone. (Those
// that don't see other chunks; and gated attention divides by the length of the whole row.)
TEST(Packed, ChunkedAttention) {
  expectPackedIsSeparate("weir.apply \"flash\"(%x) {head = 6, chunk = 4}", {8, 4, 13});
}

}  // namespace
}  // namespace weir::gradients
