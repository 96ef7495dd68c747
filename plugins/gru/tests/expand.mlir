// The parameters, their shapes and initial values, and the ops that `gru` is made of.
// RUN: weir-opt %s --split-input-file --weir-expand | FileCheck %s

// CHECK-LABEL: func.func @m0(
// CHECK-SAME: tensor<?x?x8xf32> {weir.input = "x"}
// CHECK-SAME: tensor<36x8xf32> {weir.init = "uniform(0.288675134{{[0-9]*}})", weir.param = "input.weight"}
// CHECK-SAME: tensor<36xf32> {weir.init = "uniform(0.288675134{{[0-9]*}})", weir.param = "input.bias"}
// CHECK-SAME: tensor<36x12xf32> {weir.init = "uniform(0.288675134{{[0-9]*}})", weir.param = "hidden.weight"}
// CHECK-SAME: tensor<36xf32> {weir.init = "uniform(0.288675134{{[0-9]*}})", weir.param = "hidden.bias"}
// CHECK-SAME: tensor<?x12xf32> {weir.init = "zeros", weir.state = "h"}
// CHECK-SAME: ) -> (tensor<?x?x12xf32> {weir.output = "0"}
// CHECK-SAME: tensor<?x12xf32> {weir.state = "h"}
// CHECK: weir.recurrence
// CHECK: math.tanh
// CHECK: return
weir.model @m0(%x: tensor<?x?x8xf32>) -> tensor<?x?x?xf32> {
  %y = weir.apply "gru"(%x) {hidden = 12} : (tensor<?x?x8xf32>) -> tensor<?x?x?xf32>
  weir.return %y : tensor<?x?x?xf32>
}
