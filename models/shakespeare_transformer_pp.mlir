// Shakespeare, character by character, with Transformer++ blocks (arXiv:2202.10447, section 4): 3 layers of width 384 with 6
// heads and dropout 0.2, the Transformer of arXiv:2410.01201, appendix C.3.
//
//   weir train models/shakespeare_transformer_pp.mlir --data=tinyshakespeare.txt --out=runs/shakespeare_transformer_pp

!seq = tensor<?x?x?xf32>

weir.model @text(%tokens: tensor<?x?xi32>) -> !seq {
  %vocabulary = weir.config "vocabulary" default 65 : index
  %width = weir.config "width" default 384 : index
  %layers = weir.config "layers" default 3 : index
  %heads = weir.config "heads" default 6 : index
  %dropout = weir.config "dropout" default 0.2 : f64
  %e = weir.embedding %tokens, "tok" [%vocabulary, %width] init(normal(0.02)) : tensor<?x?xi32> -> !seq
  %p = weir.scaled_sin %e, "pos" : !seq
  %x = weir.dropout %p rate(%dropout) : !seq
  %h = weir.repeat %layers as "layer" (%r = %x) : !seq {
    %y = weir.apply "transformer_pp"(%r) {heads = %heads, dropout = %dropout : f64} : !seq
    weir.yield %y : !seq
  }
  %n = weir.layer_norm %h, "norm" : !seq
  %l = weir.head %n, "head" [%vocabulary] : !seq
  weir.return %l : !seq
}

weir.experiment @main model(@text) precision(bf16) seed(1) {
  weir.task "text" {context = 256, batch = 64, validation = 0.1, vocabulary = "characters"}
  weir.optimizer "adamw" {lr = 1.0e-3, betas = [0.9, 0.99], eps = 1.0e-8, weight_decay = 0.1, no_decay = ["*.bias", "*norm*", "tok.*", "pos.*"]}
  weir.schedule "cosine" {warmup = 100, final = 0.1}
  weir.train {steps = 5000, clip = 0.25, eval_every = 25, patience = 10}
}
