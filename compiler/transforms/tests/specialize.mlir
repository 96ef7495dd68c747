// RUN: weir-opt %s --weir-specialize='batch=3 time=7' --split-input-file | FileCheck %s
// RUN: weir-opt %s --weir-specialize='batch=3 time=7 type=f64' --split-input-file | FileCheck %s --check-prefix=F64
// RUN: not weir-opt %s --weir-specialize='batch=0' --split-input-file 2>&1 | FileCheck %s --check-prefix=BATCH
// RUN: not weir-opt %s --weir-specialize='type=f16' --split-input-file 2>&1 | FileCheck %s --check-prefix=TYPE
// BATCH: error: batch and time must be above 0, not 0 and 1
// TYPE: error: type must be f32 or f64, not 'f16'

// CHECK-LABEL: func.func @scan(
// CHECK-SAME: %[[X:[^:]*]]: tensor<3x7x8xf32> {weir.input = "x"}
// CHECK-SAME: %[[H0:[^:]*]]: tensor<3x8xf32> {weir.state = "h"}) -> (tensor<3x7x8xf32> {weir.output = "0"}, tensor<3x8xf32> {weir.state = "h"})
// CHECK:      %[[A:.*]] = weir.sigmoid %[[X]] : tensor<3x7x8xf32>
// CHECK-NEXT: %[[S:.*]]:2 = weir.scan(%[[A]], %[[X]]) from %[[H0]] {{.*}} -> (tensor<3x7x8xf32>, tensor<3x8xf32>)
// CHECK-NEXT: return %[[S]]#0, %[[S]]#1 : tensor<3x7x8xf32>, tensor<3x8xf32>
// F64-LABEL: func.func @scan(
// F64-SAME: tensor<3x7x8xf64>
// F64-NOT: f32
// F64: weir.scan({{.*}}) -> (tensor<3x7x8xf64>, tensor<3x8xf64>)
func.func @scan(%x: tensor<?x?x8xf32> {weir.input = "x"}, %h0: tensor<?x8xf32> {weir.state = "h"})
    -> (tensor<?x?x8xf32> {weir.output = "0"}, tensor<?x8xf32> {weir.state = "h"}) {
  %a = weir.sigmoid %x : tensor<?x?x8xf32>
  %h, %last = weir.scan(%a, %x) from %h0 : (tensor<?x?x8xf32>, tensor<?x?x8xf32>, tensor<?x8xf32>) -> (tensor<?x?x8xf32>, tensor<?x8xf32>)
  return %h, %last : tensor<?x?x8xf32>, tensor<?x8xf32>
}

// -----
// Sizes are numbers; casts go; constants get the type of the run.
// CHECK-LABEL: func.func @sizes(
// CHECK: %[[C:.*]] = arith.constant 2.100000e+01 : f32
// CHECK: %[[W:.*]] = arith.constant dense<5.000000e-01> : tensor<8xf32>
// CHECK-NOT: weir.dim
// CHECK-NOT: tensor.cast
// CHECK: tensor.from_elements %[[C]] : tensor<1xf32>
// CHECK: return %{{.*}}, %[[W]] : tensor<1xf32>, tensor<8xf32>
// F64-LABEL: func.func @sizes(
// F64: arith.constant 2.100000e+01 : f64
// F64: arith.constant dense<5.000000e-01> : tensor<8xf64>
// F64: return %{{.*}} : tensor<1xf64>, tensor<8xf64>
func.func @sizes(%x: tensor<?x?x8xf32> {weir.input = "x"}) -> (tensor<1xf32>, tensor<8xf32>) {
  %y = tensor.cast %x : tensor<?x?x8xf32> to tensor<?x?x?xf32>
  %t = weir.dim %y, time : tensor<?x?x?xf32>
  %b = weir.dim %y, batch : tensor<?x?x?xf32>
  %n = arith.muli %t, %b : index
  %i = arith.index_cast %n : index to i64
  %f = arith.sitofp %i : i64 to f32
  %w = arith.constant dense<0.5> : tensor<8xf32>
  %e = tensor.from_elements %f : tensor<1xf32>
  return %e, %w : tensor<1xf32>, tensor<8xf32>
}
