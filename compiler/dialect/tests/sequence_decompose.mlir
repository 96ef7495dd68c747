// RUN: weir-opt %s --weir-decompose | FileCheck %s

// CHECK-LABEL: func @linear
// CHECK: linalg.generic
// CHECK: arith.mulf
// CHECK-NOT: weir.linear
func.func @linear(%x: tensor<2x13x8xf32>, %w: tensor<16x8xf32>, %b: tensor<16xf32>) -> tensor<2x13x16xf32> {
  %0 = weir.linear %x params(%w, %b : tensor<16x8xf32>, tensor<16xf32>) : tensor<2x13x8xf32> -> tensor<2x13x16xf32>
  return %0 : tensor<2x13x16xf32>
}

// CHECK-LABEL: func @loss
// CHECK-NOT: weir.cross_entropy
func.func @loss(%x: tensor<2x13x8xf32>, %t: tensor<2x13xi32>) -> (tensor<f32>, tensor<f32>, tensor<f32>, tensor<f32>, tensor<f32>) {
  %1:5 = weir.cross_entropy %x, %t : tensor<2x13x8xf32>, tensor<2x13xi32> -> tensor<f32>
  return %1#0, %1#1, %1#2, %1#3, %1#4 : tensor<f32>, tensor<f32>, tensor<f32>, tensor<f32>, tensor<f32>
}

// CHECK-LABEL: func @rotary
// CHECK-NOT: weir.rotary
func.func @rotary(%x: tensor<2x13x8xf32>, %s: tensor<2x13xi32>, %o: tensor<i64>, %p: f64, %r: tensor<2xi64>) -> (tensor<2x13x8xf32>, tensor<2x13x8xf32>) {
  %0 = weir.rotary %x num_heads 2 start(%o : tensor<i64>) : tensor<2x13x8xf32>
  %1 = weir.rotary %0 segments(%s : tensor<2x13xi32>) : tensor<2x13x8xf32>
  %2 = weir.softmax %1 : tensor<2x13x8xf32>
  %c = arith.constant 3 : i64
  %3 = weir.dropout %2 rate(%p) stream(%c) rng(%r : tensor<2xi64>) : tensor<2x13x8xf32>
  %w = arith.constant dense<1.0> : tensor<8xf32>
  %4 = weir.layer_norm %3 params(%w, %w : tensor<8xf32>, tensor<8xf32>) : tensor<2x13x8xf32>
  return %4, %1 : tensor<2x13x8xf32>, tensor<2x13x8xf32>
}
