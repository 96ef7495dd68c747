!seq = tensor<?x?x?xf32>
weir.layer @block(%x: !seq) -> !seq {
  %d = weir.dim %x, feature : !seq
  %e = weir.config "hidden" default [2 * %d] : index
  %k = weir.config "kind" default "a" oneof ["a", "b"]
  %p = weir.config "rate" default 0.1
  %n = weir.layer_norm %x, "norm" eps(1.0e-5) : !seq
  %u = weir.linear %n, "up" [%e] bias : !seq
  %g = weir.case %k : !seq
    "a" { %s = weir.sigmoid %u : !seq  weir.yield %s : !seq }
    "b" { weir.yield %u : !seq }
  %h0 = weir.state "h" [%e] init(zeros) : tensor<?x?xf32>
  %h, %last = weir.scan(%g, %u) from %h0 : (!seq, !seq, tensor<?x?xf32>) -> (!seq, tensor<?x?xf32>)
  %o = weir.linear %h, "down" [%d] init(normal(0.02)) : !seq
  %r = weir.dropout %o rate(%p) : !seq
  %y = arith.addf %x, %r : !seq
  weir.return %y, state("h" = %last : tensor<?x?xf32>) : !seq
}
weir.model @m(%t: tensor<?x?xi32>) -> !seq attributes {linear} {
  %n = weir.config "depth" default 2 : index
  %e = weir.embedding %t, "tok" [7, 4] : tensor<?x?xi32> -> !seq
  %h = weir.repeat %n as "layer" index %i (%r = %e) : !seq {
    %y = weir.apply "block"(%r) {hidden = 3, kind = "b"} : !seq
    weir.yield %y : !seq
  }
  %l = weir.head %h tied("tok") : !seq
  weir.return %l : !seq
}
weir.experiment @main model(@m) precision(bf16) seed(7) {
  weir.task "text" {context = 4}
  weir.optimizer "adamw" {lr = 1.0e-3, betas = [0.9, 0.99]} { weir.group ["*"] {lr_scale = 0.5} }
  weir.schedule "cosine" {warmup = 3}
  weir.train {steps = 5}
}
