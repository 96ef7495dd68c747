// The parameters, their shapes and initial values, and the ops that `causal_conv` is made of.
// RUN: weir-opt %s --split-input-file --weir-expand | FileCheck %s

// CHECK-LABEL: func.func @m0(
// CHECK-SAME: tensor<?x?x8xf32> {weir.input = "x"}
// CHECK-SAME: tensor<8x4xf32> {weir.init = "uniform(0.5{{[0-9]*}})", weir.param = "depthwise.weight"}
// CHECK-SAME: tensor<8xf32> {weir.init = "uniform(0.5{{[0-9]*}})", weir.param = "depthwise.bias"}
// CHECK-SAME: tensor<8x8xf32> {weir.init = "uniform(0.353553390{{[0-9]*}})", weir.param = "pointwise.weight"}
// CHECK-SAME: tensor<8xf32> {weir.init = "uniform(0.353553390{{[0-9]*}})", weir.param = "pointwise.bias"}
// CHECK-SAME: tensor<?x3x8xf32> {weir.init = "zeros", weir.state = "x"}
// CHECK-SAME: ) -> (tensor<?x?x8xf32> {weir.output = "0"}
// CHECK-SAME: tensor<?x3x8xf32> {weir.state = "x"}
// CHECK: weir.causal_conv
// CHECK: weir.linear
// CHECK: return
weir.model @m0(%x: tensor<?x?x8xf32>) -> tensor<?x?x?xf32> {
  %y = weir.apply "causal_conv"(%x) : (tensor<?x?x8xf32>) -> tensor<?x?x?xf32>
  weir.return %y : tensor<?x?x?xf32>
}

// -----
// CHECK-LABEL: func.func @m1(
// CHECK-SAME: tensor<?x?x8xf32> {weir.input = "x"}
// CHECK-SAME: tensor<8x3xf32> {weir.init = "uniform(0.577350269{{[0-9]*}})", weir.param = "depthwise.weight"}
// CHECK-SAME: tensor<8xf32> {weir.init = "uniform(0.577350269{{[0-9]*}})", weir.param = "depthwise.bias"}
// CHECK-SAME: tensor<?x2x8xf32> {weir.init = "zeros", weir.state = "x"}
// CHECK-SAME: ) -> (tensor<?x?x8xf32> {weir.output = "0"}
// CHECK-SAME: tensor<?x2x8xf32> {weir.state = "x"}
// CHECK-NOT: weir.linear
// CHECK: weir.causal_conv
// CHECK-NOT: weir.linear
// CHECK: return
weir.model @m1(%x: tensor<?x?x8xf32>) -> tensor<?x?x?xf32> {
  %y = weir.apply "causal_conv"(%x) {kernel = 3, pointwise = false} : (tensor<?x?x8xf32>) -> tensor<?x?x?xf32>
  weir.return %y : tensor<?x?x?xf32>
}
