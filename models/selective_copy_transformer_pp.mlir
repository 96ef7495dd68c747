// Selective copying with Transformer++ blocks: the task of selective_copy_mingru.mlir, for comparison.
//
//   weir train models/selective_copy_transformer_pp.mlir --out=runs/copy_transformer

!seq = tensor<?x?x?xf32>

weir.model @selective_copy(%tokens: tensor<?x?xi32>) -> !seq {
  %vocabulary = weir.config "vocabulary" default 16 : index
  %width = weir.config "width" default 64 : index
  %layers = weir.config "layers" default 3 : index
  %heads = weir.config "heads" default 4 : index
  %e = weir.embedding %tokens, "tok" [%vocabulary, %width] init(normal(0.02)) : tensor<?x?xi32> -> !seq
  %p = weir.scaled_sin %e, "pos" : !seq
  %h = weir.repeat %layers as "layer" (%r = %p) : !seq {
    %y = weir.apply "transformer_pp"(%r) {heads = %heads} : !seq
    weir.yield %y : !seq
  }
  %n = weir.layer_norm %h, "norm" : !seq
  %l = weir.head %n, "head" [%vocabulary] : !seq
  weir.return %l : !seq
}

weir.experiment @main model(@selective_copy) seed(1) {
  // Tokens 1 to 14 are data, 15 is noise; after `length` of them come 16 markers (0), where the data is to be said again.
  weir.task "selective_copy" {length = 64, tokens = 16, vocabulary = 16, batch = 16, eval_sequences = 1024}
  weir.optimizer "adamw" {lr = 1.0e-3, betas = [0.9, 0.999], eps = 1.0e-8, weight_decay = 0.01}
  weir.schedule "cosine" {warmup = 100}
  weir.train {steps = 10000, clip = 1.0, eval_every = 1000}
}
