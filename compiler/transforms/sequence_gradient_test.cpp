// The gradients that this dialect's ops bring along, against central differences of their
// decompositions.

#include "compiler/transforms/gradient_test.h"

namespace weir {
namespace {

class SequenceGradientTest : public GradientTest {};

const char kX[] = "tensor<2x5x4xf64>";

TEST_F(SequenceGradientTest, Elementwise) {
  for (const char* op : {"sigmoid", "silu", "gelu", "gelu_tanh", "relu", "relu_squared", "softplus",
                         "log_sigmoid", "positive"}) {
    SCOPED_TRACE(op);
    check(function(kX, kX, kX,
                   std::string("%p = weir.") + op + " %x : tensor<2x5x4xf64>\n" +
                       "%y = arith.mulf %p, %w : tensor<2x5x4xf64>\n"),
          -3.0, 3.0);
  }
}

TEST_F(SequenceGradientTest, GatedUnit) {
  check(function(kX, kX, kX, R"(%y = weir.gated_unit %x, %w activation("silu") : tensor<2x5x4xf64>
)"));
}

TEST_F(SequenceGradientTest, Linear) {
  check(function(kX, "tensor<3x4xf64>", "tensor<2x5x3xf64>", R"(
    %y = weir.linear %x params(%w : tensor<3x4xf64>) : tensor<2x5x4xf64> -> tensor<2x5x3xf64>
)"));
}

TEST_F(SequenceGradientTest, Norms) {
  check(function(kX, "tensor<4xf64>", kX, R"(
    %y = weir.layer_norm %x params(%w, %w : tensor<4xf64>, tensor<4xf64>) : tensor<2x5x4xf64>
)"));
  check(function(kX, "tensor<4xf64>", kX, R"(
    %y = weir.rms_norm %x params(%w : tensor<4xf64>) : tensor<2x5x4xf64>
)"));
  check(function(kX, "tensor<f64>", kX, R"(
    %y = weir.scale_norm %x params(%w : tensor<f64>) : tensor<2x5x4xf64>
)"));
}

TEST_F(SequenceGradientTest, Softmax) {
  check(function(kX, kX, kX, R"(
    %p = weir.softmax %x : tensor<2x5x4xf64>
    %y = arith.mulf %p, %w : tensor<2x5x4xf64>
)"),
        -3.0, 3.0);
}

TEST_F(SequenceGradientTest, CrossEntropy) {
  // Only `mean` has a gradient; two targets are masked.
  check(
      R"(func.func @f(%x: tensor<2x5x4xf64> {weir.param = "x"}) -> (tensor<f64> {weir.output = "loss"}) {
    %t = arith.constant dense<[[0, 3, -1, 2, 1], [1, 1, 2, -1, 0]]> : tensor<2x5xi32>
    %l:5 = weir.cross_entropy %x, %t : tensor<2x5x4xf64>, tensor<2x5xi32> -> tensor<f64>
    return %l#0 : tensor<f64>
  })",
      -3.0, 3.0);
}

TEST_F(SequenceGradientTest, LogitStatistics) {
  check(
      R"(func.func @f(%x: tensor<2x5x3xf64> {weir.param = "x"}, %w: tensor<7x3xf64> {weir.param = "w"}, %u: tensor<2x5xf64> {weir.param = "u"}, %v: tensor<2x5xf64> {weir.param = "v"}) -> (tensor<f64> {weir.output = "loss"}) {
    %t = arith.constant dense<[[0, 3, -1, 2, 6], [1, 1, 5, -1, 0]]> : tensor<2x5xi32>
    %s, %p, %o = weir.logit_statistics %x, %w, %t : tensor<2x5x3xf64>, tensor<7x3xf64>, tensor<2x5xi32> -> tensor<2x5xf64>
    %a = arith.mulf %s, %u : tensor<2x5xf64>
    %b = arith.mulf %o, %v : tensor<2x5xf64>
    %c = arith.addf %a, %b : tensor<2x5xf64>
    %zero = arith.constant dense<0.0> : tensor<f64>
    %loss = linalg.reduce ins(%c : tensor<2x5xf64>) outs(%zero : tensor<f64>) dimensions = [0, 1]
      (%in: f64, %out: f64) {
        %sum = arith.addf %in, %out : f64
        linalg.yield %sum : f64
      }
    return %loss : tensor<f64>
  })",
      -2.0, 2.0);
}

TEST_F(SequenceGradientTest, GatherRows) {
  check(function(kX, "tensor<3x4xf64>", kX, R"(
    %t = arith.constant dense<[[0, 2, 2, 1, 0], [2, 2, 1, 1, 0]]> : tensor<2x5xi32>
    %r = weir.gather_rows %w, %t : tensor<3x4xf64>, tensor<2x5xi32> -> tensor<2x5x4xf64>
    %y = arith.mulf %r, %x : tensor<2x5x4xf64>
)"));
}

TEST_F(SequenceGradientTest, Rotary) {
  check(function(kX, kX, kX, R"(
    %p, %q = weir.rotary %x, %w : tensor<2x5x4xf64>, tensor<2x5x4xf64>
    %y = arith.mulf %p, %w : tensor<2x5x4xf64>
)"));
}

TEST_F(SequenceGradientTest, CausalConvolution) {
  for (const char* state : {"", "from %s : tensor<2x2x4xf64>"}) {
    SCOPED_TRACE(state);
    check(function(kX, "tensor<4x3xf64>", kX,
                   std::string(R"(
      %b = tensor.extract_slice %w[0, 0] [4, 1] [1, 1] : tensor<4x3xf64> to tensor<4xf64>
      %s = tensor.extract_slice %x[0, 1, 0] [2, 2, 4] [1, 1, 1] : tensor<2x5x4xf64> to tensor<2x2x4xf64>
      %c, %last = weir.causal_conv %x params(%w, %b : tensor<4x3xf64>, tensor<4xf64>) kernel(3) )") +
                       state + R"(
          : tensor<2x5x4xf64> -> tensor<2x5x4xf64>, tensor<2x2x4xf64>
      %l = tensor.insert_slice %last into %c[0, 0, 0] [2, 2, 4] [1, 1, 1] : tensor<2x2x4xf64> into tensor<2x5x4xf64>
      %y = arith.mulf %c, %l : tensor<2x5x4xf64>
)"));
  }
}

TEST_F(SequenceGradientTest, Recurrence) {
  for (const char* direction : {"", "reverse", "segments(%ids : tensor<2x5xi32>)"}) {
    SCOPED_TRACE(direction);
    check(function(kX, "tensor<4x4xf64>", kX,
                   std::string(R"(
      %ids = arith.constant dense<[[1, 1, 2, 2, 2], [1, 2, 3, 3, 4]]> : tensor<2x5xi32>
      %h0 = tensor.extract_slice %x[0, 2, 0] [2, 1, 4] [1, 1, 1] : tensor<2x5x4xf64> to tensor<2x4xf64>
      %o, %hs, %last = weir.recurrence (%xt = %x : tensor<2x5x4xf64>) from (%h = %h0 : tensor<2x4xf64>)
          using (%u = %w : tensor<4x4xf64>) )") +
                       direction + R"( {
        %a = weir.linear %h params(%u : tensor<4x4xf64>) : tensor<2x4xf64> -> tensor<2x4xf64>
        %s = arith.addf %a, %xt : tensor<2x4xf64>
        %n = math.tanh %s : tensor<2x4xf64>
        %g = weir.sigmoid %xt : tensor<2x4xf64>
        %m = arith.mulf %n, %g : tensor<2x4xf64>
        weir.yield %m, %n, %n : tensor<2x4xf64>, tensor<2x4xf64>, tensor<2x4xf64>
      } -> tensor<2x5x4xf64>, tensor<2x5x4xf64>, tensor<2x4xf64>
      %y = tensor.insert_slice %last into %o[0, 3, 0] [2, 1, 4] [1, 1, 1] : tensor<2x4xf64> into tensor<2x5x4xf64>
)"));
  }
}

/// The rest of an attention op after its operands, and the types of operands beyond q, k and v.
struct AttentionCase {
  const char *text, *types;
};

TEST_F(SequenceGradientTest, Attention) {
  const AttentionCase cases[] = {
      {R"(num_heads 2 kernel("softmax") window("causal"))", ""},
      {R"(kernel("softmax") window("full"))", ""},
      {R"(kernel("softmax") window("local", 2))", ""},
      {R"(segments(%ids) kernel("softmax") window("causal"))", ", tensor<2x5xi32>"},
      {R"(bias(%b) gate(%w) kernel("relu_squared") window("causal"))",
       ", tensor<9xf64>, tensor<2x5x4xf64>"},
      {R"(bias(%b) segments(%ids) kernel("relu_squared") window("full"))",
       ", tensor<9xf64>, tensor<2x5xi32>"},
  };
  for (const AttentionCase& attention : cases) {
    SCOPED_TRACE(attention.text);
    check(function(kX, kX, kX,
                   std::string(R"(
      %ids = arith.constant dense<[[1, 1, 2, 2, 2], [1, 2, 3, 3, 4]]> : tensor<2x5xi32>
      %k = arith.mulf %x, %w : tensor<2x5x4xf64>
      %one = tensor.extract_slice %w[0, 0, 0] [1, 3, 4] [1, 1, 1] : tensor<2x5x4xf64> to tensor<3x4xf64>
      %flat = tensor.collapse_shape %one [[0, 1]] : tensor<3x4xf64> into tensor<12xf64>
      %b = tensor.extract_slice %flat[1] [9] [1] : tensor<12xf64> to tensor<9xf64>
      %y = weir.attention %x, %k, %w )") +
                       attention.text +
                       " : (tensor<2x5x4xf64>, tensor<2x5x4xf64>, tensor<2x5x4xf64>" +
                       attention.types + ") -> tensor<2x5x4xf64>\n"),
          0.1, 1.0);
  }
}

TEST_F(SequenceGradientTest, ChunkedAttention) {
  const AttentionCase cases[] = {
      {R"(gate(%w) bias(%b) chunk_size 2 causal kernel("relu_squared"))",
       ", tensor<2x5x4xf64>, tensor<3xf64>"},
      {R"(chunk_size 2 kernel("relu_squared"))", ""},
      {R"(bias(%b) chunk_size 2 segments(%ids) causal kernel("relu_squared"))",
       ", tensor<3xf64>, tensor<2x5xi32>"},
  };
  for (const AttentionCase& attention : cases) {
    SCOPED_TRACE(attention.text);
    check(function(
              kX, kX, kX,
              std::string(R"(
      %ids = arith.constant dense<[[1, 1, 2, 2, 2], [1, 2, 3, 3, 4]]> : tensor<2x5xi32>
      %k = arith.mulf %x, %w : tensor<2x5x4xf64>
      %b = tensor.extract_slice %w[0, 0, 0] [1, 1, 3] [1, 1, 1] : tensor<2x5x4xf64> to tensor<3xf64>
      %y = weir.chunked_attention quad(%x, %k) lin(%w, %x) value(%k) )") +
                  attention.text +
                  " : (tensor<2x5x4xf64>, tensor<2x5x4xf64>, tensor<2x5x4xf64>, tensor<2x5x4xf64>, "
                  "tensor<2x5x4xf64>" +
                  attention.types + ") -> tensor<2x5x4xf64>\n"),
          0.1, 1.0);
  }
}

}  // namespace
}  // namespace weir
