// Selective copying with minGRU, in the paper's own setting (arXiv:2410.01201, section 4.1 and appendix C; the released
// configuration where the two differ: learning rate 3e-4, weight decay 0.05, none on the gates): length 4096, 3 layers of
// width 64 and expansion 6 without convolution or MLP, 400,000 steps of 2 x 32 sequences. The initial state is zero; the
// released code learns it.
//
//   weir train models/selective_copy_mingru_paper.mlir --steps=20

!seq = tensor<?x?x?xf32>

weir.model @selective_copy(%tokens: tensor<?x?xi32>) -> !seq attributes {linear} {
  %vocabulary = weir.config "vocabulary" default 16 : index
  %width = weir.config "width" default 64 : index
  %layers = weir.config "layers" default 3 : index
  %expansion = weir.config "expansion" default 6 : index
  %candidate = weir.config "candidate" default "positive" oneof ["positive", "identity"]
  %arithmetic = weir.config "arithmetic" default "linear" oneof ["linear", "log"]
  %dropout = weir.config "dropout" default 0.1 : f64
  %hidden = arith.muli %expansion, %width : index
  %e = weir.embedding %tokens, "tok" [%vocabulary, %width] init(normal(1.0)) : tensor<?x?xi32> -> !seq
  %h = weir.repeat %layers as "layer" (%r = %e) : !seq {
    %y = weir.apply "minrnn_block"(%r) {conv = false, mlp = false, norm = "rms", hidden = %hidden, candidate = %candidate : !weir.choice, arithmetic = %arithmetic : !weir.choice, dropout = %dropout : f64} : !seq
    weir.yield %y : !seq
  }
  %n = weir.rms_norm %h, "norm" : !seq
  %l = weir.head %n, "head" [%vocabulary] init(linear) : !seq
  weir.return %l : !seq
}

weir.experiment @main model(@selective_copy) seed(1) {
  // Tokens 1 to 14 are data, 15 is noise; after `length` of them come 16 markers (0), where the data is to be said again.
  weir.task "selective_copy" {length = 4096, tokens = 16, vocabulary = 16, batch = 32, eval_sequences = 1024}
  weir.optimizer "adamw" {lr = 3.0e-4, betas = [0.9, 0.999], eps = 1.0e-8, weight_decay = 0.05, no_decay = ["*.to_z.*", "*.to_h.*", "*norm*"]}
  weir.schedule "constant" {}
  weir.train {steps = 400000, clip = 1.0, accumulate = 2, eval_every = 1000, patience = 10}
}
