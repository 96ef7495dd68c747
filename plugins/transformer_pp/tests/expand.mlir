// The parameters, their shapes and initial values, and the ops that `transformer_pp` is made of.
// RUN: weir-opt %s --split-input-file --weir-expand | FileCheck %s

// CHECK-LABEL: func.func @m0(
// CHECK-SAME: tensor<?x?x8xf32> {weir.input = "x"}
// CHECK-SAME: tensor<8xf32> {weir.init = "ones", weir.param = "norm1.weight"}
// CHECK-SAME: tensor<8xf32> {weir.init = "zeros", weir.param = "norm1.bias"}
// CHECK-SAME: tensor<24x8xf32> {weir.init = "normal(0.02)", weir.param = "attention.in.weight"}
// CHECK-SAME: tensor<24xf32> {weir.init = "zeros", weir.param = "attention.in.bias"}
// CHECK-SAME: tensor<8x8xf32> {weir.init = "normal(0.02)", weir.param = "attention.out.weight"}
// CHECK-SAME: tensor<8xf32> {weir.init = "zeros", weir.param = "attention.out.bias"}
// CHECK-SAME: tensor<8xf32> {weir.init = "ones", weir.param = "norm2.weight"}
// CHECK-SAME: tensor<8xf32> {weir.init = "zeros", weir.param = "norm2.bias"}
// CHECK-SAME: tensor<21x8xf32> {weir.init = "uniform(0.353553390{{[0-9]*}})", weir.param = "glu.gate.weight"}
// CHECK-SAME: tensor<21xf32> {weir.init = "uniform(0.353553390{{[0-9]*}})", weir.param = "glu.gate.bias"}
// CHECK-SAME: tensor<21x8xf32> {weir.init = "uniform(0.353553390{{[0-9]*}})", weir.param = "glu.up.weight"}
// CHECK-SAME: tensor<21xf32> {weir.init = "uniform(0.353553390{{[0-9]*}})", weir.param = "glu.up.bias"}
// CHECK-SAME: tensor<8x21xf32> {weir.init = "uniform(0.218217890{{[0-9]*}})", weir.param = "glu.down.weight"}
// CHECK-SAME: tensor<8xf32> {weir.init = "uniform(0.218217890{{[0-9]*}})", weir.param = "glu.down.bias"}
// CHECK-SAME: ) -> (tensor<?x?x8xf32> {weir.output = "0"}
// CHECK: weir.rotary
// CHECK: weir.attention
// CHECK: weir.gated_unit
// CHECK: return
weir.model @m0(%x: tensor<?x?x8xf32>) -> tensor<?x?x?xf32> {
  %y = weir.apply "transformer_pp"(%x) {heads = 2} : (tensor<?x?x8xf32>) -> tensor<?x?x?xf32>
  weir.return %y : tensor<?x?x?xf32>
}
