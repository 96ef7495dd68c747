// RUN: weir-opt %s --split-input-file --weir-dispatch | FileCheck %s
// RUN: weir-opt %s --split-input-file --weir-dispatch --weir-plan | FileCheck %s --check-prefix=PLAN
// RUN: weir-opt %s --split-input-file --weir-dispatch=max-ops=1 | FileCheck %s --check-prefix=APART

// An optimizer: all sums of squares are one launch, all updates another; what is rounded after an update is part of it.
// CHECK-LABEL: func.func @step
// CHECK: %[[SUMS:.*]]:2 = weir.launch @[[SUM:k_sweep.*]](%arg0, %arg1) :
// CHECK: %[[SCALE:.*]] = weir.launch @k_elementwise
// CHECK-SAME: (%[[SUMS]]#0, %[[SUMS]]#1)
// CHECK: %[[NEW:.*]]:3 = weir.launch @[[UPDATE:k_sweep.*]](%arg1, %arg3, %[[SCALE]], %arg0, %arg2)
// CHECK-NOT: weir.launch
// CHECK: return %[[NEW]]#1, %[[NEW]]#0, %[[NEW]]#2
// CHECK: func.func private @[[SUM]](
// CHECK-COUNT-2: linalg.generic {{.*}}iterator_types = ["reduction"{{.*}}weir.sweep = 0
// CHECK: func.func private @[[UPDATE]](
// CHECK: linalg.generic {{.*}}weir.sweep = 1
// CHECK: linalg.generic {{.*}}weir.sweep = 1
// CHECK: %[[P:.*]] = arith.addf
// CHECK-NEXT: %[[R:.*]] = arith.truncf %[[P]]
// CHECK-NEXT: linalg.yield %[[P]], %[[R]]

// New values are written over the old ones.
// PLAN-LABEL: func.func @step
// PLAN: weir.launch @k_sweep{{.*}}buffers = ["input 0", "input 1", "arena + {{.*}}", "arena + {{.*}}"]
// PLAN: weir.launch @k_sweep{{.*}}buffers = ["input 1", "variable 1", "arena + {{.*}}", "input 0", "variable 0", "variable 1", "variable 0", "variable 2"]
// PLAN: func.func private @k_sweep{{.*}}-> (tensor<7xf32> {weir.tied = 1 : i64}, tensor<3x5xf32> {weir.tied = 4 : i64}, tensor<3x5xbf16>)

// APART-LABEL: func.func @step
// APART-NOT: k_sweep
// APART: return
#id = affine_map<(i, j) -> (i, j)>
#none = affine_map<(i, j) -> ()>
#id1 = affine_map<(i) -> (i)>
#none1 = affine_map<(i) -> ()>
#nothing = affine_map<() -> ()>
func.func @step(%g: tensor<3x5xf32> {weir.input = "g"}, %h: tensor<7xf32> {weir.input = "h"},
                %p: tensor<3x5xf32> {weir.variable = "p"}, %q: tensor<7xf32> {weir.variable = "q"})
    -> (tensor<3x5xf32> {weir.variable = "p"}, tensor<7xf32> {weir.variable = "q"},
        tensor<3x5xbf16> {weir.variable = "prepared.0"}) attributes {weir.entry} {
  %z = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<f32>
  %f = linalg.fill ins(%z : f32) outs(%e : tensor<f32>) -> tensor<f32>
  %gg = linalg.generic {indexing_maps = [#id, #none], iterator_types = ["reduction", "reduction"]} ins(%g : tensor<3x5xf32>) outs(%f : tensor<f32>) {
  ^bb0(%a: f32, %o: f32):
    %m = arith.mulf %a, %a : f32
    %s = arith.addf %o, %m : f32
    linalg.yield %s : f32
  } -> tensor<f32>
  %hh = linalg.generic {indexing_maps = [#id1, #none1], iterator_types = ["reduction"]} ins(%h : tensor<7xf32>) outs(%f : tensor<f32>) {
  ^bb0(%a: f32, %o: f32):
    %m = arith.mulf %a, %a : f32
    %s = arith.addf %o, %m : f32
    linalg.yield %s : f32
  } -> tensor<f32>
  %c = linalg.generic {indexing_maps = [#nothing, #nothing, #nothing], iterator_types = []} ins(%gg, %hh : tensor<f32>, tensor<f32>) outs(%e : tensor<f32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %s = arith.addf %a, %b : f32
    linalg.yield %s : f32
  } -> tensor<f32>
  %e2 = tensor.empty() : tensor<3x5xf32>
  %np = linalg.generic {indexing_maps = [#id, #id, #none, #id], iterator_types = ["parallel", "parallel"]} ins(%g, %p, %c : tensor<3x5xf32>, tensor<3x5xf32>, tensor<f32>) outs(%e2 : tensor<3x5xf32>) {
  ^bb0(%a: f32, %b: f32, %k: f32, %o: f32):
    %m = arith.mulf %a, %k : f32
    %s = arith.addf %b, %m : f32
    linalg.yield %s : f32
  } -> tensor<3x5xf32>
  %e1 = tensor.empty() : tensor<7xf32>
  %nq = linalg.generic {indexing_maps = [#id1, #id1, #none1, #id1], iterator_types = ["parallel"]} ins(%h, %q, %c : tensor<7xf32>, tensor<7xf32>, tensor<f32>) outs(%e1 : tensor<7xf32>) {
  ^bb0(%a: f32, %b: f32, %k: f32, %o: f32):
    %m = arith.mulf %a, %k : f32
    %s = arith.addf %b, %m : f32
    linalg.yield %s : f32
  } -> tensor<7xf32>
  %eb = tensor.empty() : tensor<3x5xbf16>
  %r = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]} ins(%np : tensor<3x5xf32>) outs(%eb : tensor<3x5xbf16>) {
  ^bb0(%a: f32, %o: bf16):
    %t = arith.truncf %a : f32 to bf16
    linalg.yield %t : bf16
  } -> tensor<3x5xbf16>
  return %np, %nq, %r : tensor<3x5xf32>, tensor<7xf32>, tensor<3x5xbf16>
}

// -----

// No sweep: of an op alone, of one whose result another kernel reads, and of a transposition.
// CHECK-LABEL: func.func @alone
// CHECK-NOT: k_sweep
// CHECK: return
// PLAN-LABEL: func.func @alone
#id = affine_map<(i, j) -> (i, j)>
#t = affine_map<(i, j) -> (j, i)>
func.func @alone(%x: tensor<4x8xf32> {weir.input = "x"}, %y: tensor<4x8xf32> {weir.input = "y"})
    -> (tensor<4x8xf32> {weir.output = "a"}, tensor<8x4xf32> {weir.output = "b"}) attributes {weir.entry} {
  %e = tensor.empty() : tensor<4x8xf32>
  %a = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]} ins(%x : tensor<4x8xf32>) outs(%e : tensor<4x8xf32>) {
  ^bb0(%v: f32, %o: f32):
    %n = arith.negf %v : f32
    linalg.yield %n : f32
  } -> tensor<4x8xf32>
  %m = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]} ins(%y : tensor<4x8xf32>) outs(%e : tensor<4x8xf32>) {
  ^bb0(%v: f32, %o: f32):
    %n = arith.negf %v : f32
    linalg.yield %n : f32
  } -> tensor<4x8xf32>
  %te = tensor.empty() : tensor<8x4xf32>
  %b = linalg.generic {indexing_maps = [#t, #id], iterator_types = ["parallel", "parallel"]} ins(%m : tensor<4x8xf32>) outs(%te : tensor<8x4xf32>) {
  ^bb0(%v: f32, %o: f32):
    linalg.yield %v : f32
  } -> tensor<8x4xf32>
  return %a, %b : tensor<4x8xf32>, tensor<8x4xf32>
}
