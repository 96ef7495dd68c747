// Each dropout has a stream of its own, in the order of the model, whether or not others draw; at rate zero none is left.
// RUN: weir-opt %s --weir-expand | FileCheck %s
// RUN: weir-opt %s --weir-expand --weir-specialize='batch=2 time=3 train=false' | FileCheck %s --check-prefix=EVAL

// CHECK: func.func @m(%[[X:.*]]: tensor<?x?x4xf32> {weir.input = "x"}, %[[RNG:.*]]: tensor<2xi64> {weir.rng})
// CHECK: %[[S0:.*]] = arith.constant 0 : i64
// CHECK-NEXT: %[[Y:.*]] = weir.dropout %[[X]] rate(%{{.*}}) stream(%[[S0]]) rng(%[[RNG]]
// CHECK: %[[S2:.*]] = arith.constant 2 : i64
// CHECK-NEXT: weir.dropout %[[Y]] rate(%{{.*}}) stream(%[[S2]]) rng(%[[RNG]]
// CHECK-NOT: weir.dropout
// EVAL: func.func @m(%[[X:.*]]: tensor<2x3x4xf32> {weir.input = "x"}) ->
// EVAL-NEXT: return %[[X]]
weir.model @m(%x: tensor<?x?x4xf32>) -> tensor<?x?x4xf32> {
  %p = weir.config "rate" default 0.5
  %zero = weir.config "none" default 0.0
  %a = weir.dropout %x rate(%p) : tensor<?x?x4xf32>
  %b = weir.dropout %a rate(%zero) : tensor<?x?x4xf32>
  %c = weir.dropout %b rate(%p) : tensor<?x?x4xf32>
  weir.return %c : tensor<?x?x4xf32>
}
