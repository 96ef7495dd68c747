// A language model on bytes with GRU: lm_mingru.mlir with the recurrence of torch.nn.GRU (the plugin `gru`, as wide as
// the model) in place of minGRU's, all else being the same: convolution of kernel 4, RNN and its way out, MLP of 4
// times the width, each behind a LayerNorm and with a residual.
//
//   weir bench models/lm_gru.mlir --threads=1
//   weir train models/lm_gru.mlir --data=corpus.txt --out=runs/lm_gru
//
// `--set layers=`, `width=`, `length=`, `batch=` and `precision=` change its size.

!seq = tensor<?x?x?xf32>

weir.model @lm(%tokens: tensor<?x?xi32>) -> !seq attributes {linear} {
  %vocabulary = weir.config "vocabulary" default 256 : index
  %width = weir.config "width" default 512 : index
  %layers = weir.config "layers" default 4 : index
  %length = weir.config "length" default 1024 : index
  %multiplier = weir.config "multiplier" default 4 : index
  %hidden = arith.muli %multiplier, %width : index
  %x = weir.embedding %tokens, "tok" [%vocabulary, %width] init(normal(0.02)) : tensor<?x?xi32> -> !seq
  %h = weir.repeat %layers as "layer" (%r = %x) : !seq {
    %n1 = weir.layer_norm %r, "norm_conv" : !seq
    %c = weir.apply "causal_conv"(%n1) {kernel = 4} as "conv" : !seq
    %x1 = arith.addf %r, %c : !seq
    %n2 = weir.layer_norm %x1, "norm_rnn" : !seq
    %g = weir.apply "gru"(%n2) as "rnn" : !seq
    %o = weir.linear %g, "to_out" [%width] bias : !seq
    %x2 = arith.addf %x1, %o : !seq
    %n3 = weir.layer_norm %x2, "norm_mlp" : !seq
    %f = weir.apply "mlp"(%n3) {hidden = %hidden} as "mlp" : !seq
    %y = arith.addf %x2, %f : !seq
    weir.yield %y : !seq
  }
  %n = weir.layer_norm %h, "norm" : !seq
  %l = weir.head %n tied("tok") : !seq
  weir.return %l : !seq
}

weir.experiment @main model(@lm) precision(bf16) seed(1) {
  weir.task "text" {context = @length, batch = 8, validation = 0.1, vocabulary = "bytes"}
  weir.optimizer "adamw" {lr = 1.0e-3, betas = [0.9, 0.99], eps = 1.0e-8, weight_decay = 0.1, no_decay = ["*.bias", "*norm*", "tok.*"]}
  weir.schedule "cosine" {warmup = 100, final = 0.1}
  weir.train {steps = 5000, clip = 1.0, eval_every = 250}
}
