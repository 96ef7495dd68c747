// The minRNN block for text: convolution, RNN, MLP, each behind a norm and with a residual (Feng et al., "Were RNNs All We
// Needed?", arXiv:2410.01201, appendix C.2; its first author on the norms: LayerNorm)
//
//   x = x + conv(norm_conv(x))                      kernel 4, then pointwise     (conv = true)
//   x = x + dropout(W_out mingru(norm_rnn(x)))      the RNN is `hidden` wide
//   x = x + dropout(mlp(norm_mlp(x)))               `multiplier` times as wide   (mlp = true)

!seq = tensor<?x?x?xf32>

weir.layer @minrnn_block(%x: !seq) -> !seq attributes {paper = "arXiv:2410.01201, C.2"} {
  %d = weir.dim %x, feature : !seq
  %hidden = weir.config "hidden" default [%d] : index
  %candidate = weir.config "candidate" default "positive" oneof ["positive", "identity"]
  %arithmetic = weir.config "arithmetic" default "linear" oneof ["linear", "log"]
  %conv = weir.config "conv" default true
  %kernel = weir.config "kernel" default 4 : index
  %mlp = weir.config "mlp" default true
  %multiplier = weir.config "multiplier" default 4 : index
  %dropout = weir.config "dropout" default 0.0 : f64
  %norm = weir.config "norm" default "layer" oneof ["layer", "rms"]

  %x1 = weir.case %conv : !seq
    true {
      %n = weir.case %norm : !seq
        "layer" {
          %m = weir.layer_norm %x, "norm_conv" : !seq
          weir.yield %m : !seq
        }
        "rms" {
          %m = weir.rms_norm %x, "norm_conv" : !seq
          weir.yield %m : !seq
        }
      %c = weir.apply "causal_conv"(%n) {kernel = %kernel} as "conv" : !seq
      %y = arith.addf %x, %c : !seq
      weir.yield %y : !seq
    }
    false {
      weir.yield %x : !seq
    }

  %n = weir.case %norm : !seq
    "layer" {
      %m = weir.layer_norm %x1, "norm_rnn" : !seq
      weir.yield %m : !seq
    }
    "rms" {
      %m = weir.rms_norm %x1, "norm_rnn" : !seq
      weir.yield %m : !seq
    }
  %h = weir.apply "mingru"(%n) {hidden = %hidden, candidate = %candidate : !weir.choice, arithmetic = %arithmetic : !weir.choice} as "rnn" : !seq
  %o = weir.linear %h, "to_out" [%d] bias : !seq
  %od = weir.dropout %o rate(%dropout) : !seq
  %x2 = arith.addf %x1, %od : !seq

  %x3 = weir.case %mlp : !seq
    true {
      %n3 = weir.case %norm : !seq
        "layer" {
          %m = weir.layer_norm %x2, "norm_mlp" : !seq
          weir.yield %m : !seq
        }
        "rms" {
          %m = weir.rms_norm %x2, "norm_mlp" : !seq
          weir.yield %m : !seq
        }
      %width = arith.muli %multiplier, %d : index
      %f = weir.apply "mlp"(%n3) {hidden = %width} as "mlp" : !seq
      %fd = weir.dropout %f rate(%dropout) : !seq
      %y = arith.addf %x2, %fd : !seq
      weir.yield %y : !seq
    }
    false {
      weir.yield %x2 : !seq
    }
  weir.return %x3 : !seq
}
