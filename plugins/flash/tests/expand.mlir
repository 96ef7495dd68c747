// The parameters, their shapes and initial values, and the ops that `flash` is made of.
// RUN: weir-opt %s --split-input-file --weir-expand | FileCheck %s

// CHECK-LABEL: func.func @m0(
// CHECK-SAME: tensor<?x?x8xf32> {weir.input = "x"}
// CHECK-SAME: tensor<8xf32> {weir.init = "ones", weir.param = "norm.weight"}
// CHECK-SAME: tensor<8xf32> {weir.init = "zeros", weir.param = "norm.bias"}
// CHECK-SAME: tensor<30x8xf32> {weir.init = "normal(0.02)", weir.param = "in.weight"}
// CHECK-SAME: tensor<30xf32> {weir.init = "zeros", weir.param = "in.bias"}
// CHECK-SAME: tensor<4x6xf32> {weir.init = "normal(0.02)", weir.param = "qk.weight"}
// CHECK-SAME: tensor<4x6xf32> {weir.init = "zeros", weir.param = "qk.bias"}
// CHECK-SAME: tensor<7xf32> {weir.init = "normal(0.02)", weir.param = "rel.weight"}
// CHECK-SAME: tensor<8x12xf32> {weir.init = "normal(0.02)", weir.param = "out.weight"}
// CHECK-SAME: tensor<8xf32> {weir.init = "zeros", weir.param = "out.bias"}
// CHECK-SAME: ) -> (tensor<?x?x8xf32> {weir.output = "0"}
// CHECK: weir.chunked_attention
// CHECK: return
weir.model @m0(%x: tensor<?x?x8xf32>) -> tensor<?x?x?xf32> {
  %y = weir.apply "flash"(%x) {expanded = 12, head = 6, chunk = 4} : (tensor<?x?x8xf32>) -> tensor<?x?x?xf32>
  weir.return %y : tensor<?x?x?xf32>
}
