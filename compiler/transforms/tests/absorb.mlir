// RUN: weir-opt %s --weir-decompose --weir-fuse-elementwise --weir-absorb | FileCheck %s

// CHECK-DAG: #[[$POINT:.*]] = affine_map<(d0, d1, d2) -> (d0, d1, d2)>
// CHECK-DAG: #[[$FEATURE:.*]] = affine_map<(d0, d1, d2) -> (d2)>
// CHECK-DAG: #[[$SWAPPED:.*]] = affine_map<(d0, d1, d2) -> (d1, d0, d2)>

// A layer with gates of its own is one scan of what its products give.
// CHECK-LABEL: @mingru
// CHECK-SAME: (%[[K:.*]]: tensor<2x8x4xf32>, %[[U:.*]]: tensor<2x8x4xf32>)
// CHECK-NOT: linalg.generic
// CHECK: weir.scan(%[[K]], %[[U]]) prologue
// CHECK: ^bb0(%[[PK:.*]]: f32, %[[PU:.*]]: f32)
// CHECK-DAG: %[[N:.*]] = arith.negf %[[PK]]
// CHECK-DAG: %[[A:.*]] = weir.sigmoid %[[N]]
// CHECK-DAG: %[[Z:.*]] = weir.sigmoid %[[PK]]
// CHECK-DAG: %[[B:.*]] = arith.mulf %[[Z]], %[[PU]]
// CHECK: weir.yield %[[A]], %[[B]] : f32, f32
// CHECK: epilogue
// CHECK: ^bb0(%[[H:.*]]: f32, %{{.*}}: f32, %[[EU:.*]]: f32)
// CHECK: %[[Y:.*]] = arith.mulf %[[H]], %[[EU]]
// CHECK: weir.yield %[[Y]] : f32
// CHECK-NOT: linalg.generic
// CHECK: return
func.func @mingru(%k: tensor<2x8x4xf32>, %u: tensor<2x8x4xf32>) -> (tensor<2x8x4xf32>, tensor<2x4xf32>) {
  %nk = arith.negf %k : tensor<2x8x4xf32>
  %a = weir.sigmoid %nk : tensor<2x8x4xf32>
  %z = weir.sigmoid %k : tensor<2x8x4xf32>
  %b = arith.mulf %z, %u : tensor<2x8x4xf32>
  %h, %last = weir.scan(%a, %b) : (tensor<2x8x4xf32>, tensor<2x8x4xf32>) -> (tensor<2x8x4xf32>, tensor<2x4xf32>)
  %y = arith.mulf %h, %u : tensor<2x8x4xf32>
  return %y, %last : tensor<2x8x4xf32>, tensor<2x4xf32>
}

// An expensive producer that others read too stays: its inputs would have to be read again.
// CHECK-LABEL: @shared
// CHECK: linalg.generic
// CHECK: math.exp
// CHECK: weir.scan(%{{.*}}, %arg1)
func.func @shared(%k: tensor<2x8x4xf32>, %u: tensor<2x8x4xf32>) -> (tensor<2x8x4xf32>, tensor<2x8x4xf32>) {
  %a = math.exp %k : tensor<2x8x4xf32>
  %h, %last = weir.scan(%a, %u) : (tensor<2x8x4xf32>, tensor<2x8x4xf32>) -> (tensor<2x8x4xf32>, tensor<2x4xf32>)
  return %a, %h : tensor<2x8x4xf32>, tensor<2x8x4xf32>
}

// Maps are composed: a transposed producer of a decay per feature.
#in = affine_map<(b, t, d) -> (d)>
#out = affine_map<(b, t, d) -> (b, t, d)>
#swap = affine_map<(b, t, d) -> (t, b, d)>
// CHECK-LABEL: @maps
// CHECK-NOT: linalg.generic
// CHECK: weir.scan
// CHECK: math.exp
// CHECK: indexing_maps = [#[[$FEATURE]], #[[$SWAPPED]], #[[$POINT]], #[[$SWAPPED]]]
// CHECK-NOT: linalg.generic
// CHECK: return
func.func @maps(%decay: tensor<4xf32>, %u: tensor<8x2x4xf32>, %v: tensor<2x8x4xf32>) -> tensor<8x2x4xf32> {
  %e = tensor.empty() : tensor<2x8x4xf32>
  %a = linalg.generic {indexing_maps = [#in, #out], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%decay : tensor<4xf32>) outs(%e : tensor<2x8x4xf32>) {
  ^bb0(%in: f32, %o: f32):
    %x = math.exp %in : f32
    linalg.yield %x : f32
  } -> tensor<2x8x4xf32>
  %b = linalg.generic {indexing_maps = [#swap, #out, #out], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%u, %v : tensor<8x2x4xf32>, tensor<2x8x4xf32>) outs(%e : tensor<2x8x4xf32>) {
  ^bb0(%p: f32, %q: f32, %o: f32):
    %x = arith.mulf %p, %q : f32
    linalg.yield %x : f32
  } -> tensor<2x8x4xf32>
  %h, %last = weir.scan(%a, %b) : (tensor<2x8x4xf32>, tensor<2x8x4xf32>) -> (tensor<2x8x4xf32>, tensor<2x4xf32>)
  %f = tensor.empty() : tensor<8x2x4xf32>
  %y = linalg.generic {indexing_maps = [#out, #swap], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%h : tensor<2x8x4xf32>) outs(%f : tensor<8x2x4xf32>) {
  ^bb0(%p: f32, %o: f32):
    %x = arith.negf %p : f32
    linalg.yield %x : f32
  } -> tensor<8x2x4xf32>
  return %y : tensor<8x2x4xf32>
}

// A state of zeros is no operand.
// CHECK-LABEL: @zeros
// CHECK-NOT: linalg.fill
// CHECK: weir.scan(%{{.*}}, %{{.*}}) prologue
func.func @zeros(%a: tensor<2x8x4xf32>, %b: tensor<2x8x4xf32>) -> tensor<2x8x4xf32> {
  %zero = arith.constant dense<0.0> : tensor<2x4xf32>
  %h, %last = weir.scan(%a, %b) from %zero
      : (tensor<2x8x4xf32>, tensor<2x8x4xf32>, tensor<2x4xf32>) -> (tensor<2x8x4xf32>, tensor<2x4xf32>)
  return %h : tensor<2x8x4xf32>
}

// What is repeated along a dimension is widened before the scan: its cotangent is a sum, which bf16 has too few bits for.
// CHECK-LABEL: @widened
// CHECK: %[[WIDE:.*]] = linalg.generic
// CHECK: arith.extf
// CHECK: weir.scan(%[[WIDE]], %arg1)
#point = affine_map<(b, t, d) -> (b, t, d)>
#row = affine_map<(b, t, d) -> (b, t)>
func.func @widened(%k: tensor<2x8xbf16>, %u: tensor<2x8x4xbf16>) -> tensor<2x8x4xf32> {
  %wk = arith.extf %k : tensor<2x8xbf16> to tensor<2x8xf32>
  %wu = arith.extf %u : tensor<2x8x4xbf16> to tensor<2x8x4xf32>
  %h, %last = weir.scan(%wk, %wu) prologue {
  ^bb0(%pk: f32, %pu: f32):
    weir.yield %pk, %pu : f32, f32
  } epilogue {
  ^bb0(%s: f32, %pk: f32, %pu: f32):
    weir.yield %s : f32
  } {indexing_maps = [#row, #point, #point], iterator_types = ["parallel", "time", "parallel"]}
    : (tensor<2x8xf32>, tensor<2x8x4xf32>) -> (tensor<2x8x4xf32>, tensor<2x4xf32>)
  return %h : tensor<2x8x4xf32>
}

// What is repeated and isn't cheap is computed once.
// CHECK-LABEL: @repeated
// CHECK: %[[DECAY:.*]] = linalg.generic
// CHECK: weir.sigmoid
// CHECK: weir.scan(%[[DECAY]], %arg1)
func.func @repeated(%k: tensor<2x8xf32>, %u: tensor<2x8x4xf32>) -> tensor<2x8x4xf32> {
  %a = weir.sigmoid %k : tensor<2x8xf32>
  %h, %last = weir.scan(%a, %u) prologue {
  ^bb0(%pa: f32, %pu: f32):
    weir.yield %pa, %pu : f32, f32
  } epilogue {
  ^bb0(%s: f32, %pa: f32, %pu: f32):
    weir.yield %s : f32
  } {indexing_maps = [#row, #point, #point], iterator_types = ["parallel", "time", "parallel"]}
    : (tensor<2x8xf32>, tensor<2x8x4xf32>) -> (tensor<2x8x4xf32>, tensor<2x4xf32>)
  return %h : tensor<2x8x4xf32>
}
