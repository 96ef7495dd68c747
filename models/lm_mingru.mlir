// A language model on bytes with minGRU: 4 layers of width 512, length 1024, 8 rows, vocabulary 256, one of five in the
// same frame (lm_mingru, lm_gru, lm_flash, lm_gau, lm_transformer_pp). The layer is `minrnn_block` with its defaults
// (arXiv:2410.01201, C.2): convolution of kernel 4, minGRU as wide as the model with the positive candidate, an MLP of
// 4 times the width, LayerNorm, no dropout.
//
//   weir bench models/lm_mingru.mlir --threads=1
//   weir train models/lm_mingru.mlir --data=corpus.txt --out=runs/lm_mingru
//
// `--set layers=`, `width=`, `length=`, `batch=` and `precision=` change its size.

!seq = tensor<?x?x?xf32>

weir.model @lm(%tokens: tensor<?x?xi32>) -> !seq attributes {linear} {
  %vocabulary = weir.config "vocabulary" default 256 : index
  %width = weir.config "width" default 512 : index
  %layers = weir.config "layers" default 4 : index
  %length = weir.config "length" default 1024 : index
  %x = weir.embedding %tokens, "tok" [%vocabulary, %width] init(normal(0.02)) : tensor<?x?xi32> -> !seq
  %h = weir.repeat %layers as "layer" (%r = %x) : !seq {
    %y = weir.apply "minrnn_block"(%r) : !seq
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
