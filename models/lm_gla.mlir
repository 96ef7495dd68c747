// A language model on bytes with gated linear attention: in the frame of lm_mingru (4 layers of width 512, length 1024, 8 rows,
// vocabulary 256). A block is gla, 8 heads of 64 features each, and a gated unit, each after a norm and with a residual
// around it (arXiv:2312.06635, 4.4).
//
//   weir bench models/lm_gla.mlir --threads=1
//   weir bench models/lm_gla.mlir --threads=1 --matrix_chunk=0     the same scan in order
//
// `--set layers=`, `width=`, `length=`, `batch=`, `decay=`, `heads=`, `key=`, `value=` and `precision=` change it.

!seq = tensor<?x?x?xf32>

weir.model @lm(%tokens: tensor<?x?xi32>) -> !seq attributes {linear} {
  %vocabulary = weir.config "vocabulary" default 256 : index
  %width = weir.config "width" default 512 : index
  %layers = weir.config "layers" default 4 : index
  %length = weir.config "length" default 1024 : index
  %heads = weir.config "heads" default 8 : index
  %key = weir.config "key" default 512 : index
  %value = weir.config "value" default 512 : index
  %decay = weir.config "decay" default "head" oneof ["head", "key"]
  %x = weir.embedding %tokens, "tok" [%vocabulary, %width] init(normal(0.02)) : tensor<?x?xi32> -> !seq
  %h = weir.repeat %layers as "layer" (%r = %x) : !seq {
    %n = weir.rms_norm %r, "gla_norm" : !seq
    %m = weir.apply "gla"(%n) {heads = %heads, key = %key, value = %value, decay = %decay : !weir.choice} as "gla" : !seq
    %a = arith.addf %r, %m : !seq
    %o = weir.rms_norm %a, "glu_norm" : !seq
    %f = weir.apply "glu"(%o) {activation = "silu"} as "glu" : !seq
    %y = arith.addf %a, %f : !seq
    weir.yield %y : !seq
  }
  %n = weir.rms_norm %h, "norm" : !seq
  %l = weir.head %n tied("tok") : !seq
  weir.return %l : !seq
}

weir.experiment @main model(@lm) precision(bf16) seed(1) {
  weir.task "text" {context = @length, batch = 8, validation = 0.1, vocabulary = "bytes"}
  weir.optimizer "adamw" {lr = 1.0e-3, betas = [0.9, 0.99], eps = 1.0e-8, weight_decay = 0.1, no_decay = ["*.bias", "*norm*", "tok.*"]}
  weir.schedule "cosine" {warmup = 100, final = 0.1}
  weir.train {steps = 5000, clip = 1.0, eval_every = 250}
}
