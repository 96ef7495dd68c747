// RUN: weir-opt %s --weir-differentiate --split-input-file --verify-diagnostics | FileCheck %s
// RUN: weir-opt %s --weir-differentiate=inputs=true --split-input-file --verify-diagnostics | FileCheck %s --check-prefix=INPUTS
// RUN: weir-opt %s --weir-differentiate=seed=cotangents --split-input-file --verify-diagnostics | FileCheck %s --check-prefix=SEEDS

// A product of bf16 operands: the gradient of the weight is again a product of bf16 operands, summed in f32, and stays
// f32 up to the master weight.

// CHECK-LABEL: func.func @product
// CHECK-SAME: tensor<f32> {weir.output = "loss"}, tensor<5x4xf32> {weir.gradient = "w"}
// CHECK: %[[XB:.*]] = arith.truncf %arg0 : tensor<2x3x4xf32>
// CHECK: %[[DYB:.*]] = arith.truncf %{{.*}} {weir.backward} : tensor<2x3x5xf32> to tensor<2x3x5xbf16>
// CHECK: %[[DW:.*]] = linalg.generic
// CHECK-SAME: iterator_types = ["parallel", "parallel", "reduction", "reduction"]
// CHECK-SAME: ins(%[[XB]], %[[DYB]] : tensor<2x3x4xbf16>, tensor<2x3x5xbf16>)
// CHECK-SAME: attrs = {weir.backward}
// CHECK: -> tensor<5x4xf32>
// CHECK: return %{{.*}}, %[[DW]]
// INPUTS-LABEL: func.func @product
// INPUTS-SAME: tensor<2x3x4xf32> {weir.gradient = "x"}, tensor<5x4xf32> {weir.gradient = "w"}
// SEEDS-LABEL: func.func @product
// SEEDS-SAME: tensor<f32> {weir.cotangent = "loss"}
func.func @product(%x: tensor<2x3x4xf32> {weir.input = "x"}, %w: tensor<5x4xf32> {weir.param = "w"})
    -> (tensor<f32> {weir.output = "loss"}) {
  %zero = arith.constant 0.0 : f32
  %xb = arith.truncf %x : tensor<2x3x4xf32> to tensor<2x3x4xbf16>
  %ew = tensor.empty() : tensor<5x4xbf16>
  %wb = linalg.generic {indexing_maps = [affine_map<(n, k) -> (n, k)>, affine_map<(n, k) -> (n, k)>],
      iterator_types = ["parallel", "parallel"]} ins(%w : tensor<5x4xf32>) outs(%ew : tensor<5x4xbf16>) {
  ^bb0(%a: f32, %o: bf16):
    %0 = arith.truncf %a : f32 to bf16
    linalg.yield %0 : bf16
  } -> tensor<5x4xbf16>
  %e = tensor.empty() : tensor<2x3x5xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<2x3x5xf32>) -> tensor<2x3x5xf32>
  %y = linalg.generic {indexing_maps = [affine_map<(b, t, n, k) -> (b, t, k)>, affine_map<(b, t, n, k) -> (n, k)>,
      affine_map<(b, t, n, k) -> (b, t, n)>], iterator_types = ["parallel", "parallel", "parallel", "reduction"]}
      ins(%xb, %wb : tensor<2x3x4xbf16>, tensor<5x4xbf16>) outs(%f : tensor<2x3x5xf32>) {
  ^bb0(%a: bf16, %b: bf16, %o: f32):
    %0 = arith.extf %a : bf16 to f32
    %1 = arith.extf %b : bf16 to f32
    %2 = arith.mulf %0, %1 : f32
    %3 = arith.addf %o, %2 : f32
    linalg.yield %3 : f32
  } -> tensor<2x3x5xf32>
  %s = tensor.empty() : tensor<f32>
  %z = linalg.fill ins(%zero : f32) outs(%s : tensor<f32>) -> tensor<f32>
  %l = linalg.generic {indexing_maps = [affine_map<(b, t, d) -> (b, t, d)>, affine_map<(b, t, d) -> ()>],
      iterator_types = ["reduction", "reduction", "reduction"]} ins(%y : tensor<2x3x5xf32>) outs(%z : tensor<f32>) {
  ^bb0(%a: f32, %o: f32):
    %0 = math.exp %a : f32
    %1 = arith.addf %o, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<f32>
  return %l : tensor<f32>
}

// -----

// The pieces of a split come back as one concatenation, without zeros and sums.

// CHECK-LABEL: func.func @split
// CHECK: %[[WHOLE:.*]] = tensor.concat dim(1) %{{.*}}, %{{.*}} {weir.backward} : (tensor<2x2xf32>, tensor<2x3xf32>)
// CHECK-NOT: tensor.insert_slice
// CHECK: return %{{.*}}, %[[WHOLE]]
func.func @split(%w: tensor<2x5xf32> {weir.param = "w"}) -> (tensor<f32> {weir.output = "loss"}) {
  %zero = arith.constant 0.0 : f32
  %u = tensor.extract_slice %w[0, 0] [2, 2] [1, 1] : tensor<2x5xf32> to tensor<2x2xf32>
  %v = tensor.extract_slice %w[0, 2] [2, 3] [1, 1] : tensor<2x5xf32> to tensor<2x3xf32>
  %s = tensor.empty() : tensor<f32>
  %z = linalg.fill ins(%zero : f32) outs(%s : tensor<f32>) -> tensor<f32>
  %l = linalg.generic {indexing_maps = [affine_map<(b, d) -> (b, d)>, affine_map<(b, d) -> ()>],
      iterator_types = ["reduction", "reduction"]} ins(%u : tensor<2x2xf32>) outs(%z : tensor<f32>) {
  ^bb0(%a: f32, %o: f32):
    %0 = math.exp %a : f32
    %1 = arith.addf %o, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<f32>
  %m = linalg.generic {indexing_maps = [affine_map<(b, d) -> (b, d)>, affine_map<(b, d) -> ()>],
      iterator_types = ["reduction", "reduction"]} ins(%v : tensor<2x3xf32>) outs(%l : tensor<f32>) {
  ^bb0(%a: f32, %o: f32):
    %0 = math.sin %a : f32
    %1 = arith.addf %o, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<f32>
  return %m : tensor<f32>
}

// -----

// One parameter the loss does not depend on, one that only a stopped op reads, and one that linalg's named ops read.

// CHECK-LABEL: func.func @stopped
// CHECK: %[[A:.*]] = linalg.fill {weir.backward}
// CHECK: %[[B:.*]] = linalg.fill {weir.backward}
// CHECK: return %{{.*}}, %[[A]], %[[B]], %{{.*}}
func.func @stopped(%a: tensor<4xf32> {weir.param = "a"}, %b: tensor<4xf32> {weir.param = "b"},
                   %c: tensor<4xf32> {weir.param = "c"}) -> (tensor<f32> {weir.output = "loss"}) {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<f32>
  %z = linalg.fill ins(%zero : f32) outs(%e : tensor<f32>) -> tensor<f32>
  %n = math.exp %b {weir.stop_gradient} : tensor<4xf32>
  %m = linalg.dot ins(%n, %c : tensor<4xf32>, tensor<4xf32>) outs(%z : tensor<f32>) -> tensor<f32>
  return %m : tensor<f32>
}

// -----

func.func @maximum(%w: tensor<4xf32> {weir.param = "w"}) -> (tensor<f32> {weir.output = "loss"}) {
  %low = arith.constant 0xFF800000 : f32
  %s = tensor.empty() : tensor<f32>
  %z = linalg.fill ins(%low : f32) outs(%s : tensor<f32>) -> tensor<f32>
  // expected-error @+2 {{'linalg.generic' op has no gradient: result #0 reduces by something other than a sum}}
  // expected-note @+1 {{mark the op with 'weir.stop_gradient' if it is to count as a constant}}
  %l = linalg.generic {indexing_maps = [affine_map<(d) -> (d)>, affine_map<(d) -> ()>], iterator_types = ["reduction"]}
      ins(%w : tensor<4xf32>) outs(%z : tensor<f32>) {
  ^bb0(%a: f32, %o: f32):
    %1 = arith.maximumf %o, %a : f32
    linalg.yield %1 : f32
  } -> tensor<f32>
  return %l : tensor<f32>
}

// -----

func.func @unknown(%w: tensor<f32> {weir.param = "w"}) -> (tensor<f32> {weir.output = "loss"}) {
  %k = arith.constant dense<2.0> : tensor<f32>
  // expected-error @+1 {{'arith.remf' op has no gradient: it implements no DifferentiableOpInterface}}
  %l = arith.remf %w, %k : tensor<f32>
  return %l : tensor<f32>
}

// -----

// A scan gives one weir.scan_vjp, and is asked for its chunk states where it had none.

// SEEDS-LABEL: func.func @scan
// SEEDS: %[[SCAN:.*]]:3 = weir.scan(%arg0, %arg1) chunk(16) prologue
// SEEDS-NOT: weir.scan(
// SEEDS: %[[VJP:.*]]:2 = weir.scan_vjp(%arg0, %arg1) states(%[[SCAN]]#2) cotangents(%arg2) chunk(16)
// SEEDS: return %[[SCAN]]#0, %[[VJP]]#0, %[[VJP]]#1
func.func @scan(%a: tensor<2x40x3xf32> {weir.param = "a"}, %b: tensor<2x40x3xf32> {weir.param = "b"})
    -> (tensor<2x40x3xf32> {weir.output = "y"}) {
  %y, %last = weir.scan(%a, %b) : (tensor<2x40x3xf32>, tensor<2x40x3xf32>) -> (tensor<2x40x3xf32>, tensor<2x3xf32>)
  return %y : tensor<2x40x3xf32>
}

// -----

// The product in the step of a recurrence is computed for all times at once: along time only the one that carries cotangents
// is left.

// CHECK-LABEL: func.func @recurrence
// CHECK: %[[ALL:.*]] = linalg.generic {{.*}} ins(%{{.*}}, %arg1 : tensor<10x4xf32>, tensor<4x4xf32>)
// CHECK: %[[TIMES:.*]] = tensor.expand_shape %[[ALL]]
// CHECK: weir.recurrence ({{.*}}, %[[P:.*]] = %[[TIMES]] : tensor<2x5x4xf32>) from {{.*}} reverse {
// CHECK-NEXT: arith.addf %[[P]], %
// CHECK: linalg.generic {{.*}}"reduction"
// CHECK-NOT: "reduction"
// CHECK: weir.yield
func.func @recurrence(%x: tensor<2x5x4xf32> {weir.input = "x"}, %w: tensor<4x4xf32> {weir.param = "w"})
    -> (tensor<f32> {weir.output = "loss"}) {
  %zeros = arith.constant dense<0.0> : tensor<2x4xf32>
  %y, %last = weir.recurrence (%xt = %x : tensor<2x5x4xf32>) from (%h = %zeros : tensor<2x4xf32>) using (%u = %w : tensor<4x4xf32>) {
    %a = weir.linear %h params(%u : tensor<4x4xf32>) : tensor<2x4xf32>
    %s = arith.addf %a, %xt : tensor<2x4xf32>
    %n = math.tanh %s : tensor<2x4xf32>
    weir.yield %n, %n : tensor<2x4xf32>, tensor<2x4xf32>
  } -> tensor<2x5x4xf32>, tensor<2x4xf32>
  %zero = arith.constant dense<0.0> : tensor<f32>
  %loss = linalg.generic {indexing_maps = [affine_map<(b, t, d) -> (b, t, d)>, affine_map<(b, t, d) -> ()>],
      iterator_types = ["reduction", "reduction", "reduction"]} ins(%y : tensor<2x5x4xf32>) outs(%zero : tensor<f32>) {
  ^bb0(%a: f32, %o: f32):
    %0 = arith.addf %o, %a : f32
    linalg.yield %0 : f32
  } -> tensor<f32>
  return %loss : tensor<f32>
}
