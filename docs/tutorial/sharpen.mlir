!seq = tensor<?x?x?xf32>
weir.model @sharpen(%tokens: tensor<?x?xi32>) -> !seq attributes {linear} {
  %e = weir.embedding %tokens, "tok" [16, 64] init(normal(1.0)) : tensor<?x?xi32> -> !seq
  %h = weir.repeat 2 as "layer" (%r = %e) : !seq {
    %n = weir.rms_norm %r, "norm" : !seq
    %l = weir.apply "leaky"(%n) {hidden = 128} as "leaky" : !seq
    %o = weir.linear %l, "out" [64] bias : !seq
    %y = arith.addf %r, %o : !seq
    weir.yield %y : !seq
  }
  %n = weir.rms_norm %h, "norm" : !seq
  %l = weir.head %n, "head" [16] : !seq
  weir.return %l : !seq
}
weir.experiment @main model(@sharpen) {
  weir.task "selective_copy" {length = 64, tokens = 16, batch = 16}
  weir.optimizer "adamw" {lr = 3.0e-3}
  weir.schedule "cosine" {warmup = 100}
  weir.train {steps = 2000, clip = 1.0, eval_every = 500}
}
