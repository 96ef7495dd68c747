// RUN: weir-opt %s --split-input-file --weir-decompose --weir-fuse-elementwise --weir-dispatch | FileCheck %s
// RUN: weir-opt %s --split-input-file --weir-decompose --weir-fuse-elementwise --weir-dispatch=weight-bytes=1000 | FileCheck %s --check-prefix=LARGE
// RUN: weir-opt %s --split-input-file --weir-decompose --weir-fuse-elementwise --weir-dispatch=scratch-bytes=4096 | FileCheck %s --check-prefix=TIGHT

// A norm, two products with small weights, the activation between them, the residual and its sum over all rows: one
// kernel, which has the rows as the first loops of the sum.
// CHECK-LABEL: func.func @layer
// CHECK: %[[Y:.*]]:2 = weir.launch @[[K:.*]](%arg0, %arg1, %arg2, %arg3, %arg4)
// CHECK-NOT: weir.launch
// CHECK: return %[[Y]]#0, %[[Y]]#1
// CHECK: func.func private @[[K]]
// CHECK-SAME: weir.kernel, weir.row_rank = 2 : i64
// CHECK-COUNT-6: linalg.generic
// CHECK: linalg.generic {{.*}}iterator_types = ["reduction", "reduction", "parallel"]

// Weights that don't fit the cache together: one product each, with what surrounds it.
// LARGE-LABEL: func.func @layer
// LARGE-COUNT-2: weir.launch
// LARGE-NOT: weir.launch
// LARGE: func.func private

// No room for rows of 128 between the products.
// TIGHT-LABEL: func.func @layer
// TIGHT-COUNT-3: weir.launch
// TIGHT: func.func private
#x = affine_map<(b, t, n, k) -> (b, t, k)>
#w = affine_map<(b, t, n, k) -> (n, k)>
#y = affine_map<(b, t, n, k) -> (b, t, n)>
#f = affine_map<(b, t, d) -> (b, t, d)>
#r = affine_map<(b, t, d) -> (b, t)>
#v = affine_map<(b, t, d) -> (d)>
func.func @layer(%x: tensor<16x80x64xf32>, %g: tensor<64xf32>, %w1: tensor<128x64xf32>, %b1: tensor<128xf32>,
                 %w2: tensor<64x128xf32>) -> (tensor<16x80x64xf32>, tensor<64xf32>) {
  %z = arith.constant 0.0 : f32
  %c = arith.constant 64.0 : f32
  %e2 = tensor.empty() : tensor<16x80xf32>
  %f2 = linalg.fill ins(%z : f32) outs(%e2 : tensor<16x80xf32>) -> tensor<16x80xf32>
  %s = linalg.generic {indexing_maps = [#f, #r], iterator_types = ["parallel", "parallel", "reduction"]} ins(%x : tensor<16x80x64xf32>) outs(%f2 : tensor<16x80xf32>) {
  ^bb0(%a: f32, %o: f32):
    %m = arith.mulf %a, %a : f32
    %q = arith.addf %o, %m : f32
    linalg.yield %q : f32
  } -> tensor<16x80xf32>
  %e3 = tensor.empty() : tensor<16x80x64xf32>
  %n = linalg.generic {indexing_maps = [#f, #r, #v, #f], iterator_types = ["parallel", "parallel", "parallel"]} ins(%x, %s, %g : tensor<16x80x64xf32>, tensor<16x80xf32>, tensor<64xf32>) outs(%e3 : tensor<16x80x64xf32>) {
  ^bb0(%a: f32, %b: f32, %gg: f32, %o: f32):
    %d = arith.divf %b, %c : f32
    %rs = math.rsqrt %d : f32
    %m = arith.mulf %a, %rs : f32
    %m2 = arith.mulf %m, %gg : f32
    linalg.yield %m2 : f32
  } -> tensor<16x80x64xf32>
  %e4 = tensor.empty() : tensor<16x80x128xf32>
  %f4 = linalg.fill ins(%z : f32) outs(%e4 : tensor<16x80x128xf32>) -> tensor<16x80x128xf32>
  %h = linalg.generic {indexing_maps = [#x, #w, #y], iterator_types = ["parallel", "parallel", "parallel", "reduction"]} ins(%n, %w1 : tensor<16x80x64xf32>, tensor<128x64xf32>) outs(%f4 : tensor<16x80x128xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %m = arith.mulf %a, %b : f32
    %q = arith.addf %o, %m : f32
    linalg.yield %q : f32
  } -> tensor<16x80x128xf32>
  %hs = linalg.generic {indexing_maps = [#f, #v, #f], iterator_types = ["parallel", "parallel", "parallel"]} ins(%h, %b1 : tensor<16x80x128xf32>, tensor<128xf32>) outs(%e4 : tensor<16x80x128xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %q = arith.addf %a, %b : f32
    %m = arith.mulf %q, %q : f32
    linalg.yield %m : f32
  } -> tensor<16x80x128xf32>
  %f3 = linalg.fill ins(%z : f32) outs(%e3 : tensor<16x80x64xf32>) -> tensor<16x80x64xf32>
  %h2 = linalg.generic {indexing_maps = [#x, #w, #y], iterator_types = ["parallel", "parallel", "parallel", "reduction"]} ins(%hs, %w2 : tensor<16x80x128xf32>, tensor<64x128xf32>) outs(%f3 : tensor<16x80x64xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %m = arith.mulf %a, %b : f32
    %q = arith.addf %o, %m : f32
    linalg.yield %q : f32
  } -> tensor<16x80x64xf32>
  %y = arith.addf %x, %h2 : tensor<16x80x64xf32>
  %e1 = tensor.empty() : tensor<64xf32>
  %f1 = linalg.fill ins(%z : f32) outs(%e1 : tensor<64xf32>) -> tensor<64xf32>
  %bg = linalg.generic {indexing_maps = [#f, #v], iterator_types = ["reduction", "reduction", "parallel"]} ins(%y : tensor<16x80x64xf32>) outs(%f1 : tensor<64xf32>) {
  ^bb0(%a: f32, %o: f32):
    %q = arith.addf %o, %a : f32
    linalg.yield %q : f32
  } -> tensor<64xf32>
  return %y, %bg : tensor<16x80x64xf32>, tensor<64xf32>
}

// -----

#id2 = affine_map<(i, j) -> (i, j)>
#tr = affine_map<(i, j) -> (j, i)>

// A transposed read shares no leading rows with what wrote it.
// CHECK-LABEL: func.func @transposed
// CHECK-COUNT-2: weir.launch
// CHECK: return
func.func @transposed(%x: tensor<32x64xf32>) -> (tensor<64x32xf32>, tensor<32x64xf32>) {
  %0 = math.exp %x : tensor<32x64xf32>
  %z = arith.constant dense<0.0> : tensor<32xf32>
  %s = linalg.reduce { arith.addf } ins(%0 : tensor<32x64xf32>) outs(%z : tensor<32xf32>) dimensions = [1]
  %e = tensor.empty() : tensor<64x32xf32>
  %1 = linalg.generic {indexing_maps = [#tr, affine_map<(i, j) -> (j)>, #id2], iterator_types = ["parallel", "parallel"]}
      ins(%0, %s : tensor<32x64xf32>, tensor<32xf32>) outs(%e : tensor<64x32xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %q = arith.mulf %a, %b : f32
    linalg.yield %q : f32
  } -> tensor<64x32xf32>
  return %1, %0 : tensor<64x32xf32>, tensor<32x64xf32>
}

// -----

#id2 = affine_map<(i, j) -> (i, j)>

// A slice of features between ops of a kernel stays inside; one that leaves the kernel is the host's.
// CHECK-LABEL: func.func @slices
// CHECK-SAME: (%[[X:.*]]: tensor<32x64xf32>)
// CHECK: %[[R:.*]]:2 = weir.launch @[[G:.*]](%[[X]])
// CHECK: %[[V:.*]] = tensor.extract_slice %[[R]]#{{[01]}}[0, 32]
// CHECK: return
// CHECK: func.func private @[[G]]
// CHECK: tensor.extract_slice
// CHECK: return
func.func @slices(%x: tensor<32x64xf32>) -> (tensor<32x32xf32>, tensor<32x32xf32>) {
  %0 = math.exp %x : tensor<32x64xf32>
  %u = tensor.extract_slice %0[0, 0] [32, 32] [1, 1] : tensor<32x64xf32> to tensor<32x32xf32>
  %v = tensor.extract_slice %0[0, 32] [32, 32] [1, 1] : tensor<32x64xf32> to tensor<32x32xf32>
  %1 = math.tanh %u : tensor<32x32xf32>
  return %1, %v : tensor<32x32xf32>, tensor<32x32xf32>
}

// -----

#id2 = affine_map<(i, j) -> (i, j)>

// Three results of one optimizer step are one kernel.
// CHECK-LABEL: func.func @update
// CHECK-COUNT-1: weir.launch
// CHECK-NOT: weir.launch
// CHECK: return
func.func @update(%p: tensor<64xf32>, %m: tensor<64xf32>, %g: tensor<64xf32>) -> (tensor<64xf32>, tensor<64xf32>) {
  %0 = math.exp %g : tensor<64xf32>
  %m1 = arith.addf %m, %0 : tensor<64xf32>
  %1 = math.sqrt %m1 : tensor<64xf32>
  %p1 = arith.subf %p, %1 : tensor<64xf32>
  return %p1, %m1 : tensor<64xf32>, tensor<64xf32>
}

// -----

#id2 = affine_map<(i, j) -> (i, j)>

// An op that must run between two others keeps them apart: a sum over all rows, in a normalization by the total.
// CHECK-LABEL: func.func @total
// CHECK-COUNT-3: weir.launch
// CHECK: return
func.func @total(%x: tensor<32x64xf32>) -> tensor<32x64xf32> {
  %0 = math.exp %x : tensor<32x64xf32>
  %z = arith.constant dense<0.0> : tensor<f32>
  %s = linalg.generic {indexing_maps = [#id2, affine_map<(i, j) -> ()>], iterator_types = ["reduction", "reduction"]}
      ins(%0 : tensor<32x64xf32>) outs(%z : tensor<f32>) {
  ^bb0(%a: f32, %o: f32):
    %q = arith.addf %a, %o : f32
    linalg.yield %q : f32
  } -> tensor<f32>
  %e = tensor.empty() : tensor<32x64xf32>
  %1 = linalg.generic {indexing_maps = [#id2, affine_map<(i, j) -> ()>, #id2], iterator_types = ["parallel", "parallel"]}
      ins(%0, %s : tensor<32x64xf32>, tensor<f32>) outs(%e : tensor<32x64xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %q = arith.divf %a, %b : f32
    linalg.yield %q : f32
  } -> tensor<32x64xf32>
  return %1 : tensor<32x64xf32>
}

// -----

// A shifted view of what comes from elsewhere doesn't cost the kernel its rows.
// CHECK-LABEL: func.func @shifted
// CHECK: tensor.extract_slice
// CHECK: weir.launch
// CHECK-NOT: weir.launch
// CHECK: return
// CHECK: weir.row_rank = 2 : i64
func.func @shifted(%x: tensor<4x33x64xf32>, %w: tensor<64x64xf32>) -> tensor<4x32x64xf32> {
  %s = tensor.extract_slice %x[0, 1, 0] [4, 32, 64] [1, 1, 1] : tensor<4x33x64xf32> to tensor<4x32x64xf32>
  %e = math.exp %s : tensor<4x32x64xf32>
  %zero = arith.constant dense<0.0> : tensor<4x32x64xf32>
  %y = linalg.generic {indexing_maps = [affine_map<(b, t, n, k) -> (b, t, k)>, affine_map<(b, t, n, k) -> (n, k)>,
                                        affine_map<(b, t, n, k) -> (b, t, n)>],
                       iterator_types = ["parallel", "parallel", "parallel", "reduction"]}
      ins(%e, %w : tensor<4x32x64xf32>, tensor<64x64xf32>) outs(%zero : tensor<4x32x64xf32>) {
  ^bb0(%a: f32, %b: f32, %acc: f32):
    %m = arith.mulf %a, %b : f32
    %q = arith.addf %acc, %m : f32
    linalg.yield %q : f32
  } -> tensor<4x32x64xf32>
  return %y : tensor<4x32x64xf32>
}

// -----

// A sum over rows is complete after the last of them: what reads it is no part of the kernel that makes it. A sum alone
// has no rows.
// CHECK-LABEL: func.func @centred
// CHECK: %[[S:.*]] = weir.launch @[[SUM:k_sum.*]](%arg0)
// CHECK: weir.launch @{{.*}}(%[[S]], %arg0) {weir.apart = ["it is a sum over rows, complete after the last one", ""]}
// CHECK: func.func private @[[SUM]]
// CHECK-SAME: weir.row_rank = 0 : i64
#f = affine_map<(b, t, d) -> (b, t, d)>
#v = affine_map<(b, t, d) -> (d)>
func.func @centred(%x: tensor<16x80x64xf32>) -> tensor<16x80x64xf32> {
  %z = arith.constant 0.0 : f32
  %e1 = tensor.empty() : tensor<64xf32>
  %f1 = linalg.fill ins(%z : f32) outs(%e1 : tensor<64xf32>) -> tensor<64xf32>
  %s = linalg.generic {indexing_maps = [#f, #v], iterator_types = ["reduction", "reduction", "parallel"]} ins(%x : tensor<16x80x64xf32>) outs(%f1 : tensor<64xf32>) {
  ^bb0(%a: f32, %o: f32):
    %q = arith.addf %o, %a : f32
    linalg.yield %q : f32
  } -> tensor<64xf32>
  %e = tensor.empty() : tensor<16x80x64xf32>
  %y = linalg.generic {indexing_maps = [#v, #f, #f], iterator_types = ["parallel", "parallel", "parallel"]} ins(%s, %x : tensor<64xf32>, tensor<16x80x64xf32>) outs(%e : tensor<16x80x64xf32>) {
  ^bb0(%m: f32, %a: f32, %o: f32):
    %q = arith.subf %a, %m : f32
    linalg.yield %q : f32
  } -> tensor<16x80x64xf32>
  return %y : tensor<16x80x64xf32>
}
