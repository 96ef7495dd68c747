// RUN: weir-opt %s | weir-opt | FileCheck %s

!seq = tensor<?x?x?xf32>

// CHECK-LABEL: func @unbound
func.func @unbound(%x: !seq, %tokens: tensor<?x?xi32>, %e: index, %v: index, %gain: tensor<?xf32>, %p: f64) -> !seq {
  // CHECK: weir.embedding %{{.*}}, "tok" [%{{.*}}, %{{.*}}] : tensor<?x?xi32> -> tensor<?x?x?xf32>
  %0 = weir.embedding %tokens, "tok" [%v, %e] : tensor<?x?xi32> -> !seq
  // CHECK: weir.linear %{{.*}}, "in" [%{{.*}} * 2] bias init(normal(0.02)) : tensor<?x?x?xf32>
  %1 = weir.linear %0, "in" [2 * %e] bias init(normal(0.02)) : !seq
  // CHECK: weir.split %{{.*}} [%{{.*}}, %{{.*}}] : tensor<?x?x?xf32> -> tensor<?x?x?xf32>, tensor<?x?x?xf32>
  %2:2 = weir.split %1 [%e, %e] : !seq -> !seq, !seq
  // CHECK: weir.split_heads %{{.*}} [%{{.*}}] : tensor<?x?x?xf32> -> tensor<?x?x?x?xf32>
  %h = weir.split_heads %2#0 [%e] : !seq -> tensor<?x?x?x?xf32>
  // CHECK: weir.merge_heads %{{.*}} : tensor<?x?x?x?xf32> -> tensor<?x?x?xf32>
  %m = weir.merge_heads %h : tensor<?x?x?x?xf32> -> !seq
  // CHECK: weir.gated_unit %{{.*}}, %{{.*}} activation("silu") : tensor<?x?x?xf32>
  %3 = weir.gated_unit %2#0, %2#1 activation("silu") : !seq
  // CHECK: weir.scale_offset %{{.*}}, "qk" heads(2)
  %4:2 = weir.scale_offset %3, "qk" heads(2) init(normal(0.02)) : !seq -> !seq, !seq
  // CHECK: weir.rotary %{{.*}}, %{{.*}} heads [%{{.*}}] : tensor<?x?x?xf32>, tensor<?x?x?xf32>
  %5:2 = weir.rotary %4#0, %4#1 heads [%e] : !seq, !seq
  // CHECK: weir.layer_norm %{{.*}}, "norm" eps(1.0e-05) : tensor<?x?x?xf32>
  %6 = weir.layer_norm %5#0, "norm" : !seq
  // CHECK: weir.rms_norm %{{.*}}, "rms" eps(0.001) : tensor<?x?x?xf32>
  %7 = weir.rms_norm %6, "rms" eps(1.0e-3) : !seq
  %8 = weir.scale_norm %7, "scale" : !seq
  %9 = weir.scaled_sin %8, "pos" : !seq
  %10 = weir.learned_positions %9, "rows" [%v] init(normal(0.02)) : !seq
  // CHECK: weir.dropout %{{.*}} rate(%{{.*}}) : tensor<?x?x?xf32>
  %11 = weir.dropout %10 rate(%p) : !seq
  // CHECK: weir.constant 0.5 like %{{.*}} : tensor<?x?x?xf32>
  %12 = weir.constant 0.5 like %11 : !seq
  %13 = weir.broadcast %gain like %12 : tensor<?xf32>, !seq -> !seq
  // CHECK: weir.head %{{.*}} tied("tok") : tensor<?x?x?xf32>
  %14 = weir.head %13 tied("tok") : !seq
  return %14 : !seq
}

// CHECK-LABEL: func @bound
func.func @bound(%x: tensor<2x13x8xf32>, %w: tensor<16x8xf32>, %b: tensor<16xf32>, %t: tensor<2x13xi32>) -> tensor<f32> {
  // CHECK: weir.linear %{{.*}} params(%{{.*}}, %{{.*}} : tensor<16x8xf32>, tensor<16xf32>) : tensor<2x13x8xf32> -> tensor<2x13x16xf32>
  %0 = weir.linear %x params(%w, %b : tensor<16x8xf32>, tensor<16xf32>) : tensor<2x13x8xf32> -> tensor<2x13x16xf32>
  // CHECK: weir.cross_entropy %{{.*}}, %{{.*}} : tensor<2x13x16xf32>, tensor<2x13xi32> -> tensor<f32>
  %1:5 = weir.cross_entropy %0, %t : tensor<2x13x16xf32>, tensor<2x13xi32> -> tensor<f32>
  return %1#0 : tensor<f32>
}
