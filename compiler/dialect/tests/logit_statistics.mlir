// RUN: weir-opt %s --split-input-file --verify-diagnostics | weir-opt --split-input-file | FileCheck %s
// RUN: weir-opt %s --split-input-file --verify-diagnostics --weir-decompose=whole=false | FileCheck %s --check-prefix=TAKEN

// CHECK-LABEL: func @forward
// TAKEN-LABEL: func @forward
func.func @forward(%x: tensor<2x5x3xbf16>, %w: tensor<11x3xbf16>, %t: tensor<2x5xi32>) -> (tensor<2x5xf32>, tensor<2x5xf32>, tensor<2x5xf32>) {
  // CHECK: weir.logit_statistics %{{.*}}, %{{.*}}, %{{.*}} : tensor<2x5x3xbf16>, tensor<11x3xbf16>, tensor<2x5xi32> -> tensor<2x5xf32>
  // TAKEN-NOT: weir.logit_statistics
  // TAKEN: -> tensor<2x5x11xf32>
  // TAKEN: arith.maximumf
  // TAKEN: math.exp
  %s, %p, %o = weir.logit_statistics %x, %w, %t : tensor<2x5x3xbf16>, tensor<11x3xbf16>, tensor<2x5xi32> -> tensor<2x5xf32>
  return %s, %p, %o : tensor<2x5xf32>, tensor<2x5xf32>, tensor<2x5xf32>
}

// CHECK-LABEL: func @backward
// TAKEN-LABEL: func @backward
func.func @backward(%x: tensor<2x5x3xbf16>, %w: tensor<11x3xbf16>, %t: tensor<2x5xi32>, %s: tensor<2x5xf32>) -> (tensor<2x5x3xbf16>, tensor<11x3xf32>) {
  // CHECK: weir.logit_statistics_vjp
  // TAKEN-NOT: weir.logit_statistics_vjp
  // TAKEN: -> tensor<2x5x11xf32>
  // TAKEN: -> tensor<2x5x11xbf16>
  // TAKEN: -> tensor<2x5x3xbf16>
  // TAKEN: -> tensor<11x3xf32>
  %dx, %dw = weir.logit_statistics_vjp %x, %w, %t, %s, %s, %s, %s : (tensor<2x5x3xbf16>, tensor<11x3xbf16>, tensor<2x5xi32>, tensor<2x5xf32>, tensor<2x5xf32>, tensor<2x5xf32>, tensor<2x5xf32>) -> (tensor<2x5x3xbf16>, tensor<11x3xf32>)
  return %dx, %dw : tensor<2x5x3xbf16>, tensor<11x3xf32>
}

// -----

func.func @other_width(%x: tensor<2x5x3xf32>, %w: tensor<11x4xf32>, %t: tensor<2x5xi32>) {
  // expected-error @+1 {{takes features of batch, time and features, a weight of classes and features and targets of batch and time, not 'tensor<2x5x3xf32>', 'tensor<11x4xf32>' and 'tensor<2x5xi32>'}}
  %s:3 = weir.logit_statistics %x, %w, %t : tensor<2x5x3xf32>, tensor<11x4xf32>, tensor<2x5xi32> -> tensor<2x5xf32>
  return
}

// -----

func.func @other_type(%x: tensor<2x5x3xf32>, %w: tensor<11x3xbf16>, %t: tensor<2x5xi32>) {
  // expected-error @+1 {{has features and a weight of different element types, 'tensor<2x5x3xf32>' and 'tensor<11x3xbf16>'}}
  %s:3 = weir.logit_statistics %x, %w, %t : tensor<2x5x3xf32>, tensor<11x3xbf16>, tensor<2x5xi32> -> tensor<2x5xf32>
  return
}

// -----

func.func @narrow_sum(%x: tensor<2x5x3xbf16>, %w: tensor<11x3xbf16>, %t: tensor<2x5xi32>, %s: tensor<2x5xf32>) {
  // expected-error @+1 {{gives cotangents of 'tensor<2x5x3xf32>' and 'tensor<11x3xf32>', not 'tensor<2x5x3xbf16>' and 'tensor<11x3xbf16>'}}
  %d:2 = weir.logit_statistics_vjp %x, %w, %t, %s, %s, %s, %s : (tensor<2x5x3xbf16>, tensor<11x3xbf16>, tensor<2x5xi32>, tensor<2x5xf32>, tensor<2x5xf32>, tensor<2x5xf32>, tensor<2x5xf32>) -> (tensor<2x5x3xbf16>, tensor<11x3xbf16>)
  return
}
