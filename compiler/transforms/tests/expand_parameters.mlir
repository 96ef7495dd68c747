// Ops with parameters get them as arguments; a tied head shares the embedding's.
// RUN: weir-opt %s --weir-expand --split-input-file --verify-diagnostics | FileCheck %s

// CHECK: func.func @m(%[[T:[^:]*]]: tensor<?x?xi32> {weir.input = "tokens"},
// CHECK-SAME: %[[W:[^:]*]]: tensor<7x4xf32> {weir.init = "normal(0.02)", weir.param = "tok.weight"},
// CHECK-SAME: %[[U:[^:]*]]: tensor<3x4xf32> {weir.init = "uniform(0.5)", weir.param = "layer.0.up.weight"},
// CHECK-SAME: %[[B:[^:]*]]: tensor<3xf32> {weir.init = "uniform(0.5)", weir.param = "layer.0.up.bias"},
// CHECK: %[[E:.*]] = weir.embedding %[[T]], "tok" params(%[[W]] : tensor<7x4xf32>)
// CHECK: weir.linear %[[E]], "up" params(%[[U]], %[[B]] : tensor<3x4xf32>, tensor<3xf32>)
// CHECK: weir.head %{{.*}} params(%[[W]] : tensor<7x4xf32>)
weir.model @m(%tokens: tensor<?x?xi32>) -> tensor<?x?x?xf32> {
  %e = weir.embedding %tokens, "tok" [7, 4] : tensor<?x?xi32> -> tensor<?x?x?xf32>
  %h = weir.repeat 2 as "layer" (%r = %e) : tensor<?x?x?xf32> {
    %u = weir.linear %r, "up" [3] bias : tensor<?x?x?xf32>
    %d = weir.linear %u, "down" [4] : tensor<?x?x?xf32>
    weir.yield %d : tensor<?x?x?xf32>
  }
  %l = weir.head %h tied("tok") : tensor<?x?x?xf32>
  weir.return %l : tensor<?x?x?xf32>
}

// -----
weir.model @m(%x: tensor<?x?x4xf32>) -> tensor<?x?x?xf32> {
  // expected-error@+1 {{shares the parameter 'tok.weight', but there is none of this path before it}}
  %l = weir.head %x tied("tok") : tensor<?x?x4xf32> -> tensor<?x?x?xf32>
  weir.return %l : tensor<?x?x?xf32>
}

// -----
weir.model @m(%x: tensor<?x?x4xf32>, %t: tensor<?x?xi32>) -> tensor<?x?x?xf32> {
  %e = weir.embedding %t, "tok" [7, 5] : tensor<?x?xi32> -> tensor<?x?x?xf32>
  // expected-error@+1 {{shares the parameter 'tok.weight'}}
  %l = weir.head %x tied("tok") : tensor<?x?x4xf32> -> tensor<?x?x?xf32>
  weir.return %l : tensor<?x?x?xf32>
}

// -----
weir.model @m(%x: tensor<?x?x4xf32>) -> tensor<?x?x?xf32> {
  // expected-note@+1 {{it was taken here; 'as' gives each its own}}
  %a = weir.linear %x, "a" [3] : tensor<?x?x4xf32> -> tensor<?x?x?xf32>
  // expected-error@+1 {{takes the path 'a.weight', which is taken already}}
  %b = weir.linear %x, "a" [3] : tensor<?x?x4xf32> -> tensor<?x?x?xf32>
  weir.return %b : tensor<?x?x?xf32>
}

// -----
weir.model @m(%x: tensor<?x?x4xf32>) -> tensor<?x?x?xf32> {
  %n = weir.config "n" default 0 : index
  // expected-error@+1 {{has the size 0}}
  %a = weir.linear %x, "a" [%n] : tensor<?x?x4xf32> -> tensor<?x?x?xf32>
  weir.return %a : tensor<?x?x?xf32>
}
