// A language model on bytes with Transformer++ blocks (arXiv:2202.10447, section 4): 4 layers of width 512, length
// 1024, 8 rows, vocabulary 256, the frame of lm_mingru.mlir with ScaledSin positions. The layer is `transformer_pp`
// with its defaults: softmax attention of one head (`--set heads=` for more) with rotary positions, a GLU with GELU of
// 8/3 times the width, LayerNorm.
//
//   weir bench models/lm_transformer_pp.mlir --threads=1
//   weir train models/lm_transformer_pp.mlir --data=corpus.txt --out=runs/lm_transformer_pp
//
// `--set layers=`, `width=`, `length=`, `batch=` and `precision=` change its size.

!seq = tensor<?x?x?xf32>

weir.model @lm(%tokens: tensor<?x?xi32>) -> !seq {
  %vocabulary = weir.config "vocabulary" default 256 : index
  %width = weir.config "width" default 512 : index
  %layers = weir.config "layers" default 4 : index
  %length = weir.config "length" default 1024 : index
  %heads = weir.config "heads" default 1 : index
  %e = weir.embedding %tokens, "tok" [%vocabulary, %width] init(normal(0.02)) : tensor<?x?xi32> -> !seq
  %x = weir.scaled_sin %e, "pos" : !seq
  %h = weir.repeat %layers as "layer" (%r = %x) : !seq {
    %y = weir.apply "transformer_pp"(%r) {heads = %heads} : !seq
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
