// RUN: weir-opt %s --weir-chunk-matrix-scans=chunk=4 | FileCheck %s
// RUN: weir-opt %s --weir-chunk-matrix-scans="chunk=4 bf16" | FileCheck %s --check-prefix=BF16
// RUN: weir-opt %s --weir-chunk-matrix-scans | FileCheck %s --check-prefix=COST

#a = affine_map<(b, t, h, k, v) -> (b, t, h)>
#k = affine_map<(b, t, h, k, v) -> (b, t, h, k)>
#v = affine_map<(b, t, h, k, v) -> (b, t, h, v)>

// Two chunks and a half: products inside of chunks and across them, and scans of a chunk's length and over the chunks. No
// tensor is 10 x 10, nothing carries a matrix for 10 steps, nothing is divided or a logarithm.
// CHECK-LABEL: @linear_attention
// CHECK-NOT: {{divf|log|exp }}
// CHECK-NOT: 10x10
// CHECK: tensor.concat dim(1) %arg3
// CHECK: %[[SCORES:.*]] = linalg.generic {{.*}}"reduction"]} {{.*}} outs(%{{.*}} : tensor<2x3x3x4x4xf32>)
// CHECK: %[[D:.*]]:2 = weir.scan
// CHECK: ["parallel", "parallel", "parallel", "time", "parallel"]} : (tensor<2x3x4x3xf32>, tensor<4x4xf32>) -> (tensor<2x3x3x4x4xf32>, tensor<2x3x3x4xf32>)
// CHECK: linalg.generic {{.*}} ins(%[[SCORES]], %[[D]]#0
// CHECK: ["parallel", "parallel", "time", "parallel"]} : (tensor<2x3x4x3xf32>, tensor<2x3x3xf32>)
// CHECK: ["parallel", "time", "parallel", "parallel", "parallel"]} : (tensor<2x3x3xf32>, tensor<2x3x3x4x5xf32>) -> (tensor<2x3x3x4x5xf32>, tensor<2x3x4x5xf32>)
// CHECK-NOT: weir.scan
// CHECK: return %{{.*}}, %{{.*}} : tensor<2x10x3x5xf32>, tensor<2x3x4x5xf32>

// BF16-LABEL: @linear_attention
// BF16: linalg.generic {{.*}}"reduction"]} ins(%{{.*}}, %{{.*}} : tensor<2x3x4x3x4xbf16>, tensor<2x3x4x3x4xbf16>)
// BF16: linalg.generic {{.*}}"reduction"]} ins(%{{.*}}, %{{.*}} : tensor<2x3x3x4x4xbf16>, tensor<2x3x4x3x5xbf16>)
// BF16: linalg.generic {{.*}}"reduction"]} ins(%{{.*}}, %{{.*}} : tensor<2x3x4x3x4xbf16>, tensor<2x3x4x3x5xbf16>)
// States are summed in f32 and read in bf16.
// BF16: (tensor<2x3x3xf32>, tensor<2x3x3x4x5xf32>) -> (tensor<2x3x3x4x5xbf16>, tensor<2x3x4x5xf32>)

// So small a state stays a scan.
// COST-LABEL: @linear_attention
// COST-NOT: linalg.generic
// COST: weir.scan
// COST-NOT: weir.scan
// COST: return
func.func @linear_attention(%a: tensor<2x10x3xf32>, %k: tensor<2x10x3x4xf32>, %v: tensor<2x10x3x5xf32>, %q: tensor<2x10x3x4xf32>)
    -> (tensor<2x10x3x5xf32>, tensor<2x3x4x5xf32>) {
  %y, %last = weir.scan(%a, %k, %v, %q) prologue {
  ^bb0(%pa: f32, %pk: f32, %pv: f32, %pq: f32):
    %b = arith.mulf %pk, %pv : f32
    weir.yield %pa, %b : f32, f32
  } epilogue {
  ^bb0(%h: f32, %pa: f32, %pk: f32, %pv: f32, %pq: f32):
    %o = arith.mulf %h, %pq : f32
    weir.yield %o : f32
  } {indexing_maps = [#a, #k, #v, #k, #v], iterator_types = ["parallel", "time", "parallel", "parallel", "parallel"]}
    : (tensor<2x10x3xf32>, tensor<2x10x3x4xf32>, tensor<2x10x3x5xf32>, tensor<2x10x3x4xf32>)
    -> (tensor<2x10x3x5xf32>, tensor<2x3x4x5xf32>)
  return %y, %last : tensor<2x10x3x5xf32>, tensor<2x3x4x5xf32>
}

// Large states: chunks by cost.
// COST-LABEL: @large
// COST-NOT: weir.scan(%arg0
// COST: weir.scan{{.*}} prologue
// COST: ["parallel", "time", "parallel", "parallel"]} : (tensor<1x{{[0-9]+}}xf32>, tensor<1x{{[0-9]+}}x64x64xf32>)
// COST: return
// CHECK-LABEL: @large
// BF16-LABEL: @large
#a1 = affine_map<(b, t, k, v) -> (b, t)>
#k1 = affine_map<(b, t, k, v) -> (b, t, k)>
#v1 = affine_map<(b, t, k, v) -> (b, t, v)>
func.func @large(%a: tensor<1x512xf32>, %k: tensor<1x512x64xf32>, %v: tensor<1x512x64xf32>, %q: tensor<1x512x64xf32>) -> tensor<1x512x64xf32> {
  %y, %last = weir.scan(%a, %k, %v, %q) prologue {
  ^bb0(%pa: f32, %pk: f32, %pv: f32, %pq: f32):
    %b = arith.mulf %pk, %pv : f32
    weir.yield %pa, %b : f32, f32
  } epilogue {
  ^bb0(%h: f32, %pa: f32, %pk: f32, %pv: f32, %pq: f32):
    %o = arith.mulf %h, %pq : f32
    weir.yield %o : f32
  } {indexing_maps = [#a1, #k1, #v1, #k1, #v1], iterator_types = ["parallel", "time", "parallel", "parallel"]}
    : (tensor<1x512xf32>, tensor<1x512x64xf32>, tensor<1x512x64xf32>, tensor<1x512x64xf32>) -> (tensor<1x512x64xf32>, tensor<1x64x64xf32>)
  return %y : tensor<1x512x64xf32>
}

// A line of IR overrides: this one stays, whatever the option says.
// CHECK-LABEL: @stays
// CHECK: weir.scan
// CHECK: tensor<1x12x3xf32>, tensor<1x12x4xf32>
// CHECK-NOT: weir.scan
// CHECK: return
func.func @stays(%a: tensor<1x12xf32>, %k: tensor<1x12x3xf32>, %v: tensor<1x12x4xf32>) -> tensor<1x12x4xf32> {
  %y, %last = weir.scan(%a, %k, %v) prologue {
  ^bb0(%pa: f32, %pk: f32, %pv: f32):
    %b = arith.mulf %pk, %pv : f32
    weir.yield %pa, %b : f32, f32
  } epilogue {
  ^bb0(%h: f32, %pa: f32, %pk: f32, %pv: f32):
    %o = arith.mulf %h, %pk : f32
    weir.yield %o : f32
  } {weir.matrix_chunk = 0, indexing_maps = [#a1, #k1, #v1, #v1], iterator_types = ["parallel", "time", "parallel", "parallel"]}
    : (tensor<1x12xf32>, tensor<1x12x3xf32>, tensor<1x12x4xf32>) -> (tensor<1x12x4xf32>, tensor<1x3x4xf32>)
  return %y : tensor<1x12x4xf32>
}

// Mamba's selective scan: the decay is one of each channel and state, so there is no product to be had.
// CHECK-LABEL: @selective
// CHECK-NOT: linalg.generic
// CHECK: weir.scan
// CHECK-NOT: weir.scan
// CHECK: return
#dt = affine_map<(b, t, n, d) -> (b, t, d)>
#n = affine_map<(b, t, n, d) -> (b, t, n)>
#nd = affine_map<(b, t, n, d) -> (n, d)>
func.func @selective(%dt: tensor<1x12x4xf32>, %A: tensor<3x4xf32>, %x: tensor<1x12x4xf32>, %B: tensor<1x12x3xf32>, %C: tensor<1x12x3xf32>) -> tensor<1x12x4xf32> {
  %y, %last = weir.scan(%dt, %A, %x, %B, %C) prologue {
  ^bb0(%pdt: f32, %pA: f32, %px: f32, %pB: f32, %pC: f32):
    %l = arith.mulf %pdt, %pA : f32
    %a = math.exp %l : f32
    %dx = arith.mulf %pdt, %px : f32
    %b = arith.mulf %dx, %pB : f32
    weir.yield %a, %b : f32, f32
  } epilogue {
  ^bb0(%h: f32, %pdt: f32, %pA: f32, %px: f32, %pB: f32, %pC: f32):
    %o = arith.mulf %h, %pC : f32
    weir.yield %o : f32
  } {indexing_maps = [#dt, #nd, #dt, #n, #n, #dt], iterator_types = ["parallel", "time", "parallel", "parallel"]}
    : (tensor<1x12x4xf32>, tensor<3x4xf32>, tensor<1x12x4xf32>, tensor<1x12x3xf32>, tensor<1x12x3xf32>) -> (tensor<1x12x4xf32>, tensor<1x3x4xf32>)
  return %y : tensor<1x12x4xf32>
}

// Neither is there one in a state that is read by more than a contraction, or in an update that is a sum of products.
// CHECK-LABEL: @others
// CHECK-COUNT-2: weir.scan
// CHECK-NOT: weir.scan
// CHECK: return
func.func @others(%a: tensor<1x12xf32>, %k: tensor<1x12x3xf32>, %v: tensor<1x12x4xf32>) -> (tensor<1x12x4xf32>, tensor<1x12x4xf32>) {
  %y, %last = weir.scan(%a, %k, %v) prologue {
  ^bb0(%pa: f32, %pk: f32, %pv: f32):
    %b = arith.mulf %pk, %pv : f32
    weir.yield %pa, %b : f32, f32
  } epilogue {
  ^bb0(%h: f32, %pa: f32, %pk: f32, %pv: f32):
    %p = math.tanh %h : f32
    %o = arith.mulf %p, %pk : f32
    weir.yield %o : f32
  } {indexing_maps = [#a1, #k1, #v1, #v1], iterator_types = ["parallel", "time", "parallel", "parallel"]}
    : (tensor<1x12xf32>, tensor<1x12x3xf32>, tensor<1x12x4xf32>) -> (tensor<1x12x4xf32>, tensor<1x3x4xf32>)
  %y2, %last2 = weir.scan(%a, %k, %v) prologue {
  ^bb0(%pa: f32, %pk: f32, %pv: f32):
    %b = arith.mulf %pk, %pv : f32
    %c = arith.addf %b, %pk : f32
    weir.yield %pa, %c : f32, f32
  } epilogue {
  ^bb0(%h: f32, %pa: f32, %pk: f32, %pv: f32):
    %o = arith.mulf %h, %pk : f32
    weir.yield %o : f32
  } {indexing_maps = [#a1, #k1, #v1, #v1], iterator_types = ["parallel", "time", "parallel", "parallel"]}
    : (tensor<1x12xf32>, tensor<1x12x3xf32>, tensor<1x12x4xf32>) -> (tensor<1x12x4xf32>, tensor<1x3x4xf32>)
  return %y, %y2 : tensor<1x12x4xf32>, tensor<1x12x4xf32>
}
