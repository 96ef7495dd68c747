// RUN: weir-opt %s | weir-opt | FileCheck %s

!seq = tensor<?x?x?xf32>

// CHECK-LABEL: func @simple
func.func @simple(%a: !seq, %b: !seq, %h0: tensor<?x?xf32>) -> (!seq, tensor<?x?xf32>) {
  // CHECK: weir.scan(%{{.*}}, %{{.*}}) from %{{.*}} : (tensor<?x?x?xf32>, tensor<?x?x?xf32>, tensor<?x?xf32>) -> (tensor<?x?x?xf32>, tensor<?x?xf32>)
  %h, %last = weir.scan(%a, %b) from %h0 : (!seq, !seq, tensor<?x?xf32>) -> (!seq, tensor<?x?xf32>)
  return %h, %last : !seq, tensor<?x?xf32>
}

// A decay per feature, from the end, with the states that enter chunks of 4.
// CHECK-LABEL: func @simple_options
func.func @simple_options(%a: tensor<8xf32>, %b: tensor<2x13x8xf32>, %s: tensor<2x13xi32>) -> tensor<4x2x8xf32> {
  // CHECK: weir.scan(%{{.*}}, %{{.*}}) segments(%{{.*}}) reverse chunk(4)
  %r:3 = weir.scan(%a, %b) segments(%s) reverse chunk(4)
    : (tensor<8xf32>, tensor<2x13x8xf32>, tensor<2x13xi32>) -> (tensor<2x13x8xf32>, tensor<2x8xf32>, tensor<4x2x8xf32>)
  return %r#2 : tensor<4x2x8xf32>
}

// A state of two dimensions, read out by a sum over the second.
// CHECK-LABEL: func @general
func.func @general(%a: tensor<2x13x8xf32>, %k: tensor<2x13x5xf32>, %q: tensor<2x13x5xf32>) -> tensor<2x13x8xf32> {
  // CHECK: weir.scan({{.*}}) prologue {
  // CHECK: weir.yield %{{.*}}, %{{.*}} : f32, f32
  // CHECK: } epilogue {
  // CHECK: iterator_types = ["parallel", "time", "parallel", "parallel"]
  %y, %last = weir.scan(%a, %k, %q) prologue {
    ^bb0(%x: f32, %kk: f32, %qq: f32):
      %z = weir.sigmoid %x : f32
      %b = arith.mulf %x, %kk : f32
      weir.yield %z, %b : f32, f32
  } epilogue {
    ^bb0(%h: f32, %x: f32, %kk: f32, %qq: f32):
      %o = arith.mulf %h, %qq : f32
      weir.yield %o : f32
  } {indexing_maps = [affine_map<(b, t, d, n) -> (b, t, d)>, affine_map<(b, t, d, n) -> (b, t, n)>,
                      affine_map<(b, t, d, n) -> (b, t, n)>, affine_map<(b, t, d, n) -> (b, t, d)>],
     iterator_types = ["parallel", "time", "parallel", "parallel"]}
    : (tensor<2x13x8xf32>, tensor<2x13x5xf32>, tensor<2x13x5xf32>) -> (tensor<2x13x8xf32>, tensor<2x8x5xf32>)
  return %y : tensor<2x13x8xf32>
}

// CHECK-LABEL: func @activations
func.func @activations(%x: !seq, %s: f64, %n: i64) -> !seq {
  // CHECK: weir.sigmoid %{{.*}} : tensor<?x?x?xf32>
  %0 = weir.sigmoid %x : !seq
  %1 = weir.silu %0 : !seq
  %2 = weir.gelu %1 : !seq
  %3 = weir.gelu_tanh %2 : !seq
  %4 = weir.relu %3 : !seq
  %5 = weir.relu_squared %4 : !seq
  %6 = weir.softplus %5 : !seq
  %7 = weir.log_sigmoid %6 : !seq
  %8 = weir.positive %7 : !seq
  %9 = weir.log_positive %8 : !seq
  // CHECK: weir.softplus %{{.*}} : f64
  %t = weir.softplus %s : f64
  // CHECK: weir.random_uniform %{{.*}}, %{{.*}}, %{{.*}}, %{{.*}} : f32
  %u = weir.random_uniform %n, %n, %n, %n : f32
  return %9 : !seq
}
