// Gradients of attention and of mixed chunk attention.

#include <string>
#include <vector>

#include "gtest/gtest.h"

#include "tests/gradients/harness.h"

namespace weir::gradients {
namespace {

struct Options {
  int heads = 1;
  std::string kernel = "softmax";
  std::string window = "\"causal\"";
  bool bias = false, gate = false, segments = false;
};

Model attention(int64_t time, const Options& options) {
  std::string seq = "tensor<?x?x8xf32>", wide = "tensor<?x?x12xf32>";
  Model model;
  model.text =
      "weir.model @m(%q: " + seq + ", %k: " + seq + ", %v: " + wide +
      (options.gate ? ", %u: " + wide : "") + ") -> " + wide + " {\n" +
      (options.bias ? "  %b = weir.param \"rel\" [539] init(normal(0.02)) : tensor<539xf32>\n"
                    : "") +
      "  %y = weir.attention %q, %k, %v heads [" + std::to_string(options.heads) + "]" +
      (options.bias ? " bias(%b)" : "") + (options.gate ? " gate(%u)" : "") + " kernel(\"" +
      options.kernel + "\") window(" + options.window + ") : (" + seq + ", " + seq + ", " + wide +
      (options.bias ? ", tensor<539xf32>" : "") + (options.gate ? ", " + wide : "") + ") -> " +
      wide + "\n  weir.return %y : " + wide + "\n}\n";
  model.shapes = {{"q", {2, time, 8}}, {"k", {2, time, 8}}, {"v", {2, time, 12}}};
  if (options.gate) model.shapes["u"] = {2, time, 12};
  if (options.segments) model.segments = SomeSegments(2, time);
  return model;
}

class Attention : public testing::TestWithParam<int64_t> {};

TEST_P(Attention, Softmax) { CheckModel(attention(GetParam(), {})); }
TEST_P(Attention, SoftmaxFullHeads) {
  CheckModel(attention(GetParam(), {4, "softmax", "\"full\""}));
}
TEST_P(Attention, SoftmaxLocal) {
  CheckModel(attention(GetParam(), {2, "softmax", "\"local\", 5"}));
}
TEST_P(Attention, SoftmaxSegments) {
  CheckModel(attention(GetParam(), {2, "softmax", "\"causal\"", false, false, true}));
}
TEST_P(Attention, SoftmaxBiasAndGate) {
  CheckModel(attention(GetParam(), {1, "softmax", "\"causal\"", true, true}));
}
TEST_P(Attention, ReluSquared) {
  CheckModel(attention(GetParam(), {1, "relu_squared", "\"causal\"", true, true}));
}
TEST_P(Attention, ReluSquaredFull) {
  CheckModel(attention(GetParam(), {1, "relu_squared", "\"full\"", true, true}));
}
TEST_P(Attention, ReluSquaredSegments) {
  CheckModel(attention(GetParam(), {1, "relu_squared", "\"causal\"", true, true, true}));
}

INSTANTIATE_TEST_SUITE_P(Lengths, Attention, testing::Values(1, 13, 65, 257));

struct Chunked {
  bool causal = true, bias = true, gate = true, segments = false;
  int64_t chunk = 8;
};

Model chunked(int64_t time, const Chunked& options) {
  std::string seq = "tensor<?x?x6xf32>", wide = "tensor<?x?x10xf32>",
              diagonals = std::to_string(2 * options.chunk - 1),
              bias = "tensor<" + diagonals + "xf32>";
  Model model;
  model.text = "weir.model @m(%q: " + seq + ", %k: " + seq + ", %ql: " + seq + ", %kl: " + seq +
               ", %v: " + wide + (options.gate ? ", %u: " + wide : "") + ") -> " + wide + " {\n" +
               (options.bias ? "  %b = weir.param \"rel\" [" + diagonals +
                                   "] init(normal(0.02)) : " + bias + "\n"
                             : "") +
               "  %y = weir.chunked_attention quad(%q, %k) lin(%ql, %kl) value(%v)" +
               (options.gate ? " gate(%u)" : "") + (options.bias ? " bias(%b)" : "") + " chunk [" +
               std::to_string(options.chunk) + "]" + (options.causal ? " causal" : "") +
               " kernel(\"relu_squared\") : (" + seq + ", " + seq + ", " + seq + ", " + seq + ", " +
               wide + (options.gate ? ", " + wide : "") + (options.bias ? ", " + bias : "") +
               ") -> " + wide + "\n  weir.return %y : " + wide + "\n}\n";
  for (const char* name : {"q", "k", "ql", "kl"}) model.shapes[name] = {2, time, 6};
  model.shapes["v"] = {2, time, 10};
  if (options.gate) model.shapes["u"] = {2, time, 10};
  if (options.segments) model.segments = SomeSegments(2, time);
  return model;
}

class ChunkedAttention : public testing::TestWithParam<int64_t> {};

TEST_P(ChunkedAttention, Causal) { CheckModel(chunked(GetParam(), {})); }
TEST_P(ChunkedAttention, Bidirectional) { CheckModel(chunked(GetParam(), {false})); }
TEST_P(ChunkedAttention, Bare) { CheckModel(chunked(GetParam(), {true, false, false})); }
TEST_P(ChunkedAttention, Segments) { CheckModel(chunked(GetParam(), {true, true, true, true})); }
TEST_P(ChunkedAttention, BidirectionalSegments) {
  CheckModel(chunked(GetParam(), {false, true, true, true}));
}

TEST(LongChunkedAttention, ChunksOf64) {
  CheckModel(chunked(257, {true, true, true, false, 64}));
  CheckModel(chunked(257, {true, true, true, true, 64}));
  CheckModel(chunked(257, {false, true, true, true, 64}));
}

INSTANTIATE_TEST_SUITE_P(Lengths, ChunkedAttention, testing::Values(1, 7, 8, 9, 41));

}  // namespace
}  // namespace weir::gradients
