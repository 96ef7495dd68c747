// Gradients of recurrences that are not linear.

#include "gtest/gtest.h"

#include "tests/gradients/harness.h"

namespace weir::gradients {
namespace {

// The state is no output: the gradient adds it.
TEST(Recurrence, OfProducts) {
  for (int64_t time : {1, 2, 15, 16, 17, 65}) {
    for (bool segments : {false, true}) {
      Model model;
      model.text = R"mlir(
!seq = tensor<?x?x?xf32>
weir.model @m(%x: tensor<?x?x6xf32>, %h0: tensor<?x6xf32>) -> (tensor<?x?x6xf32>, tensor<?x6xf32>) {
  %w = weir.param "w" [6, 6] init(linear) : tensor<6x6xf32>
  %bias = weir.param "b" [6] init(zeros) : tensor<6xf32>
  %y, %last = weir.recurrence (%xt = %x : tensor<?x?x6xf32>) from (%h = %h0 : tensor<?x6xf32>)
      using (%u = %w : tensor<6x6xf32>, %bb = %bias : tensor<6xf32>) {
    %p = weir.linear %h params(%u, %bb : tensor<6x6xf32>, tensor<6xf32>) bias : tensor<?x6xf32>
    %s = arith.addf %p, %xt : tensor<?x6xf32>
    %n = math.tanh %s : tensor<?x6xf32>
    %o = arith.mulf %n, %xt : tensor<?x6xf32>
    weir.yield %o, %n : tensor<?x6xf32>, tensor<?x6xf32>
  } -> tensor<?x?x6xf32>, tensor<?x6xf32>
  weir.return %y, %last : tensor<?x?x6xf32>, tensor<?x6xf32>
})mlir";
      model.shapes = {{"x", {2, time, 6}}, {"h0", {2, 6}}};
      if (segments) model.segments = SomeSegments(2, time);
      CheckModel(model);
    }
  }
}

TEST(Recurrence, Gru) {
  for (int64_t time : {1, 15, 16, 17, 65, 257}) {
    SCOPED_TRACE(testing::Message() << "length " << time);
    Model model;
    model.text = R"mlir(
!seq = tensor<?x?x?xf32>
weir.model @m(%x0: tensor<?x?x8xf32>) -> !seq {
  %x = tensor.cast %x0 : tensor<?x?x8xf32> to !seq
  %y = weir.apply "gru"(%x) {hidden = 12} : !seq
  weir.return %y : !seq
})mlir";
    model.shapes["x0"] = {2, time, 8};
    CheckModel(model);
  }
}

}  // namespace
}  // namespace weir::gradients
