// RUN: weir-opt %s --weir-expand='plugins=%p/inputs/layers.mlir' --split-input-file --verify-diagnostics

// expected-error@+1 {{the file has no 'weir.model'}}
module {}

// -----
// expected-error@+1 {{the file has several models, '@a' and '@b': say which}}
module {
  weir.model @a() { weir.return }
  weir.model @b() { weir.return }
}

// -----
!seq = tensor<?x?x?xf32>
weir.model @m(%x: !seq) -> !seq {
  // expected-error@+1 {{'weir.apply' op names a layer that isn't there: }}
  %y = weir.apply "nowhere"(%x) : !seq
  weir.return %y : !seq
}

// -----
!seq = tensor<?x?x?xf32>
// expected-note@+1 {{its options are rounds : index = 1, width : index = feature * 2, p : f64 = 0.5, on : i1 = true, input : "plain" | "twice" = "plain"}}
weir.layer @local(%x: !seq) -> !seq {
  %d = weir.dim %x, feature : !seq
  %a = weir.config "rounds" default 1 : index
  %b = weir.config "width" default [2 * %d] : index
  %c = weir.config "p" default 0.5
  %e = weir.config "on" default true
  %f = weir.config "input" default "plain" oneof ["plain", "twice"]
  weir.return %x : !seq
}
weir.model @m(%x: tensor<?x?x4xf32>) -> !seq {
  // expected-error@+1 {{applies layer 'local', which has another kind of option: option 'input' must be "plain" | "twice", not "thrice"}}
  %y = weir.apply "local"(%x) {input = "thrice"} : (tensor<?x?x4xf32>) -> !seq
  weir.return %y : !seq
}

// -----
!seq = tensor<?x?x?xf32>
// expected-note@+1 {{its options are}}
weir.layer @local(%x: !seq) -> !seq {
  %a = weir.config "rounds" default 1 : index
  weir.return %x : !seq
}
weir.model @m(%x: !seq) -> !seq {
  // expected-error@+1 {{option 'rounds' must be index, not 1.500000e+00}}
  %y = weir.apply "local"(%x) {rounds = 1.5} : !seq
  weir.return %y : !seq
}

// -----
!seq = tensor<?x?x?xf32>
// expected-note@+1 {{it has no options}}
weir.layer @local(%x: !seq) -> !seq { weir.return %x : !seq }
weir.model @m(%x: !seq) -> !seq {
  // expected-error@+1 {{applies layer 'local', which has no option 'a'}}
  %y = weir.apply "local"(%x) {a = 1} : !seq
  weir.return %y : !seq
}

// -----
!seq = tensor<?x?x?xf32>
// expected-note@+1 {{the layer is here}}
weir.layer @local(%x: !seq) -> !seq { weir.return %x : !seq }
weir.model @m(%x: !seq) -> !seq {
  // expected-error@+1 {{gives 2 arguments and takes 1 results, but layer 'local' has 1 and 1}}
  %y = weir.apply "local"(%x, %x) : !seq
  weir.return %y : !seq
}

// -----
!seq = tensor<?x?x?xf32>
weir.layer @local(%x: tensor<?x?xi32>) { weir.return }
weir.model @m(%x: !seq) {
  // expected-error@+1 {{gives argument #0 of layer 'local' a 'tensor<?x?x?xf32>', but it must be a 'tensor<?x?xi32>'}}
  weir.apply "local"(%x) : (!seq) -> ()
  weir.return
}

// -----
!seq = tensor<?x?x?xf32>
weir.layer @local(%x: !seq) -> !seq { weir.return %x : !seq }
weir.model @m(%x: tensor<?x?x4xf32>) -> tensor<?x?x5xf32> {
  // expected-error@+1 {{takes result #0 of layer 'local' as a 'tensor<?x?x5xf32>', but it is a 'tensor<?x?x4xf32>'}}
  %y = weir.apply "local"(%x) : (tensor<?x?x4xf32>) -> tensor<?x?x5xf32>
  weir.return %y : tensor<?x?x5xf32>
}

// -----
!seq = tensor<?x?x?xf32>
weir.layer @a(%x: !seq) -> !seq {
  %y = weir.apply "b"(%x) : !seq
  weir.return %y : !seq
}
weir.layer @b(%x: !seq) -> !seq {
  // expected-error@+1 {{applies layer 'a' inside itself: a -> b -> a}}
  %y = weir.apply "a"(%x) : !seq
  weir.return %y : !seq
}
weir.model @m(%x: !seq) -> !seq {
  %y = weir.apply "a"(%x) : !seq
  weir.return %y : !seq
}

// -----
!seq = tensor<?x?x?xf32>
weir.model @m(%x: !seq) -> !seq {
  // expected-error@+1 {{asks for a feature size that isn't known: the tensor is a 'tensor<?x?x?xf32>'}}
  %d = weir.dim %x, feature : !seq
  weir.return %x : !seq
}

// -----
weir.model @m(%x: tensor<?x?x4xf32>) {
  // expected-note@+1 {{it depends on the time of a tensor}}
  %t = weir.dim %x, time : tensor<?x?x4xf32>
  // expected-error@+1 {{has a size that isn't known when the model is expanded}}
  %w = weir.param "w" [%t] init(zeros) : tensor<?xf32>
  weir.return
}

// -----
weir.model @m() {
  %t = weir.config "n" default 0 : index
  // expected-error@+1 {{has a size that can't be computed}}
  %w = weir.param "w" [4 floordiv symbol(%t)] init(zeros) : tensor<?xf32>
  weir.return
}

// -----
weir.model @m() {
  %t = weir.config "n" default 0 : index
  // expected-error@+1 {{'w' has the sizes 4 x 0}}
  %w = weir.param "w" [4, %t] init(zeros) : tensor<?x?xf32>
  weir.return
}

// -----
weir.model @m() {
  // expected-note@+1 {{it was taken here; 'as' gives each its own}}
  %v = weir.param "w" [4] init(zeros) : tensor<?xf32>
  // expected-error@+1 {{takes the path 'w', which is taken already}}
  %w = weir.param "w" [4] init(zeros) : tensor<?xf32>
  weir.return
}

// -----
!seq = tensor<?x?x?xf32>
weir.layer @local(%x: !seq) -> !seq {
  // expected-error@+2 {{takes the path 'gain', which is taken already}}
  // expected-note@+1 {{it was taken here}}
  %g = weir.param "gain" init(ones) : tensor<f32>
  weir.return %x : !seq
}
weir.model @m(%x: !seq) -> !seq {
  %h = weir.repeat 2 (%r = %x) : !seq {
    %y = weir.apply "local"(%r) : !seq
    weir.yield %y : !seq
  }
  weir.return %h : !seq
}

// -----
weir.model @m(%x: tensor<?x?x4xf32>) {
  %t = weir.dim %x, time : tensor<?x?x4xf32>
  %c = arith.index_cast %t : index to i64
  %f = arith.sitofp %c : i64 to f64
  // expected-error@+1 {{'w' has an initial value that isn't known when the model is expanded}}
  %w = weir.param "w" [4] init(normal(%f)) : tensor<?xf32>
  weir.return
}

// -----
weir.model @m(%x: tensor<?x?x4xf32>) {
  %t = weir.dim %x, time : tensor<?x?x4xf32>
  %four = arith.constant 4 : index
  %c = arith.cmpi eq, %t, %four : index
  // expected-error@+1 {{chooses by a value that isn't known when the model is expanded}}
  weir.case %c
    true { weir.yield }
    false { weir.yield }
  weir.return
}

// -----
weir.model @m(%x: tensor<?x?x4xf32>) -> tensor<?x?x4xf32> {
  %n = weir.config "n" default 3 : index
  // expected-error@+1 {{can't repeat -3 times}}
  %y = weir.repeat [0 - %n] (%r = %x) : tensor<?x?x4xf32> { weir.yield %r : tensor<?x?x4xf32> }
  weir.return %y : tensor<?x?x4xf32>
}

// -----
weir.model @m(%x: tensor<?x?x4xf32>) {
  %k = weir.config "k" default "a" oneof ["a"]
  // expected-error@+1 {{can't take a !weir.choice}}
  "tensor.from_elements"(%k) : (!weir.choice) -> tensor<1x!weir.choice>
  weir.return
}

// -----
weir.model @m(%x: tensor<?x?x4xf32>, %y: tensor<?x?x5xf32>) {
  %a = tensor.cast %x : tensor<?x?x4xf32> to tensor<?x?x?xf32>
  %b = tensor.cast %y : tensor<?x?x5xf32> to tensor<?x?x?xf32>
  // expected-error@+1 {{requires the same type for all operands and results}}
  %c = arith.addf %a, %b : tensor<?x?x?xf32>
  weir.return
}

// -----
weir.model @m(%x: tensor<?x?x?xf32>) {
  // expected-error@+2 {{'tensor.reshape' op can't infer its result types from its operands, and so can't be in a layer}}
  %s = arith.constant dense<[1, 2, 3]> : tensor<3xi32>
  %y = tensor.reshape %x(%s) : (tensor<?x?x?xf32>, tensor<3xi32>) -> tensor<?x?x?xf32>
  weir.return
}

// -----
// expected-error@+1 {{has an input of type 'index'; inputs are tensors}}
weir.model @m(%x: index) {
  weir.return
}

// -----
weir.model @m() -> index {
  %n = weir.config "n" default 3 : index
  // expected-error@+1 {{gives a constant as a result}}
  weir.return %n : index
}

// -----
weir.model @m(%x: tensor<?x?x4xf32>) {
  // expected-error@+2 {{gives option 'rounds' a value that isn't known when the model is expanded}}
  %t = weir.dim %x, time : tensor<?x?x4xf32>
  %y = weir.apply "decay"(%x) {rounds = %t} : (tensor<?x?x4xf32>) -> tensor<?x?x?xf32>
  weir.return
}

// -----
weir.layer @local(%x: tensor<?x?x?xf32>) -> tensor<?x?x?xf32> {
  %h = weir.state "h" [3] init(zeros) : tensor<?x?xf32>
  %g = weir.state "g" [4] init(zeros) : tensor<?x?xf32>
  // expected-error@+1 {{gives state 'h' a 'tensor<?x4xf32>', but it is a 'tensor<?x3xf32>'}}
  weir.return %x, state("h" = %g : tensor<?x?xf32>, "g" = %g : tensor<?x?xf32>) : tensor<?x?x?xf32>
}
weir.model @m(%x: tensor<?x?x?xf32>) {
  %y = weir.apply "local"(%x) : tensor<?x?x?xf32>
  weir.return
}

// -----
weir.model @m() {
  %a = weir.config "a" default true
  weir.case %a
    // expected-error@+1 {{'weir.refuse' op a needs b}}
    true { weir.refuse "a needs b"  weir.yield }
    false { weir.yield }
  weir.return
}

// -----
weir.model @m(%x: tensor<?x?x4xf32>) {
  %p = weir.config "rate" default 1.0
  // expected-error@+1 {{'weir.dropout' op has a rate of 1.000000e+00, but it must be at least 0 and below 1}}
  %y = weir.dropout %x rate(%p) : tensor<?x?x4xf32>
  weir.return
}
