// The parameters, their shapes and initial values, and the ops that `mingru` is made of.
// RUN: weir-opt %s --split-input-file --weir-expand | FileCheck %s

// CHECK-LABEL: func.func @m0(
// CHECK-SAME: tensor<?x?x8xf32> {weir.input = "x"}
// CHECK-SAME: tensor<12x8xf32> {weir.init = "uniform(0.353553390{{[0-9]*}})", weir.param = "to_z.weight"}
// CHECK-SAME: tensor<12xf32> {weir.init = "uniform(0.353553390{{[0-9]*}})", weir.param = "to_z.bias"}
// CHECK-SAME: tensor<12x8xf32> {weir.init = "uniform(0.353553390{{[0-9]*}})", weir.param = "to_h.weight"}
// CHECK-SAME: tensor<12xf32> {weir.init = "uniform(0.353553390{{[0-9]*}})", weir.param = "to_h.bias"}
// CHECK-SAME: tensor<?x12xf32> {weir.init = "zeros", weir.state = "h"}
// CHECK-SAME: ) -> (tensor<?x?x12xf32> {weir.output = "0"}
// CHECK-SAME: tensor<?x12xf32> {weir.state = "h"}
// CHECK: weir.positive
// CHECK: weir.scan
// CHECK: return
weir.model @m0(%x: tensor<?x?x8xf32>) -> tensor<?x?x?xf32> {
  %y = weir.apply "mingru"(%x) {hidden = 12} : (tensor<?x?x8xf32>) -> tensor<?x?x?xf32>
  weir.return %y : tensor<?x?x?xf32>
}

// -----
// CHECK-LABEL: func.func @m1(
// CHECK-SAME: tensor<?x?x8xf32> {weir.input = "x"}
// CHECK-SAME: tensor<8x8xf32> {weir.init = "uniform(0.353553390{{[0-9]*}})", weir.param = "to_z.weight"}
// CHECK-SAME: tensor<8xf32> {weir.init = "uniform(0.353553390{{[0-9]*}})", weir.param = "to_z.bias"}
// CHECK-SAME: tensor<8x8xf32> {weir.init = "uniform(0.353553390{{[0-9]*}})", weir.param = "to_h.weight"}
// CHECK-SAME: tensor<8xf32> {weir.init = "uniform(0.353553390{{[0-9]*}})", weir.param = "to_h.bias"}
// CHECK-SAME: tensor<?x8xf32> {weir.init = "zeros", weir.state = "h"}
// CHECK-SAME: ) -> (tensor<?x?x8xf32> {weir.output = "0"}
// CHECK-SAME: tensor<?x8xf32> {weir.state = "h"}
// CHECK-NOT: weir.positive
// CHECK: weir.scan
// CHECK-NOT: weir.positive
// CHECK: return
weir.model @m1(%x: tensor<?x?x8xf32>) -> tensor<?x?x?xf32> {
  %y = weir.apply "mingru"(%x) {candidate = "identity"} : (tensor<?x?x8xf32>) -> tensor<?x?x?xf32>
  weir.return %y : tensor<?x?x?xf32>
}

// -----
// CHECK-LABEL: func.func @m2(
// CHECK-SAME: tensor<?x?x8xf32> {weir.input = "x"}
// CHECK-SAME: tensor<8x8xf32> {weir.init = "uniform(0.353553390{{[0-9]*}})", weir.param = "to_z.weight"}
// CHECK-SAME: tensor<8xf32> {weir.init = "uniform(0.353553390{{[0-9]*}})", weir.param = "to_z.bias"}
// CHECK-SAME: tensor<8x8xf32> {weir.init = "uniform(0.353553390{{[0-9]*}})", weir.param = "to_h.weight"}
// CHECK-SAME: tensor<8xf32> {weir.init = "uniform(0.353553390{{[0-9]*}})", weir.param = "to_h.bias"}
// CHECK-SAME: tensor<?x8xf32> {weir.init = "zeros", weir.state = "h"}
// CHECK-SAME: ) -> (tensor<?x?x8xf32> {weir.output = "0"}
// CHECK-SAME: tensor<?x8xf32> {weir.state = "h"}
// CHECK-NOT: weir.positive
// CHECK-NOT: weir.scan
// CHECK: weir.log_sigmoid
// CHECK-NOT: weir.positive
// CHECK-NOT: weir.scan
// CHECK: weir.log_positive
// CHECK-NOT: weir.positive
// CHECK-NOT: weir.scan
// CHECK: weir.recurrence
// CHECK-NOT: weir.positive
// CHECK-NOT: weir.scan
// CHECK: math.log1p
// CHECK-NOT: weir.positive
// CHECK-NOT: weir.scan
// CHECK: math.exp
// CHECK-NOT: weir.positive
// CHECK-NOT: weir.scan
// CHECK: return
weir.model @m2(%x: tensor<?x?x8xf32>) -> tensor<?x?x?xf32> {
  %y = weir.apply "mingru"(%x) {arithmetic = "log"} : (tensor<?x?x8xf32>) -> tensor<?x?x?xf32>
  weir.return %y : tensor<?x?x?xf32>
}
