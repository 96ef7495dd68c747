// RUN: weir-opt %s --weir-decompose --weir-fuse-elementwise | FileCheck %s

// CHECK-LABEL: @chain
// CHECK-COUNT-1: linalg.generic
// CHECK: arith.negf
// CHECK: math.exp
// CHECK: arith.addf
// CHECK-NOT: linalg.generic
// CHECK: return
func.func @chain(%x: tensor<4x8xf32>, %y: tensor<4x8xf32>) -> tensor<4x8xf32> {
  %0 = arith.negf %x : tensor<4x8xf32>
  %1 = math.exp %0 : tensor<4x8xf32>
  %2 = arith.addf %1, %y : tensor<4x8xf32>
  return %2 : tensor<4x8xf32>
}

// An exponential that two ops read is computed once.
// CHECK-LABEL: @shared
// CHECK-COUNT-1: math.exp
// CHECK-NOT: math.exp
// CHECK: return
func.func @shared(%x: tensor<4x8xf32>, %y: tensor<4x8xf32>) -> (tensor<4x8xf32>, tensor<4x8xf32>) {
  %0 = math.exp %x : tensor<4x8xf32>
  %1 = arith.addf %0, %y : tensor<4x8xf32>
  %2 = arith.mulf %0, %y : tensor<4x8xf32>
  return %1, %2 : tensor<4x8xf32>, tensor<4x8xf32>
}

#row = affine_map<(d0, d1) -> (d0)>
#full = affine_map<(d0, d1) -> (d0, d1)>

// One square root per row, not one per element: the per-row op stays on its own.
// CHECK-LABEL: @per_row
// CHECK: linalg.generic {{.*}}iterator_types = ["parallel"]}
// CHECK: math.rsqrt
// CHECK: linalg.generic {{.*}}iterator_types = ["parallel", "parallel"]}
// CHECK-NOT: math.rsqrt
// CHECK: return
func.func @per_row(%x: tensor<4x8xf32>, %v: tensor<4xf32>) -> tensor<4x8xf32> {
  %r = math.rsqrt %v : tensor<4xf32>
  %e = tensor.empty() : tensor<4x8xf32>
  %y = linalg.generic {indexing_maps = [#full, #row, #full], iterator_types = ["parallel", "parallel"]}
      ins(%x, %r : tensor<4x8xf32>, tensor<4xf32>) outs(%e : tensor<4x8xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %m = arith.mulf %a, %b : f32
    linalg.yield %m : f32
  } -> tensor<4x8xf32>
  return %y : tensor<4x8xf32>
}

// Arithmetic is not repeated inside a product.
// CHECK-LABEL: @product
// CHECK: arith.negf
// CHECK: linalg.generic
// CHECK: arith.mulf
// CHECK-NOT: arith.negf
func.func @product(%x: tensor<4x8xf32>, %w: tensor<8x2xf32>) -> tensor<4x2xf32> {
  %n = arith.negf %x : tensor<4x8xf32>
  %zero = arith.constant dense<0.0> : tensor<4x2xf32>
  %y = linalg.matmul ins(%n, %w : tensor<4x8xf32>, tensor<8x2xf32>) outs(%zero : tensor<4x2xf32>) -> tensor<4x2xf32>
  return %y : tensor<4x2xf32>
}

// A reduction takes what it alone reads.
// CHECK-LABEL: @sum_of_squares
// CHECK-COUNT-1: linalg.generic
// CHECK: arith.mulf
// CHECK: arith.addf
// CHECK-NOT: linalg.generic
func.func @sum_of_squares(%x: tensor<4x8xf32>) -> tensor<4xf32> {
  %s = arith.mulf %x, %x : tensor<4x8xf32>
  %zero = arith.constant dense<0.0> : tensor<4xf32>
  %y = linalg.reduce { arith.addf } ins(%s : tensor<4x8xf32>) outs(%zero : tensor<4xf32>) dimensions = [1]
  return %y : tensor<4xf32>
}

// What a product asks for stays when it takes a conversion in.
// CHECK-LABEL: @tiles
// CHECK-NOT: linalg.generic
// CHECK: linalg.generic {{.*}}ins(%{{.*}}, %{{.*}} : tensor<4x8xbf16>, tensor<8x2xf32>) {{.*}}{weir.tiles = #weir.tiles<rows = 64>}
func.func @tiles(%x: tensor<4x8xbf16>, %w: tensor<8x2xf32>, %z: tensor<4x2xf32>) -> tensor<4x2xf32> {
  %e = tensor.empty() : tensor<4x8xf32>
  %wide = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>], iterator_types = ["parallel", "parallel"]}
      ins(%x : tensor<4x8xbf16>) outs(%e : tensor<4x8xf32>) {
  ^bb0(%p: bf16, %o: f32):
    %q = arith.extf %p : bf16 to f32
    linalg.yield %q : f32
  } -> tensor<4x8xf32>
  %y = linalg.generic {indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (k, n)>, affine_map<(m, n, k) -> (m, n)>],
      iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%wide, %w : tensor<4x8xf32>, tensor<8x2xf32>) outs(%z : tensor<4x2xf32>) attrs = {weir.tiles = #weir.tiles<rows = 64>} {
  ^bb0(%p: f32, %q: f32, %o: f32):
    %r = arith.mulf %p, %q : f32
    %s = arith.addf %o, %r : f32
    linalg.yield %s : f32
  } -> tensor<4x2xf32>
  return %y : tensor<4x2xf32>
}
