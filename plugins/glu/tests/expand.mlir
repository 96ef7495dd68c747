// The parameters, their shapes and initial values, and the ops that `glu` is made of.
// RUN: weir-opt %s --split-input-file --weir-expand | FileCheck %s

// CHECK-LABEL: func.func @m0(
// CHECK-SAME: tensor<?x?x8xf32> {weir.input = "x"}
// CHECK-SAME: tensor<21x8xf32> {weir.init = "uniform(0.353553390{{[0-9]*}})", weir.param = "gate.weight"}
// CHECK-SAME: tensor<21xf32> {weir.init = "uniform(0.353553390{{[0-9]*}})", weir.param = "gate.bias"}
// CHECK-SAME: tensor<21x8xf32> {weir.init = "uniform(0.353553390{{[0-9]*}})", weir.param = "up.weight"}
// CHECK-SAME: tensor<21xf32> {weir.init = "uniform(0.353553390{{[0-9]*}})", weir.param = "up.bias"}
// CHECK-SAME: tensor<8x21xf32> {weir.init = "uniform(0.218217890{{[0-9]*}})", weir.param = "down.weight"}
// CHECK-SAME: tensor<8xf32> {weir.init = "uniform(0.218217890{{[0-9]*}})", weir.param = "down.bias"}
// CHECK-SAME: ) -> (tensor<?x?x8xf32> {weir.output = "0"}
// CHECK: weir.gated_unit
// CHECK: activation("gelu")
// CHECK: return
weir.model @m0(%x: tensor<?x?x8xf32>) -> tensor<?x?x?xf32> {
  %y = weir.apply "glu"(%x) : (tensor<?x?x8xf32>) -> tensor<?x?x?xf32>
  weir.return %y : tensor<?x?x?xf32>
}

// -----
// CHECK-LABEL: func.func @m1(
// CHECK-SAME: tensor<?x?x8xf32> {weir.input = "x"}
// CHECK-SAME: tensor<21x8xf32> {weir.init = "uniform(0.353553390{{[0-9]*}})", weir.param = "gate.weight"}
// CHECK-SAME: tensor<21xf32> {weir.init = "uniform(0.353553390{{[0-9]*}})", weir.param = "gate.bias"}
// CHECK-SAME: tensor<21x8xf32> {weir.init = "uniform(0.353553390{{[0-9]*}})", weir.param = "up.weight"}
// CHECK-SAME: tensor<21xf32> {weir.init = "uniform(0.353553390{{[0-9]*}})", weir.param = "up.bias"}
// CHECK-SAME: tensor<8x21xf32> {weir.init = "uniform(0.218217890{{[0-9]*}})", weir.param = "down.weight"}
// CHECK-SAME: tensor<8xf32> {weir.init = "uniform(0.218217890{{[0-9]*}})", weir.param = "down.bias"}
// CHECK-SAME: ) -> (tensor<?x?x8xf32> {weir.output = "0"}
// CHECK: activation("none")
// CHECK: return
weir.model @m1(%x: tensor<?x?x8xf32>) -> tensor<?x?x?xf32> {
  %y = weir.apply "glu"(%x) {activation = "identity"} : (tensor<?x?x8xf32>) -> tensor<?x?x?xf32>
  weir.return %y : tensor<?x?x?xf32>
}
