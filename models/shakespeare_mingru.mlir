// Shakespeare, character by character, with minGRU (arXiv:2410.01201, section 4.2 and appendix C: 3 blocks of convolution, RNN
// and MLP, width 384, expansion 2, dropout 0.2, AdamW 1e-3, batch 64, 5,000 steps, clip 0.25, an evaluation every 25 steps; the
// context of 256, the schedule and betas are nanoGPT's). The MLP's multiplier of 3 gives it as many weights as the released
// code's gated one. No state is carried from one window to the next.
//
//   weir train models/shakespeare_mingru.mlir --data=tinyshakespeare.txt --out=runs/shakespeare_mingru

!seq = tensor<?x?x?xf32>

weir.model @text(%tokens: tensor<?x?xi32>) -> !seq attributes {linear} {
  %vocabulary = weir.config "vocabulary" default 65 : index
  %width = weir.config "width" default 384 : index
  %layers = weir.config "layers" default 3 : index
  %expansion = weir.config "expansion" default 2 : index
  %candidate = weir.config "candidate" default "positive" oneof ["positive", "identity"]
  %dropout = weir.config "dropout" default 0.2 : f64
  %hidden = arith.muli %expansion, %width : index
  %x = weir.embedding %tokens, "tok" [%vocabulary, %width] init(normal(0.02)) : tensor<?x?xi32> -> !seq
  %h = weir.repeat %layers as "layer" (%r = %x) : !seq {
    %y = weir.apply "minrnn_block"(%r) {multiplier = 3, hidden = %hidden, candidate = %candidate : !weir.choice, dropout = %dropout : f64} : !seq
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
