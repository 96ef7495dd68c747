// RUN: weir-opt %s | FileCheck %s
// RUN: weir-opt %s | weir-opt | FileCheck %s
// RUN: weir-opt %s --mlir-print-op-generic | weir-opt | FileCheck %s

!seq = tensor<?x?x?xf32>

// CHECK-LABEL: weir.layer @options(%x: tensor<?x?x?xf32>, %m: tensor<?x?xi32>) -> tensor<?x?x?xf32> attributes {paper = "arXiv:2410.01201, 3.1"} {
weir.layer @options(%x: !seq, %m: tensor<?x?xi32>) -> !seq attributes {paper = "arXiv:2410.01201, 3.1"} {
  // CHECK: %[[D:.*]] = weir.dim %x, feature : tensor<?x?x?xf32>
  // CHECK: weir.dim %x, batch : tensor<?x?x?xf32>
  // CHECK: weir.dim %m, time : tensor<?x?xi32>
  %d = weir.dim %x, feature : !seq
  %batch = weir.dim %x, batch : !seq
  %time = weir.dim %m, time : tensor<?x?xi32>
  // CHECK: %[[E:.*]] = weir.config "hidden" default [%[[D]] * 2] : index
  // CHECK: weir.config "head" default 128 : index
  // CHECK: weir.config "context" default 64 : index
  // CHECK: %[[P:.*]] = weir.config "dropout" default 0.1 : f64
  // CHECK: weir.config "eps" default 1.0e-05 : f64
  // CHECK: %[[C:.*]] = weir.config "causal" default true
  // CHECK: %[[K:.*]] = weir.config "candidate" default "positive" oneof ["positive", "identity"]
  %e = weir.config "hidden" default [2 * %d] : index
  %s = weir.config "head" default 128
  %n = weir.config "context" default 64 : index
  %p = weir.config "dropout" default 0.1
  %eps = weir.config "eps" default 1.0e-5 : f64
  %causal = weir.config "causal" default true
  %kind = weir.config "candidate" default "positive" oneof ["positive", "identity"]
  // CHECK: weir.param "weight" [%[[D]] * 2, %[[E]] + 1] init(normal(0.02)) : tensor<?x?xf32>
  // CHECK: weir.param "bias" [%[[E]]] init(uniform(%[[P]])) : tensor<?xf32>
  // CHECK: weir.param "gain" init(ones) : tensor<f32>
  %w = weir.param "weight" [2 * %d, %e + 1] init(normal(0.02)) : tensor<?x?xf32>
  %b = weir.param "bias" [%e] init(uniform(%p)) : tensor<?xf32>
  %g = weir.param "gain" [] init(ones) : tensor<f32>
  // CHECK: weir.state "h" [%[[E]]] init(zeros) : tensor<?x?xf32>
  // CHECK: weir.state "count" init(constant(3.0)) : tensor<?xi32>
  %h0 = weir.state "h" [%e] init(zeros) : tensor<?x?xf32>
  %count = weir.state "count" init(constant(3)) : tensor<?xi32>
  // CHECK:      weir.case %[[K]] : tensor<?x?x?xf32>
  // CHECK-NEXT:   "positive" {
  // CHECK-NEXT:     arith.negf
  // CHECK-NEXT:     weir.yield %{{.*}} : tensor<?x?x?xf32>
  // CHECK-NEXT:   }
  // CHECK-NEXT:   "identity" {
  // CHECK-NEXT:     weir.yield %x : tensor<?x?x?xf32>
  %c = weir.case %kind : !seq
    "positive" { %neg = arith.negf %x : !seq  weir.yield %neg : !seq }
    "identity" { weir.yield %x : !seq }
  // CHECK:      weir.case %[[C]]
  // CHECK-NEXT:   true {
  // CHECK-NEXT:     weir.refuse "a needs b"
  // CHECK-NEXT:     weir.yield
  // CHECK:        false {
  weir.case %causal
    true { weir.refuse "a needs b"  weir.yield }
    false { weir.yield }
  // CHECK: weir.return %{{.*}}, state("h" = %{{.*}} : tensor<?x?xf32>, "count" = %{{.*}} : tensor<?xi32>) : tensor<?x?x?xf32>
  weir.return %c, state("h" = %h0 : tensor<?x?xf32>, "count" = %count : tensor<?xi32>) : !seq
}

// CHECK-LABEL: weir.model @model(%tokens: tensor<?x?x?xf32>) -> (tensor<?x?x?xf32>, tensor<?x?x?xf32>) attributes {linear} {
weir.model @model(%tokens: !seq) -> (!seq, !seq) attributes {linear} {
  %m = weir.config "depth" default 2 : index
  %kind = weir.config "candidate" default "identity" oneof ["positive", "identity"]
  %p = weir.config "dropout" default 0.0 : f64
  // CHECK: weir.repeat 3 as "layer" (%{{.*}} = %tokens) : tensor<?x?x?xf32> {
  // CHECK-NEXT: weir.apply "flash"(%{{.*}}) {causal = true, chunk = 256, dropout = 0.1} as "mix" : tensor<?x?x?xf32>
  %h = weir.repeat 3 as "layer" (%r = %tokens) : !seq {
    %y = weir.apply "flash"(%r) {chunk = 256, causal = true, dropout = 0.1} as "mix" : !seq
    weir.yield %y : !seq
  }
  // CHECK: weir.repeat [%{{.*}} * 2 + 1] as "more" index %[[I:.*]] (%{{.*}} = %{{.*}}, %{{.*}} = %{{.*}}) : tensor<?x?x?xf32>, tensor<?x?x?xf32> {
  %a, %b = weir.repeat [2 * %m + 1] as "more" index %i (%r = %h, %s = %h) : !seq, !seq {
    // CHECK-NEXT: weir.apply "mingru"(%{{.*}}) {kind = "x", hidden = %[[I]], candidate = %{{.*}} : !weir.choice, dropout = %{{.*}} : f64} : tensor<?x?x?xf32>
    %y = weir.apply "mingru"(%r) {hidden = %i, kind = "x", candidate = %kind : !weir.choice, dropout = %p : f64} : !seq
    // CHECK-NEXT: weir.apply "pool"(%{{.*}}, %tokens) : (tensor<?x?x?xf32>, tensor<?x?x?xf32>) -> (tensor<?x?x?xf32>, f32)
    %z, %q = weir.apply "pool"(%s, %tokens) : (!seq, !seq) -> (!seq, f32)
    weir.yield %y, %z : !seq, !seq
  }
  // CHECK: weir.repeat [%{{.*}}] (%{{.*}} = %{{.*}}) : tensor<?x?x?xf32> {
  %t = weir.repeat %m (%r = %a) : !seq {
    weir.yield %r : !seq
  }
  // CHECK: weir.return %{{.*}}, %{{.*}} : tensor<?x?x?xf32>, tensor<?x?x?xf32>
  weir.return %t, %b : !seq, !seq
}

// CHECK-LABEL: weir.experiment @main model(@model) precision(bf16) seed(7) {
weir.experiment @main model(@model) precision(bf16) seed(7) {
  // CHECK-NEXT: weir.task "text" {batch = 8, context = 1024}
  weir.task "text" {context = 1024, batch = 8}
  // CHECK-NEXT: weir.optimizer "adamw" {betas = [0.9, 0.999], lr = 0.0007, no_decay = ["*.bias"]} {
  // CHECK-NEXT:   weir.group ["tok.*"] {lr_scale = 0.5}
  weir.optimizer "adamw" {lr = 7.0e-4, betas = [0.9, 0.999], no_decay = ["*.bias"]} {
    weir.group ["tok.*"] {lr_scale = 0.5}
  }
  // CHECK: weir.schedule "linear" {warmup = 1000}
  weir.schedule "linear" {warmup = 1000}
  // CHECK-NEXT: weir.train {clip = 0.5, steps = 20000}
  weir.train {steps = 20000, clip = 0.5}
}

// CHECK-LABEL: weir.experiment @short model(@model) {
weir.experiment @short model(@model) {
  weir.task "text" {}
  weir.optimizer "adamw" {}
  weir.train {steps = 1}
}
