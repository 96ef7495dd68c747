// A language model on bytes with 12 layers of FLASH (arXiv:2202.10447; learning rate, warm-up, decay and clipping of its
// tables 5 to 9): one file, one experiment.
//
//   weir train models/lm12_flash.mlir --data=corpus.txt --out=runs/lm12

!seq = tensor<?x?x?xf32>

weir.model @lm(%tokens: tensor<?x?xi32>) -> !seq attributes {linear} {
  %vocabulary = weir.config "vocabulary" default 256 : index
  %width = weir.config "width" default 768 : index
  %layers = weir.config "layers" default 12 : index
  %chunk = weir.config "chunk" default 256 : index
  %e = weir.embedding %tokens, "tok" [%vocabulary, %width] init(normal(0.02)) : tensor<?x?xi32> -> !seq
  %x = weir.scaled_sin %e, "pos" : !seq
  %h = weir.repeat %layers as "layer" (%r = %x) : !seq {
    %y = weir.apply "flash"(%r) {causal = true, chunk = %chunk} : !seq
    weir.yield %y : !seq
  }
  %n = weir.layer_norm %h, "norm" eps(1.0e-5) : !seq
  %l = weir.head %n tied("tok") : !seq
  weir.return %l : !seq
}

weir.experiment @main model(@lm) precision(bf16) seed(1) {
  weir.task "text" {context = 1024, batch = 8, validation = 0.1, vocabulary = "bytes"}
  weir.optimizer "adamw" {lr = 7.0e-4, betas = [0.9, 0.999], eps = 1.0e-6, weight_decay = 0.01, no_decay = ["*.bias", "*norm*"]}
  weir.schedule "linear" {warmup = 1000}
  weir.train {steps = 20000, clip = 0.1, eval_every = 250}
}
