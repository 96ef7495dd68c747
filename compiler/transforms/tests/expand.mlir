// RUN: weir-opt %s --weir-expand='plugins=%p/inputs/layers.mlir' | FileCheck %s
// RUN: not weir-opt %s --weir-expand='plugins=%p/inputs/layers.mlir set=dept=1' 2>&1 | FileCheck %s --check-prefix=UNKNOWN
// RUN: not weir-opt %s --weir-expand='plugins=%p/inputs/layers.mlir set=depth=deep' 2>&1 | FileCheck %s --check-prefix=TYPE
// RUN: not weir-opt %s --weir-expand='plugins=%p/inputs/layers.mlir set=train.steps=1' 2>&1 | FileCheck %s --check-prefix=NONE

// UNKNOWN: error: --set {{.*}}: model '@m' has no option '{{.*}}'; it has depth : index = 2, input : "plain" | "twice" = "twice"
// TYPE: error: --set depth=deep: option 'depth' must be index, not "deep"
// NONE: error: --set train.steps=1: the file has no experiment
// RUN: weir-opt %s --weir-expand='plugins=%p/inputs/layers.mlir segments start' | FileCheck %s --check-prefix=CONTEXT
// RUN: weir-opt %s --weir-expand='plugins=%p/inputs/layers.mlir set=depth=1 set=input=plain' | FileCheck %s --check-prefix=SET

!seq = tensor<?x?x?xf32>

// CHECK-LABEL: func.func @m(
// CHECK-SAME: %[[X:.*]]: tensor<?x?x8xf32> {weir.input = "x"},
// CHECK-SAME: %{{.*}}: tensor<5x24xf32> {weir.init = "uniform(0.20412414523193154)", weir.param = "layer.0.p.matrix"},
// CHECK-SAME: %{{.*}}: tensor<8xf32> {weir.init = "normal(0.5)", weir.param = "layer.0.p.vector"},
// CHECK-SAME: %{{.*}}: tensor<7x24xf32> {weir.init = "uniform(0.20412414523193154)", weir.param = "layer.1.p.matrix"},
// CHECK-SAME: %{{.*}}: tensor<8xf32> {weir.init = "normal(0.5)", weir.param = "layer.1.p.vector"},
// CHECK-SAME: %[[H0:.*]]: tensor<?x8xf32> {weir.init = "zeros", weir.state = "layer.0.h"},
// CHECK-SAME: %[[H1:.*]]: tensor<?x8xf32> {weir.init = "zeros", weir.state = "layer.1.h"})
// CHECK-SAME: -> (tensor<?x?x8xf32> {weir.output = "0"}, tensor<?x8xf32> {weir.state = "layer.0.h"}, tensor<?x8xf32> {weir.state = "layer.1.h"})
// CHECK-SAME: attributes {weir.linear}
// CHECK-NOT: weir.config
// CHECK-NOT: arith.constant
// CHECK:      %[[B0:.*]] = arith.addf %[[X]], %[[X]] : tensor<?x?x8xf32>
// CHECK-NEXT: %[[A0:.*]] = weir.sigmoid %[[X]] : tensor<?x?x8xf32>
// CHECK-NEXT: %[[S0:.*]]:2 = weir.scan(%[[A0]], %[[B0]]) from %[[H0]]
// CHECK-NEXT: %[[R0:.*]] = weir.sigmoid %[[S0]]#0
// CHECK-NEXT: %[[R1:.*]] = weir.sigmoid %[[R0]]
// CHECK-NEXT: %[[B1:.*]] = arith.addf %[[R1]], %[[R1]] : tensor<?x?x8xf32>
// CHECK-NEXT: %[[A1:.*]] = weir.sigmoid %[[R1]]
// CHECK-NEXT: %[[S1:.*]]:2 = weir.scan(%[[A1]], %[[B1]]) from %[[H1]]
// CHECK:      return %{{.*}}, %[[S0]]#1, %[[S1]]#1

// CONTEXT: %[[SEGMENTS:[^:]*]]: tensor<?x?xi32> {weir.segments}, %{{[^:]*}}: tensor<i64> {weir.start})
// CONTEXT: weir.scan(%{{.*}}, %{{.*}}) from %{{.*}} segments(%[[SEGMENTS]])

// SET: func.func @m
// SET-NOT: layer.1
// SET-NOT: arith.addf
// SET: return
weir.model @m(%x: tensor<?x?x8xf32>) -> !seq attributes {linear} {
  %n = weir.config "depth" default 2 : index
  %kind = weir.config "input" default "twice" oneof ["plain", "twice"]
  %x0 = tensor.cast %x : tensor<?x?x8xf32> to !seq
  %h = weir.repeat %n as "layer" index %i (%r = %x0) : !seq {
    %two = arith.constant 2 : index
    %five = arith.constant 5 : index
    %twice = arith.muli %i, %two : index
    %w = arith.addi %twice, %five : index
    %y = weir.apply "with_param"(%r) {width = %w} as "p" : !seq
    %z = weir.apply "decay"(%y) {rounds = 2, input = %kind : !weir.choice} : !seq
    weir.yield %z : !seq
  }
  weir.return %h : !seq
}
