// RUN: weir-opt %s --weir-autocast --weir-simplify --weir-differentiate --weir-partition --weir-form-kernels | FileCheck %s

// Mixed precision as kernels: all products are of bf16 operands and sum in f32, forward and backward; what forward keeps
// for backward and what lies between kernels is bf16; gradients of parameters are f32.
// CHECK-LABEL: func.func @f_forward
// CHECK-DAG: weir.launch @k_scan({{.*}} : (tensor<2x16x64xbf16>, tensor<2x16x64xbf16>) -> (tensor<2x16x64xbf16>, tensor<1x2x64xf32>)
// CHECK-DAG: weir.launch {{.*}} : (tensor<2x16x64xbf16>, tensor<32x64xbf16>) -> tensor<2x16x32xf32>
// CHECK-LABEL: func.func @f_backward
// CHECK-SAME: -> (tensor<128x32xf32> {weir.gradient = "w"}, tensor<128xf32> {weir.gradient = "b"}, tensor<32x64xf32> {weir.gradient = "v"}, tensor<32xf32> {weir.gradient = "n"})
// CHECK-DAG: weir.launch @k_outer_product{{.*}} : (tensor<2x16x64xbf16>, tensor<2x16x32xbf16>) -> tensor<32x64xf32>
// CHECK-DAG: weir.launch @k_scan_vjp({{.*}} : (tensor<2x16x64xbf16>, tensor<2x16x64xbf16>, tensor<1x2x64xf32>, tensor<2x16x64xbf16>) -> (tensor<2x16x64xbf16>, tensor<2x16x64xbf16>)
// CHECK-DAG: weir.launch @k_outer_product{{.*}} : (tensor<2x16x32xbf16>, tensor<2x16x128xbf16>) -> tensor<128x32xf32>
func.func @f(
    %x: tensor<2x16x32xf32> {weir.input = "x"},
    %w: tensor<128x32xf32> {weir.param = "w"},
    %b: tensor<128xf32> {weir.param = "b"},
    %v: tensor<32x64xf32> {weir.param = "v"},
    %n: tensor<32xf32> {weir.param = "n"}) -> (tensor<f32> {weir.output = "loss"}) {
  %xn = weir.rms_norm %x params(%n : tensor<32xf32>) eps(1.0e-6) : tensor<2x16x32xf32>
  %t = weir.linear %xn params(%w, %b : tensor<128x32xf32>, tensor<128xf32>) : tensor<2x16x32xf32> -> tensor<2x16x128xf32>
  %k, %u = weir.split %t pieces [64, 64] : tensor<2x16x128xf32> -> tensor<2x16x64xf32>, tensor<2x16x64xf32>
  %nk = arith.negf %k : tensor<2x16x64xf32>
  %a = weir.sigmoid %nk : tensor<2x16x64xf32>
  %z = weir.sigmoid %k : tensor<2x16x64xf32>
  %zb = arith.mulf %z, %u : tensor<2x16x64xf32>
  %h, %last = weir.scan(%a, %zb) : (tensor<2x16x64xf32>, tensor<2x16x64xf32>) -> (tensor<2x16x64xf32>, tensor<2x64xf32>)
  %o = weir.linear %h params(%v : tensor<32x64xf32>) : tensor<2x16x64xf32> -> tensor<2x16x32xf32>
  %r = arith.addf %x, %o : tensor<2x16x32xf32>
  %s = arith.mulf %r, %r : tensor<2x16x32xf32>
  %zero = arith.constant dense<0.0> : tensor<f32>
  %l = linalg.reduce { arith.addf } ins(%s : tensor<2x16x32xf32>) outs(%zero : tensor<f32>) dimensions = [0, 1, 2]
  return %l : tensor<f32>
}
