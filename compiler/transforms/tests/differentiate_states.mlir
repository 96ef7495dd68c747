// RUN: weir-opt %s --weir-differentiate="seed=states result=loss_sum" | FileCheck %s

// A window of many: cotangents of its summed loss and of its last state come in, those of the first state go out. States
// that aren't floats have none.

// CHECK-LABEL: func.func @window
// CHECK-SAME: %[[DL:[a-z0-9]+]]: tensor<4xf32> {weir.cotangent = "loss_sum"}
// CHECK-SAME: %[[DS:[a-z0-9]+]]: tensor<4xf32> {weir.cotangent = "state.h"}
// CHECK-SAME: tensor<4xf32> {weir.output = "loss_sum"}, tensor<4xf32> {weir.output = "count"}
// CHECK-SAME: tensor<4xf32> {weir.gradient = "w"}, tensor<4xf32> {weir.gradient = "state.h"})
func.func @window(%w: tensor<4xf32> {weir.param = "w"}, %h: tensor<4xf32> {weir.state = "h"},
                  %n: tensor<i64> {weir.state = "stream.start"})
    -> (tensor<4xf32> {weir.output = "loss_sum"}, tensor<4xf32> {weir.output = "count"}, tensor<4xf32> {weir.state = "h"},
        tensor<i64> {weir.state = "stream.start"}) {
  %next = arith.mulf %w, %h : tensor<4xf32>
  %loss = arith.addf %next, %h : tensor<4xf32>
  %count = arith.mulf %w, %w : tensor<4xf32>
  return %loss, %count, %next, %n : tensor<4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<i64>
}
