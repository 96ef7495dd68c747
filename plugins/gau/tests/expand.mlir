// The parameters, their shapes and initial values, and the ops that `gau` is made of.
// RUN: weir-opt %s --split-input-file --weir-expand | FileCheck %s

// CHECK-LABEL: func.func @m0(
// CHECK-SAME: tensor<?x?x8xf32> {weir.input = "x"}
// CHECK-SAME: tensor<8xf32> {weir.init = "ones", weir.param = "norm.weight"}
// CHECK-SAME: tensor<8xf32> {weir.init = "zeros", weir.param = "norm.bias"}
// CHECK-SAME: tensor<30x8xf32> {weir.init = "normal(0.02)", weir.param = "in.weight"}
// CHECK-SAME: tensor<30xf32> {weir.init = "zeros", weir.param = "in.bias"}
// CHECK-SAME: tensor<2x6xf32> {weir.init = "normal(0.02)", weir.param = "qk.weight"}
// CHECK-SAME: tensor<2x6xf32> {weir.init = "zeros", weir.param = "qk.bias"}
// CHECK-SAME: tensor<39xf32> {weir.init = "normal(0.02)", weir.param = "rel.weight"}
// CHECK-SAME: tensor<8x12xf32> {weir.init = "normal(0.02)", weir.param = "out.weight"}
// CHECK-SAME: tensor<8xf32> {weir.init = "zeros", weir.param = "out.bias"}
// CHECK-SAME: ) -> (tensor<?x?x8xf32> {weir.output = "0"}
// CHECK: weir.layer_norm
// CHECK: weir.silu
// CHECK: weir.split
// CHECK: weir.rotary
// CHECK: weir.attention
// CHECK: relu_squared
// CHECK: causal
// CHECK: return
weir.model @m0(%x: tensor<?x?x8xf32>) -> tensor<?x?x?xf32> {
  %y = weir.apply "gau"(%x) {expanded = 12, head = 6, length = 20} : (tensor<?x?x8xf32>) -> tensor<?x?x?xf32>
  weir.return %y : tensor<?x?x?xf32>
}

// -----
// CHECK-LABEL: func.func @m1(
// CHECK-SAME: tensor<?x?x8xf32> {weir.input = "x"}
// CHECK-SAME: tensor<f32> {weir.init = "ones", weir.param = "norm.weight"}
// CHECK-SAME: tensor<38x8xf32> {weir.init = "normal(0.02)", weir.param = "in.weight"}
// CHECK-SAME: tensor<38xf32> {weir.init = "zeros", weir.param = "in.bias"}
// CHECK-SAME: tensor<2x6xf32> {weir.init = "normal(0.02)", weir.param = "qk.weight"}
// CHECK-SAME: tensor<2x6xf32> {weir.init = "zeros", weir.param = "qk.bias"}
// CHECK-SAME: tensor<8x16xf32> {weir.init = "normal(0.02)", weir.param = "out.weight"}
// CHECK-SAME: tensor<8xf32> {weir.init = "zeros", weir.param = "out.bias"}
// CHECK-SAME: ) -> (tensor<?x?x8xf32> {weir.output = "0"}
// CHECK-NOT: rel.weight
// CHECK: weir.scale_norm
// CHECK-NOT: rel.weight
// CHECK: weir.attention
// CHECK-NOT: rel.weight
// CHECK: full
// CHECK-NOT: rel.weight
// CHECK: return
weir.model @m1(%x: tensor<?x?x8xf32>) -> tensor<?x?x?xf32> {
  %y = weir.apply "gau"(%x) {head = 6, bias = "none", norm = "scale", causal = false} : (tensor<?x?x8xf32>) -> tensor<?x?x?xf32>
  weir.return %y : tensor<?x?x?xf32>
}
