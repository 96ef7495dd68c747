// Shakespeare, character by character, with gated attention units (FLASH-Quad, arXiv:2202.10447): 6 layers of width 384, as
// many weights as the other models of this task.
//
//   weir train models/shakespeare_gau.mlir --data=tinyshakespeare.txt --out=runs/shakespeare_gau

!seq = tensor<?x?x?xf32>

weir.model @text(%tokens: tensor<?x?xi32>) -> !seq {
  %vocabulary = weir.config "vocabulary" default 65 : index
  %width = weir.config "width" default 384 : index
  %layers = weir.config "layers" default 6 : index
  %length = weir.config "length" default 256 : index
  %dropout = weir.config "dropout" default 0.0 : f64
  %e = weir.embedding %tokens, "tok" [%vocabulary, %width] init(normal(0.02)) : tensor<?x?xi32> -> !seq
  %p = weir.scaled_sin %e, "pos" : !seq
  %x = weir.dropout %p rate(%dropout) : !seq
  %h = weir.repeat %layers as "layer" (%r = %x) : !seq {
    %y = weir.apply "gau"(%r) {length = %length} : !seq
    weir.yield %y : !seq
  }
  %n = weir.layer_norm %h, "norm" : !seq
  %l = weir.head %n tied("tok") : !seq
  weir.return %l : !seq
}

weir.experiment @main model(@text) precision(bf16) seed(1) {
  weir.task "text" {context = 256, batch = 64, validation = 0.1, vocabulary = "characters"}
  weir.optimizer "adamw" {lr = 1.0e-3, betas = [0.9, 0.99], eps = 1.0e-8, weight_decay = 0.1, no_decay = ["*.bias", "*norm*", "tok.*", "pos.*"]}
  weir.schedule "cosine" {warmup = 100, final = 0.1}
  weir.train {steps = 5000, clip = 0.1, eval_every = 25, patience = 10}
}
