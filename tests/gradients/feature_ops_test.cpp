// Gradients of ops that work on each token by itself.

#include <string>

#include "gtest/gtest.h"

#include "tests/gradients/harness.h"

namespace weir::gradients {
namespace {

/// A model of one input x, batch x time x 8, and the op's result %y.
Model unary(const std::string& body, int64_t time = 13, const std::string& result = "!seq") {
  Model model;
  model.text =
      "!seq = tensor<?x?x?xf32>\n"
      "weir.model @m(%x0: tensor<?x?x8xf32>) -> " +
      result +
      " {\n"
      "  %x = tensor.cast %x0 : tensor<?x?x8xf32> to !seq\n  " +
      body + "\n  weir.return %y : " + result + "\n}\n";
  model.shapes["x0"] = {2, time, 8};
  return model;
}

TEST(FeatureOps, Linear) {
  for (int64_t time : {1, 7, 65}) {
    CheckModel(unary("%y = weir.linear %x, \"l\" [5] bias : !seq", time));
    CheckModel(unary("%y = weir.linear %x, \"l\" [33] : !seq", time));
  }
}

TEST(FeatureOps, LinearOfRankTwo) {
  Model model;
  model.text = R"mlir(
weir.model @m(%x: tensor<?x8xf32>) -> tensor<?x?xf32> {
  %y = weir.linear %x, "l" [24] bias : tensor<?x8xf32> -> tensor<?x?xf32>
  weir.return %y : tensor<?x?xf32>
})mlir";
  model.shapes["x"] = {5, 8};
  CheckModel(model);
}

TEST(FeatureOps, Head) { CheckModel(unary("%y = weir.head %x, \"out\" [19] : !seq")); }

TEST(FeatureOps, LayerNorm) { CheckModel(unary("%y = weir.layer_norm %x, \"n\" : !seq")); }
TEST(FeatureOps, RmsNorm) { CheckModel(unary("%y = weir.rms_norm %x, \"n\" : !seq")); }
TEST(FeatureOps, ScaleNorm) { CheckModel(unary("%y = weir.scale_norm %x, \"n\" : !seq")); }

TEST(FeatureOps, Activations) {
  for (const char* op : {"sigmoid", "silu", "gelu", "gelu_tanh", "relu", "relu_squared", "softplus",
                         "log_sigmoid", "positive", "log_positive"}) {
    SCOPED_TRACE(op);
    Model model = unary("%y = weir." + std::string(op) + " %x : !seq", 5);
    model.range = 4;
    CheckModel(model);
  }
}

TEST(FeatureOps, UpstreamElementwise) {
  for (const char* op : {"math.exp", "math.tanh", "math.erf", "math.log1p", "math.sin", "math.cos",
                         "arith.negf", "math.absf"}) {
    SCOPED_TRACE(op);
    Model model = unary("%y = " + std::string(op) + " %x : !seq", 5);
    model.range = 0.9;
    CheckModel(model);
  }
  for (const char* op : {"arith.addf", "arith.subf", "arith.mulf", "arith.maximumf",
                         "arith.minimumf", "arith.divf"}) {
    SCOPED_TRACE(op);
    CheckModel(unary("%e = math.exp %x : !seq\n  %s = math.sin %x : !seq\n  %y = " +
                         std::string(op) + " %s, %e : !seq",
                     5));
  }
  for (const char* op : {"math.log", "math.sqrt", "math.rsqrt"}) {
    SCOPED_TRACE(op);
    CheckModel(unary("%e = math.exp %x : !seq\n  %y = " + std::string(op) + " %e : !seq", 5));
  }
}

TEST(FeatureOps, GatedUnit) {
  for (const char* activation : {"none", "sigmoid", "silu", "gelu", "gelu_tanh", "relu",
                                 "relu_squared", "tanh", "softplus"}) {
    SCOPED_TRACE(activation);
    CheckModel(
        unary("%p = weir.linear %x, \"l\" [12] bias : !seq\n"
              "  %a, %b = weir.split %p [6, 6] : !seq -> !seq, !seq\n"
              "  %y = weir.gated_unit %a, %b activation(\"" +
              std::string(activation) + "\") : !seq"));
  }
}

TEST(FeatureOps, Split) {
  CheckModel(
      unary("%a, %b, %c = weir.split %x [2, 5, 1] : !seq -> !seq, !seq, !seq\n"
            "  %d, %e = weir.split %b [1, 4] : !seq -> !seq, !seq\n"
            "  %s = weir.sigmoid %c : !seq\n"
            "  %y = arith.mulf %s, %d : !seq"));
}

TEST(FeatureOps, ScaleOffset) {
  CheckModel(
      unary("%q, %k, %v = weir.scale_offset %x, \"qk\" heads(3) init(normal(0.5)) : !seq -> !seq, "
            "!seq, !seq\n"
            "  %m = arith.mulf %q, %k : !seq\n"
            "  %y = arith.addf %m, %v : !seq"));
}

TEST(FeatureOps, ConstantAndBroadcast) {
  Model model;
  model.text = R"mlir(
!seq = tensor<?x?x?xf32>
weir.model @m(%x0: tensor<?x?x8xf32>) -> !seq {
  %x = tensor.cast %x0 : tensor<?x?x8xf32> to !seq
  %p = weir.param "gain" [8] init(ones) : tensor<?xf32>
  %g = weir.broadcast %p like %x : tensor<?xf32>, !seq -> !seq
  %half = weir.constant 0.5 like %x : !seq
  %a = arith.mulf %g, %x : !seq
  %y = arith.addf %a, %half : !seq
  weir.return %y : !seq
})mlir";
  model.shapes["x0"] = {2, 13, 8};
  CheckModel(model);
}

TEST(FeatureOps, DropoutInEvaluation) {
  CheckModel(
      unary("%p = arith.constant 0.0 : f64\n  %s = weir.silu %x : !seq\n"
            "  %y = weir.dropout %s rate(%p) : !seq"));
}

TEST(FeatureOps, Embedding) {
  for (int64_t time : {1, 40}) {
    Model model;
    model.text = R"mlir(
!seq = tensor<?x?x?xf32>
weir.model @m(%tokens: tensor<?x?xi32>) -> !seq {
  %e = weir.embedding %tokens, "tok" [11, 8] : tensor<?x?xi32> -> !seq
  %h = weir.silu %e : !seq
  %y = weir.head %h tied("tok") : !seq
  weir.return %y : !seq
})mlir";
    model.shapes["tokens"] = {3, time};
    model.vocabulary = 11;
    CheckModel(model);
  }
}

// A target below 0 is masked.
TEST(FeatureOps, CrossEntropy) {
  for (bool masked : {false, true}) {
    Model model;
    model.text = R"mlir(
weir.model @m(%x: tensor<?x?x9xf32>, %targets: tensor<?x?xi32>) -> tensor<f32> {
  %mean, %sum, %correct, %count, %sequences = weir.cross_entropy %x, %targets
      : tensor<?x?x9xf32>, tensor<?x?xi32> -> tensor<f32>
  weir.return %mean : tensor<f32>
})mlir";
    model.shapes["x"] = {2, 13, 9};
    model.shapes["targets"] = {2, 13};
    model.vocabulary = 9;
    if (masked) model.values["targets"] = {-1, 3, 8, 0, -1, -1, 4};
    CheckModel(model);
  }
}

}  // namespace
}  // namespace weir::gradients
