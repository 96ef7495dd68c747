// RUN: weir-opt %s --weir-decompose | FileCheck %s

// The tap without a shift reads a slice: its map alone would give the loop the length of the extended input.
// CHECK-LABEL: @with_state
// CHECK: %[[X:.*]] = tensor.concat dim(1) %arg1, %arg0
// CHECK: %[[FIRST:.*]] = tensor.extract_slice %[[X]][0, 0, 0] [2, 13, 8] [1, 1, 1]
// CHECK: linalg.generic {{.*}} ins(%[[FIRST]], %arg2, %[[X]], %arg2, %[[X]], %arg2, %[[X]], %arg2, %arg3 :
// CHECK-NOT: weir.causal_conv
func.func @with_state(%x: tensor<2x13x8xf32>, %s: tensor<2x3x8xf32>, %w: tensor<8x4xf32>, %b: tensor<8xf32>)
    -> (tensor<2x13x8xf32>, tensor<2x3x8xf32>) {
  %y, %last = weir.causal_conv %x, "conv" params(%w, %b : tensor<8x4xf32>, tensor<8xf32>) kernel (4)
    from %s : tensor<2x3x8xf32> : tensor<2x13x8xf32> -> tensor<2x13x8xf32>, tensor<2x3x8xf32>
  return %y, %last : tensor<2x13x8xf32>, tensor<2x3x8xf32>
}
