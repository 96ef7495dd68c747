// RUN: weir-opt %s --weir-decompose | FileCheck %s

// CHECK-LABEL: @elementwise
// CHECK-SAME: (%[[X:.*]]: tensor<4x8xf32>)
// CHECK-DAG: %[[C:.*]] = arith.constant 2.000000e+00 : f32
// CHECK-DAG: %[[E:.*]] = tensor.empty() : tensor<4x8xf32>
// CHECK: linalg.generic {{.*}} ins(%[[X]] : tensor<4x8xf32>) outs(%[[E]] : tensor<4x8xf32>)
// CHECK: arith.mulf %{{.*}}, %[[C]] : f32
// CHECK-NOT: tensor<4x8xf32>)  {
func.func @elementwise(%x: tensor<4x8xf32>) -> tensor<4x8xf32> {
  %c = arith.constant dense<2.0> : tensor<4x8xf32>
  %y = arith.mulf %x, %c : tensor<4x8xf32>
  return %y : tensor<4x8xf32>
}

// Aggregated ops of upstream go the same way.
// CHECK-LABEL: @softmax
// CHECK-NOT: linalg.softmax
// CHECK: linalg.generic
// CHECK: arith.max
// CHECK: linalg.generic
// CHECK: math.exp
// CHECK: arith.divf
// CHECK: return
func.func @softmax(%x: tensor<4x8xf32>) -> tensor<4x8xf32> {
  %e = tensor.empty() : tensor<4x8xf32>
  %y = linalg.softmax dimension(1) ins(%x : tensor<4x8xf32>) outs(%e : tensor<4x8xf32>) -> tensor<4x8xf32>
  return %y : tensor<4x8xf32>
}

// CHECK-LABEL: @named
// CHECK-DAG: %[[ZERO:.*]] = arith.constant 0.000000e+00 : f32
// CHECK: %[[FILL:.*]] = linalg.fill ins(%[[ZERO]] : f32)
// CHECK: linalg.generic {{.*}}iterator_types = ["parallel", "parallel", "reduction"]{{.*}} outs(%[[FILL]]
// CHECK-NOT: linalg.matmul
func.func @named(%x: tensor<4x8xf32>, %w: tensor<8x2xf32>) -> tensor<4x2xf32> {
  %zero = arith.constant dense<0.0> : tensor<4x2xf32>
  %y = linalg.matmul ins(%x, %w : tensor<4x8xf32>, tensor<8x2xf32>) outs(%zero : tensor<4x2xf32>) -> tensor<4x2xf32>
  return %y : tensor<4x2xf32>
}

// A sum over a constant can't lose the operand that bounds its loop.
// CHECK-LABEL: @bounded
// CHECK: linalg.generic {{.*}} ins(%{{.*}} : tensor<8xf32>)
#in = affine_map<(d0) -> (d0)>
#out = affine_map<(d0) -> ()>
func.func @bounded(%init: tensor<f32>) -> tensor<f32> {
  %one = arith.constant dense<1.0> : tensor<8xf32>
  %y = linalg.generic {indexing_maps = [#in, #out], iterator_types = ["reduction"]}
      ins(%one : tensor<8xf32>) outs(%init : tensor<f32>) {
  ^bb0(%a: f32, %acc: f32):
    %s = arith.addf %acc, %a : f32
    linalg.yield %s : f32
  } -> tensor<f32>
  return %y : tensor<f32>
}

// The tiles that an op asks for are those of the product that it means.
// CHECK-LABEL: @tiles
// CHECK: linalg.generic {{.*}}"reduction"{{.*}} attrs = {weir.tiles = #weir.tiles<rows = 96, group = 64>}
// CHECK: linalg.generic {{.*}}"reduction"{{.*}} attrs = {weir.tiles = #weir.tiles<parts = 2>}
func.func @tiles(%x: tensor<2x5x8xf32>, %w: tensor<4x8xf32>, %b: tensor<4xf32>, %u: tensor<4x8xf32>, %v: tensor<8x2xf32>,
                 %z: tensor<4x2xf32>) -> (tensor<2x5x4xf32>, tensor<4x2xf32>) {
  %y = weir.linear %x params(%w, %b : tensor<4x8xf32>, tensor<4xf32>) {weir.tiles = #weir.tiles<rows = 96, group = 64>} : tensor<2x5x8xf32> -> tensor<2x5x4xf32>
  %m = linalg.matmul {weir.tiles = #weir.tiles<parts = 2>} ins(%u, %v : tensor<4x8xf32>, tensor<8x2xf32>) outs(%z : tensor<4x2xf32>) -> tensor<4x2xf32>
  return %y, %m : tensor<2x5x4xf32>, tensor<4x2xf32>
}
