// Selective copying (Gu and Dao, arXiv:2312.00752, section 4.1.1) with minGRU, small enough to learn in minutes on a CPU:
// 16 data tokens among 64, 3 layers, width 64, expansion 6 (the widths of arXiv:2410.01201, appendix C.3).
//
//   weir train models/selective_copy_mingru.mlir --out=runs/copy

!seq = tensor<?x?x?xf32>

weir.model @selective_copy(%tokens: tensor<?x?xi32>) -> !seq attributes {linear} {
  %vocabulary = weir.config "vocabulary" default 16 : index
  %width = weir.config "width" default 64 : index
  %layers = weir.config "layers" default 3 : index
  %expansion = weir.config "expansion" default 6 : index
  %candidate = weir.config "candidate" default "identity" oneof ["positive", "identity"]
  %arithmetic = weir.config "arithmetic" default "linear" oneof ["linear", "log"]
  %dropout = weir.config "dropout" default 0.0 : f64
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
  weir.task "selective_copy" {length = 64, tokens = 16, vocabulary = 16, batch = 16, eval_sequences = 1024}
  weir.optimizer "adamw" {lr = 3.0e-3, betas = [0.9, 0.999], eps = 1.0e-8, weight_decay = 0.0}
  weir.schedule "cosine" {warmup = 100}
  weir.train {steps = 16000, clip = 1.0, eval_every = 1000}
}
