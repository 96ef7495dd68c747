// The parameters, their shapes and initial values, and the ops that `minrnn_block` is made of.
// RUN: weir-opt %s --split-input-file --weir-expand | FileCheck %s

// CHECK-LABEL: func.func @m0(
// CHECK-SAME: tensor<?x?x8xf32> {weir.input = "x"}
// CHECK-SAME: tensor<8xf32> {weir.init = "ones", weir.param = "norm_conv.weight"}
// CHECK-SAME: tensor<8xf32> {weir.init = "zeros", weir.param = "norm_conv.bias"}
// CHECK-SAME: tensor<8x4xf32> {weir.init = "uniform(0.5{{[0-9]*}})", weir.param = "conv.depthwise.weight"}
// CHECK-SAME: tensor<8xf32> {weir.init = "uniform(0.5{{[0-9]*}})", weir.param = "conv.depthwise.bias"}
// CHECK-SAME: tensor<8x8xf32> {weir.init = "uniform(0.353553390{{[0-9]*}})", weir.param = "conv.pointwise.weight"}
// CHECK-SAME: tensor<8xf32> {weir.init = "uniform(0.353553390{{[0-9]*}})", weir.param = "conv.pointwise.bias"}
// CHECK-SAME: tensor<8xf32> {weir.init = "ones", weir.param = "norm_rnn.weight"}
// CHECK-SAME: tensor<8xf32> {weir.init = "zeros", weir.param = "norm_rnn.bias"}
// CHECK-SAME: tensor<16x8xf32> {weir.init = "uniform(0.353553390{{[0-9]*}})", weir.param = "rnn.to_z.weight"}
// CHECK-SAME: tensor<16xf32> {weir.init = "uniform(0.353553390{{[0-9]*}})", weir.param = "rnn.to_z.bias"}
// CHECK-SAME: tensor<16x8xf32> {weir.init = "uniform(0.353553390{{[0-9]*}})", weir.param = "rnn.to_h.weight"}
// CHECK-SAME: tensor<16xf32> {weir.init = "uniform(0.353553390{{[0-9]*}})", weir.param = "rnn.to_h.bias"}
// CHECK-SAME: tensor<8x16xf32> {weir.init = "uniform(0.25{{[0-9]*}})", weir.param = "to_out.weight"}
// CHECK-SAME: tensor<8xf32> {weir.init = "uniform(0.25{{[0-9]*}})", weir.param = "to_out.bias"}
// CHECK-SAME: tensor<8xf32> {weir.init = "ones", weir.param = "norm_mlp.weight"}
// CHECK-SAME: tensor<8xf32> {weir.init = "zeros", weir.param = "norm_mlp.bias"}
// CHECK-SAME: tensor<32x8xf32> {weir.init = "uniform(0.353553390{{[0-9]*}})", weir.param = "mlp.up.weight"}
// CHECK-SAME: tensor<32xf32> {weir.init = "uniform(0.353553390{{[0-9]*}})", weir.param = "mlp.up.bias"}
// CHECK-SAME: tensor<8x32xf32> {weir.init = "uniform(0.176776695{{[0-9]*}})", weir.param = "mlp.down.weight"}
// CHECK-SAME: tensor<8xf32> {weir.init = "uniform(0.176776695{{[0-9]*}})", weir.param = "mlp.down.bias"}
// CHECK-SAME: tensor<?x3x8xf32> {weir.init = "zeros", weir.state = "conv.x"}
// CHECK-SAME: tensor<?x16xf32> {weir.init = "zeros", weir.state = "rnn.h"}
// CHECK-SAME: tensor<2xi64> {weir.rng}) -> (tensor<?x?x8xf32> {weir.output = "0"}
// CHECK-SAME: tensor<?x3x8xf32> {weir.state = "conv.x"}
// CHECK-SAME: tensor<?x16xf32> {weir.state = "rnn.h"}
// CHECK: weir.causal_conv
// CHECK: weir.scan
// CHECK: weir.dropout
// CHECK: weir.gelu
// CHECK: weir.dropout
// CHECK: return
weir.model @m0(%x: tensor<?x?x8xf32>) -> tensor<?x?x?xf32> {
  %y = weir.apply "minrnn_block"(%x) {hidden = 16, dropout = 0.2} : (tensor<?x?x8xf32>) -> tensor<?x?x?xf32>
  weir.return %y : tensor<?x?x?xf32>
}

// -----
// CHECK-LABEL: func.func @m1(
// CHECK-SAME: tensor<?x?x8xf32> {weir.input = "x"}
// CHECK-SAME: tensor<8xf32> {weir.init = "ones", weir.param = "norm_rnn.weight"}
// CHECK-SAME: tensor<8x8xf32> {weir.init = "uniform(0.353553390{{[0-9]*}})", weir.param = "rnn.to_z.weight"}
// CHECK-SAME: tensor<8xf32> {weir.init = "uniform(0.353553390{{[0-9]*}})", weir.param = "rnn.to_z.bias"}
// CHECK-SAME: tensor<8x8xf32> {weir.init = "uniform(0.353553390{{[0-9]*}})", weir.param = "rnn.to_h.weight"}
// CHECK-SAME: tensor<8xf32> {weir.init = "uniform(0.353553390{{[0-9]*}})", weir.param = "rnn.to_h.bias"}
// CHECK-SAME: tensor<8x8xf32> {weir.init = "uniform(0.353553390{{[0-9]*}})", weir.param = "to_out.weight"}
// CHECK-SAME: tensor<8xf32> {weir.init = "uniform(0.353553390{{[0-9]*}})", weir.param = "to_out.bias"}
// CHECK-SAME: tensor<?x8xf32> {weir.init = "zeros", weir.state = "rnn.h"}
// CHECK-SAME: ) -> (tensor<?x?x8xf32> {weir.output = "0"}
// CHECK-SAME: tensor<?x8xf32> {weir.state = "rnn.h"}
// CHECK-NOT: weir.positive
// CHECK: weir.rms_norm
// CHECK-NOT: weir.positive
// CHECK: weir.scan
// CHECK-NOT: weir.positive
// CHECK: return
weir.model @m1(%x: tensor<?x?x8xf32>) -> tensor<?x?x?xf32> {
  %y = weir.apply "minrnn_block"(%x) {conv = false, mlp = false, norm = "rms", candidate = "identity"} : (tensor<?x?x8xf32>) -> tensor<?x?x?xf32>
  weir.return %y : tensor<?x?x?xf32>
}
