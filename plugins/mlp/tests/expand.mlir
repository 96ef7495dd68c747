// The parameters, their shapes and initial values, and the ops that `mlp` is made of.
// RUN: weir-opt %s --split-input-file --weir-expand | FileCheck %s

// CHECK-LABEL: func.func @m0(
// CHECK-SAME: tensor<?x?x8xf32> {weir.input = "x"}
// CHECK-SAME: tensor<32x8xf32> {weir.init = "uniform(0.353553390{{[0-9]*}})", weir.param = "up.weight"}
// CHECK-SAME: tensor<32xf32> {weir.init = "uniform(0.353553390{{[0-9]*}})", weir.param = "up.bias"}
// CHECK-SAME: tensor<8x32xf32> {weir.init = "uniform(0.176776695{{[0-9]*}})", weir.param = "down.weight"}
// CHECK-SAME: tensor<8xf32> {weir.init = "uniform(0.176776695{{[0-9]*}})", weir.param = "down.bias"}
// CHECK-SAME: ) -> (tensor<?x?x8xf32> {weir.output = "0"}
// CHECK: weir.gelu
// CHECK: return
weir.model @m0(%x: tensor<?x?x8xf32>) -> tensor<?x?x?xf32> {
  %y = weir.apply "mlp"(%x) : (tensor<?x?x8xf32>) -> tensor<?x?x?xf32>
  weir.return %y : tensor<?x?x?xf32>
}

// -----
// CHECK-LABEL: func.func @m1(
// CHECK-SAME: tensor<?x?x8xf32> {weir.input = "x"}
// CHECK-SAME: tensor<5x8xf32> {weir.init = "uniform(0.353553390{{[0-9]*}})", weir.param = "up.weight"}
// CHECK-SAME: tensor<5xf32> {weir.init = "uniform(0.353553390{{[0-9]*}})", weir.param = "up.bias"}
// CHECK-SAME: tensor<8x5xf32> {weir.init = "uniform(0.447213595{{[0-9]*}})", weir.param = "down.weight"}
// CHECK-SAME: tensor<8xf32> {weir.init = "uniform(0.447213595{{[0-9]*}})", weir.param = "down.bias"}
// CHECK-SAME: ) -> (tensor<?x?x8xf32> {weir.output = "0"}
// CHECK-NOT: weir.gelu
// CHECK: weir.relu_squared
// CHECK-NOT: weir.gelu
// CHECK: return
weir.model @m1(%x: tensor<?x?x8xf32>) -> tensor<?x?x?xf32> {
  %y = weir.apply "mlp"(%x) {hidden = 5, activation = "relu2"} : (tensor<?x?x8xf32>) -> tensor<?x?x?xf32>
  weir.return %y : tensor<?x?x?xf32>
}
