// RUN: weir-opt %s --weir-step-form='context=64' --split-input-file | FileCheck %s

// A scan without a first state gets one from the pass, named by its scope; the second of the scope is numbered.
// CHECK-LABEL: func.func @scans(
// CHECK-SAME: %[[A:[^:]*]]: tensor<2x3x8xf32> {weir.input = "a"}
// CHECK-SAME: %[[START:[^:]*]]: tensor<i64> {weir.init = "zeros", weir.state = "stream.start"}
// CHECK-SAME: %[[H0:[^:]*]]: tensor<2x8xf32> {weir.init = "zeros", weir.state = "layer.scan.h"}
// CHECK-SAME: %[[H1:[^:]*]]: tensor<2x8xf32> {weir.init = "zeros", weir.state = "layer.scan.1.h"})
// CHECK-SAME: -> (tensor<2x3x8xf32> {weir.output = "0"}, tensor<2x8xf32> {weir.state = "layer.scan.h"},
// CHECK-SAME:     tensor<2x8xf32> {weir.state = "layer.scan.1.h"}, tensor<i64> {weir.state = "stream.start"})
// CHECK: %[[S:.*]]:2 = weir.scan(%[[A]], %[[A]]) from %[[H0]] :
// CHECK: %[[T:.*]]:2 = weir.scan(%[[A]], %[[S]]#0) from %[[H1]] :
// CHECK: %[[NEXT:.*]] = linalg.generic {{.*}} ins(%[[START]] : tensor<i64>)
// CHECK: arith.constant 3 : i64
// CHECK: return %[[T]]#0, %[[S]]#1, %[[T]]#1, %[[NEXT]]
func.func @scans(%a: tensor<2x3x8xf32> {weir.input = "a"}, %start: tensor<i64> {weir.start})
    -> (tensor<2x3x8xf32> {weir.output = "0"}) {
  %h, %last = weir.scan(%a, %a) {weir.scope = "layer"} : (tensor<2x3x8xf32>, tensor<2x3x8xf32>) -> (tensor<2x3x8xf32>, tensor<2x8xf32>)
  %g, %end = weir.scan(%a, %h) {weir.scope = "layer"} : (tensor<2x3x8xf32>, tensor<2x3x8xf32>) -> (tensor<2x3x8xf32>, tensor<2x8xf32>)
  return %g : tensor<2x3x8xf32>
}

// -----
// What a layer carries by its own hand stays as it is, also where the state reaches the scan by way of other ops.
// CHECK-LABEL: func.func @own(
// CHECK-SAME: -> (tensor<2x3x8xf32> {weir.output = "0"}, tensor<2x8xf32> {weir.state = "h"}, tensor<i64> {weir.state = "stream.start"})
// CHECK: %[[E:.*]] = math.exp
// CHECK: weir.scan({{.*}}) from %[[E]] :
func.func @own(%a: tensor<2x3x8xf32> {weir.input = "a"}, %h0: tensor<2x8xf32> {weir.state = "h", weir.init = "zeros"},
               %start: tensor<i64> {weir.start})
    -> (tensor<2x3x8xf32> {weir.output = "0"}, tensor<2x8xf32> {weir.state = "h"}) {
  %e = math.exp %h0 : tensor<2x8xf32>
  %h, %last = weir.scan(%a, %a) from %e {weir.scope = ""} : (tensor<2x3x8xf32>, tensor<2x3x8xf32>, tensor<2x8xf32>) -> (tensor<2x3x8xf32>, tensor<2x8xf32>)
  return %h, %last : tensor<2x3x8xf32>, tensor<2x8xf32>
}

// -----
// One token leaves nothing to run in order: the step of a recurrence is inlined.
// CHECK-LABEL: func.func @step(
// CHECK-SAME: %[[X:[^:]*]]: tensor<2x1x8xf32> {weir.input = "x"}
// CHECK-SAME: %[[U:[^:]*]]: tensor<8x8xf32> {weir.param = "u"}
// CHECK-SAME: %[[H:[^:]*]]: tensor<2x8xf32> {weir.init = "zeros", weir.state = "layer.recurrence.state0"})
// CHECK-NOT: weir.recurrence
// CHECK: %[[FROM:.*]] = linalg.generic {{.*}} ins(%{{.*}}, %{{.*}}, %[[H]] :
// CHECK: %[[XT:.*]] = tensor.collapse_shape %[[X]]
// CHECK: %[[P:.*]] = weir.linear %[[FROM]] params(%[[U]] :
// CHECK: %[[S:.*]] = arith.addf %[[P]], %[[XT]]
// CHECK: %[[Y:.*]] = tensor.expand_shape %[[S]]
// CHECK: return %[[Y]], %[[S]],
func.func @step(%x: tensor<2x1x8xf32> {weir.input = "x"}, %u: tensor<8x8xf32> {weir.param = "u"}, %h0: tensor<2x8xf32> {weir.input = "h0"},
                %start: tensor<i64> {weir.start}) -> (tensor<2x1x8xf32> {weir.output = "0"}) {
  %z = arith.constant dense<0.0> : tensor<2x8xf32>
  %y, %last = weir.recurrence (%xt = %x : tensor<2x1x8xf32>) from (%h = %z : tensor<2x8xf32>) using (%w = %u : tensor<8x8xf32>) {
    %p = weir.linear %h params(%w : tensor<8x8xf32>) : tensor<2x8xf32>
    %s = arith.addf %p, %xt : tensor<2x8xf32>
    weir.yield %s, %s : tensor<2x8xf32>, tensor<2x8xf32>
  } {weir.scope = "layer"} -> tensor<2x1x8xf32>, tensor<2x8xf32>
  return %y : tensor<2x1x8xf32>
}

// -----
// A first state that is trained counts before the first token only.
// CHECK-LABEL: func.func @trained(
// CHECK-SAME: %[[START:[^:]*]]: tensor<i64> {{[{][^}]*}}"stream.start"},
// CHECK-SAME: %[[STATE:[^:]*]]: tensor<2x8xf32> {{[{][^}]*}}"scan.h"}
// CHECK: %[[FIRST:.*]] = weir.broadcast
// CHECK: %[[FROM:.*]] = linalg.generic {{.*}} ins(%[[START]], %[[FIRST]], %[[STATE]] :
// CHECK: arith.select
// CHECK: weir.scan({{.*}}) from %[[FROM]] :
func.func @trained(%a: tensor<2x3x8xf32> {weir.input = "a"}, %p: tensor<8xf32> {weir.param = "first", weir.init = "zeros"},
                   %like: tensor<2x8xf32> {weir.input = "like"}, %start: tensor<i64> {weir.start})
    -> (tensor<2x3x8xf32> {weir.output = "0"}) {
  %c = weir.constant 0.0 like %like : tensor<2x8xf32>
  %b = weir.broadcast %p like %c : tensor<8xf32>, tensor<2x8xf32> -> tensor<2x8xf32>
  %h, %last = weir.scan(%a, %a) from %b {weir.scope = ""} : (tensor<2x3x8xf32>, tensor<2x3x8xf32>, tensor<2x8xf32>) -> (tensor<2x3x8xf32>, tensor<2x8xf32>)
  return %h : tensor<2x3x8xf32>
}

// -----
// With segments, a state counts where the document goes on, and positions are counted in it.
// CHECK-LABEL: func.func @packed(
// CHECK-SAME: %[[IDS:[^:]*]]: tensor<2x3xi32> {weir.segments}
// CHECK-SAME: %[[START:[^:]*]]: tensor<i64> {{[{][^}]*}}"stream.start"}
// CHECK-SAME: %[[AT:[^:]*]]: tensor<2xi64> {{[{][^}]*}}"stream.position"}
// CHECK-SAME: %[[ID:[^:]*]]: tensor<2xi32> {{[{][^}]*}}"stream.segment"}
// CHECK-SAME: %[[H0:[^:]*]]: tensor<2x8xf32> {{[{][^}]*}}"layer.0.scan.h"}
// CHECK: %[[BEFORE:.*]] = linalg.generic {{.*}} ins(%[[IDS]], %[[ID]], %[[START]] :
// CHECK: %[[POSITION:.*]] = linalg.generic {{.*}} ins(%[[IDS]], %[[BEFORE]], %[[AT]] :
// CHECK: weir.rotary {{.*}} segments(%[[IDS]] : tensor<2x3xi32>) start(%[[POSITION]] : tensor<2xi64>)
// CHECK: %[[KEPT:.*]] = linalg.generic {{.*}} ins(%[[IDS]], %[[BEFORE]], %[[H0]] :
// CHECK: weir.scan({{.*}}) from %[[KEPT]] segments(%[[IDS]])
// CHECK: %[[COUNT:.*]]:2 = weir.scan({{.*}}) from {{.*}} segments(%[[IDS]])
// CHECK: tensor.extract_slice %[[IDS]][0, 2] [2, 1] [1, 1]
func.func @packed(%a: tensor<2x3x8xf32> {weir.input = "a"}, %ids: tensor<2x3xi32> {weir.segments}, %start: tensor<i64> {weir.start})
    -> (tensor<2x3x8xf32> {weir.output = "0"}) {
  %r = weir.rotary %a segments(%ids : tensor<2x3xi32>) start(%start : tensor<i64>) {weir.scope = "layer.0", sizes = affine_map<() -> ()>} : tensor<2x3x8xf32>
  %h, %last = weir.scan(%a, %r) segments(%ids) {weir.scope = "layer.0"} : (tensor<2x3x8xf32>, tensor<2x3x8xf32>, tensor<2x3xi32>) -> (tensor<2x3x8xf32>, tensor<2x8xf32>)
  return %h : tensor<2x3x8xf32>
}

// -----
// The window of a convolution holds nothing of a document that has ended. A table of positions has an end.
// CHECK-LABEL: func.func @window(
// CHECK-SAME: %[[WINDOW:[^:]*]]: tensor<1x3x8xf32> {weir.init = "zeros", weir.state = "causal_conv.inputs"}
// CHECK-SAME: attributes {weir.position_limit = 100 : i64}
// CHECK: %[[KEPT:.*]] = linalg.generic {{.*}} %[[WINDOW]] :
// CHECK: %[[Y:.*]], %[[LAST:.*]] = weir.causal_conv {{.*}} from %[[KEPT]]
// CHECK: %[[NEXT:.*]] = linalg.generic {{.*}} ins(%[[LAST]], %{{.*}}, %{{.*}} :
// CHECK: return {{.*}}, %[[NEXT]],
func.func @window(%x: tensor<1x2x8xf32> {weir.input = "x"}, %w: tensor<8x4xf32> {weir.param = "w"}, %b: tensor<8xf32> {weir.param = "b"},
                  %t: tensor<100x8xf32> {weir.param = "t"}, %ids: tensor<1x2xi32> {weir.segments}, %start: tensor<i64> {weir.start})
    -> (tensor<1x2x8xf32> {weir.output = "0"}) {
  %p = weir.learned_positions %x params(%t : tensor<100x8xf32>) segments(%ids : tensor<1x2xi32>) start(%start : tensor<i64>) {weir.scope = ""} : tensor<1x2x8xf32>
  %y, %last = weir.causal_conv %p params(%w, %b : tensor<8x4xf32>, tensor<8xf32>) kernel(4) segments(%ids : tensor<1x2xi32>) {weir.scope = "", sizes = affine_map<() -> ()>}
      : tensor<1x2x8xf32> -> tensor<1x2x8xf32>, tensor<1x3x8xf32>
  return %y : tensor<1x2x8xf32>
}
