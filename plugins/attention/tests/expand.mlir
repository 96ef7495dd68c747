// The parameters, their shapes and initial values, and the ops that `attention` is made of.
// RUN: weir-opt %s --split-input-file --weir-expand | FileCheck %s

// CHECK-LABEL: func.func @m0(
// CHECK-SAME: tensor<?x?x8xf32> {weir.input = "x"}
// CHECK-SAME: tensor<24x8xf32> {weir.init = "normal(0.02)", weir.param = "in.weight"}
// CHECK-SAME: tensor<24xf32> {weir.init = "zeros", weir.param = "in.bias"}
// CHECK-SAME: tensor<8x8xf32> {weir.init = "normal(0.02)", weir.param = "out.weight"}
// CHECK-SAME: tensor<8xf32> {weir.init = "zeros", weir.param = "out.bias"}
// CHECK-SAME: ) -> (tensor<?x?x8xf32> {weir.output = "0"}
// CHECK-NOT: weir.rotary
// CHECK-NOT: weir.rng
// CHECK: weir.attention
// CHECK-NOT: weir.rotary
// CHECK-NOT: weir.rng
// CHECK: softmax
// CHECK-NOT: weir.rotary
// CHECK-NOT: weir.rng
// CHECK: causal
// CHECK-NOT: weir.rotary
// CHECK-NOT: weir.rng
// CHECK: return
weir.model @m0(%x: tensor<?x?x8xf32>) -> tensor<?x?x?xf32> {
  %y = weir.apply "attention"(%x) {heads = 2} : (tensor<?x?x8xf32>) -> tensor<?x?x?xf32>
  weir.return %y : tensor<?x?x?xf32>
}

// -----
// CHECK-LABEL: func.func @m1(
// CHECK-SAME: tensor<?x?x8xf32> {weir.input = "x"}
// CHECK-SAME: tensor<24x8xf32> {weir.init = "normal(0.02)", weir.param = "in.weight"}
// CHECK-SAME: tensor<24xf32> {weir.init = "zeros", weir.param = "in.bias"}
// CHECK-SAME: tensor<8x8xf32> {weir.init = "normal(0.02)", weir.param = "out.weight"}
// CHECK-SAME: tensor<8xf32> {weir.init = "zeros", weir.param = "out.bias"}
// CHECK-SAME: tensor<2xi64> {weir.rng}) -> (tensor<?x?x8xf32> {weir.output = "0"}
// CHECK: weir.rotary
// CHECK: weir.attention
// CHECK: full
// CHECK: weir.dropout
// CHECK: return
weir.model @m1(%x: tensor<?x?x8xf32>) -> tensor<?x?x?xf32> {
  %y = weir.apply "attention"(%x) {rotary = true, causal = false, dropout = 0.1} : (tensor<?x?x8xf32>) -> tensor<?x?x?xf32>
  weir.return %y : tensor<?x?x?xf32>
}
