// RUN: weir-opt %s --weir-differentiate --weir-partition | FileCheck %s
// RUN: weir-opt %s --weir-differentiate --weir-partition=recompute=none | FileCheck %s --check-prefix=NONE
// RUN: weir-opt %s --weir-differentiate --weir-optimizer="clip=1.0 no-decay=*.bias" | FileCheck %s --check-prefix=OPTIMIZER

// A product y, and y tanh(y): backward is handed y and the argument x, and applies tanh again. With recompute=none it
// is handed what tanh gave as well.

// CHECK-LABEL: func.func @f_forward(
// CHECK-SAME: %{{.*}}: tensor<8x16xf32> {weir.input = "x"}, %{{.*}}: tensor<32x16xf32> {weir.param = "w"})
// CHECK-SAME: -> (tensor<f32> {weir.output = "loss"}, tensor<8x32xf32> {weir.residual = 0 : i64})
// CHECK-NOT: weir.backward
// CHECK: %[[Y:.*]] = linalg.generic {{.*}} iterator_types = ["parallel", "parallel", "reduction"]
// CHECK: return %{{.*}}, %[[Y]] : tensor<f32>, tensor<8x32xf32>

// CHECK-LABEL: func.func @f_backward(
// CHECK-SAME: %{{.*}}: tensor<8x16xf32> {weir.input = "x"}, %[[RESIDUAL:.*]]: tensor<8x32xf32> {weir.residual = 0 : i64})
// CHECK-SAME: -> (tensor<32x16xf32> {weir.gradient = "w"})
// CHECK-NOT: weir.backward
// CHECK: math.tanh %[[RESIDUAL]]

// NONE-LABEL: func.func @f_backward(
// NONE-SAME: tensor<8x32xf32> {weir.residual = 0 : i64}, %{{.*}}: tensor<8x32xf32> {weir.residual = 1 : i64})
// NONE-NOT: math.tanh
// NONE-LABEL: func.func @weights_forward(

// Adam's scalars come from one generic, then there is one for each parameter.
// OPTIMIZER-LABEL: func.func @f_optimizer(
// OPTIMIZER-SAME: tensor<32x16xf32> {weir.gradient = "w"}, %{{.*}}: tensor<32x16xf32> {weir.param = "w"},
// OPTIMIZER-SAME: tensor<32x16xf32> {weir.variable = "optimizer.m.w"}, %{{.*}}: tensor<32x16xf32> {weir.variable = "optimizer.v.w"},
// OPTIMIZER-SAME: tensor<2xi64> {weir.rng}, %{{.*}}: tensor<f32> {weir.output = "loss"}
// OPTIMIZER-SAME: tensor<f32> {weir.output = "gradient_norm"}, tensor<f32> {weir.output = "learning_rate"}, tensor<f32> {weir.output = "finite"}
// OPTIMIZER: linalg.generic {{.*}} iterator_types = ["reduction", "reduction"]
// OPTIMIZER: %[[SCALARS:.*]]:7 = linalg.generic {{.*}} iterator_types = []
// OPTIMIZER: linalg.generic {{.*}} iterator_types = ["parallel", "parallel"]{{.*}} ins(%arg0, %arg1, %arg2, %arg3, %[[SCALARS]]#2
func.func @f(%x: tensor<8x16xf32> {weir.input = "x"}, %w: tensor<32x16xf32> {weir.param = "w"})
    -> (tensor<f32> {weir.output = "loss"}) {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<8x32xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<8x32xf32>) -> tensor<8x32xf32>
  %y = linalg.generic {indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>,
      affine_map<(m, n, k) -> (m, n)>], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%x, %w : tensor<8x16xf32>, tensor<32x16xf32>) outs(%f : tensor<8x32xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %0 = arith.mulf %a, %b : f32
    %1 = arith.addf %o, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<8x32xf32>
  %t = math.tanh %y : tensor<8x32xf32>
  %u = arith.mulf %y, %t : tensor<8x32xf32>
  %es = tensor.empty() : tensor<f32>
  %z = linalg.fill ins(%zero : f32) outs(%es : tensor<f32>) -> tensor<f32>
  %l = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> ()>],
      iterator_types = ["reduction", "reduction"]} ins(%u : tensor<8x32xf32>) outs(%z : tensor<f32>) {
  ^bb0(%a: f32, %o: f32):
    %1 = arith.addf %o, %a : f32
    linalg.yield %1 : f32
  } -> tensor<f32>
  return %l : tensor<f32>
}

// The gradient of the weight v reads tanh(y), rounded, from memory: it is kept, as writing it again would cost more.
// CHECK-LABEL: func.func @weights_backward(
// CHECK-SAME: tensor<8x32xbf16> {weir.residual
// CHECK-NOT: math.tanh
// CHECK: return
func.func @weights(%y: tensor<8x32xf32> {weir.input = "y"}, %v: tensor<32x16xf32> {weir.param = "v"})
    -> (tensor<f32> {weir.output = "loss"}) {
  %zero = arith.constant 0.0 : f32
  %t = math.tanh %y : tensor<8x32xf32>
  %n = arith.truncf %t : tensor<8x32xf32> to tensor<8x32xbf16>
  %w = arith.truncf %v : tensor<32x16xf32> to tensor<32x16xbf16>
  %e = tensor.empty() : tensor<8x16xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<8x16xf32>) -> tensor<8x16xf32>
  %z = linalg.generic {indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (k, n)>,
      affine_map<(m, n, k) -> (m, n)>], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%n, %w : tensor<8x32xbf16>, tensor<32x16xbf16>) outs(%f : tensor<8x16xf32>) {
  ^bb0(%a: bf16, %b: bf16, %o: f32):
    %0 = arith.extf %a : bf16 to f32
    %1 = arith.extf %b : bf16 to f32
    %2 = arith.mulf %0, %1 : f32
    %3 = arith.addf %o, %2 : f32
    linalg.yield %3 : f32
  } -> tensor<8x16xf32>
  %es = tensor.empty() : tensor<f32>
  %g = linalg.fill ins(%zero : f32) outs(%es : tensor<f32>) -> tensor<f32>
  %l = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> ()>],
      iterator_types = ["reduction", "reduction"]} ins(%z : tensor<8x16xf32>) outs(%g : tensor<f32>) {
  ^bb0(%a: f32, %o: f32):
    %0 = arith.addf %o, %a : f32
    linalg.yield %0 : f32
  } -> tensor<f32>
  return %l : tensor<f32>
}
