// Selective copying with GRU: the task of selective_copy_mingru.mlir, with its model in which torch.nn.GRU's recurrence takes
// the place of minGRU's.
//
//   weir train models/selective_copy_gru.mlir --out=runs/copy_gru

!seq = tensor<?x?x?xf32>

weir.model @selective_copy(%tokens: tensor<?x?xi32>) -> !seq attributes {linear} {
  %vocabulary = weir.config "vocabulary" default 16 : index
  %width = weir.config "width" default 64 : index
  %layers = weir.config "layers" default 3 : index
  %hidden = weir.config "hidden" default [%width] : index
  %e = weir.embedding %tokens, "tok" [%vocabulary, %width] init(normal(1.0)) : tensor<?x?xi32> -> !seq
  %h = weir.repeat %layers as "layer" (%r = %e) : !seq {
    %n = weir.rms_norm %r, "norm_rnn" : !seq
    %g = weir.apply "gru"(%n) {hidden = %hidden} as "rnn" : !seq
    %o = weir.linear %g, "to_out" [%width] bias : !seq
    %y = arith.addf %r, %o : !seq
    weir.yield %y : !seq
  }
  %n = weir.rms_norm %h, "norm" : !seq
  %l = weir.head %n, "head" [%vocabulary] init(linear) : !seq
  weir.return %l : !seq
}

weir.experiment @main model(@selective_copy) seed(1) {
  // Tokens 1 to 14 are data, 15 is noise; after `length` of them come 16 markers (0), where the data is to be said again.
  weir.task "selective_copy" {length = 64, tokens = 16, vocabulary = 16, batch = 16, eval_sequences = 1024}
  weir.optimizer "adamw" {lr = 3.0e-3, betas = [0.9, 0.999], eps = 1.0e-8, weight_decay = 0.0}
  weir.schedule "cosine" {warmup = 100}
  weir.train {steps = 10000, clip = 1.0, eval_every = 1000}
}
