// shakespeare_mingru.mlir with carried state: the text is read in order, each of the 64 rows a piece of its own, and every
// window of 256 characters goes on with the states that the one before it ended with. Gradients go through 2 windows; beyond
// them only the state's value reaches back. Evaluation reads the held-out part in the same way, so its loss is that of a model
// that has read all of its row before.
//
//   weir train models/shakespeare_mingru_carry.mlir --data=tinyshakespeare.txt --out=runs/shakespeare_mingru_carry

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
  weir.train {steps = 5000, clip = 0.25, eval_every = 25, patience = 10, state = "carry", windows = 2}
}
