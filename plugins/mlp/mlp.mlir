// The feed-forward layer of a Transformer
//
//   y = W_down act(W_up x + b_up) + b_down
//
// `act` is gelu (with the error function), relu, silu, or relu2 (relu squared; Primer, arXiv:2109.08668).

!seq = tensor<?x?x?xf32>

weir.layer @mlp(%x: !seq) -> !seq {
  %d = weir.dim %x, feature : !seq
  %e = weir.config "hidden" default [4 * %d] : index
  %activation = weir.config "activation" default "gelu" oneof ["gelu", "relu", "silu", "relu2"]
  %u = weir.linear %x, "up" [%e] bias : !seq
  %a = weir.case %activation : !seq
    "gelu" {
      %v = weir.gelu %u : !seq
      weir.yield %v : !seq
    }
    "relu" {
      %v = weir.relu %u : !seq
      weir.yield %v : !seq
    }
    "silu" {
      %v = weir.silu %u : !seq
      weir.yield %v : !seq
    }
    "relu2" {
      %v = weir.relu_squared %u : !seq
      weir.yield %v : !seq
    }
  %y = weir.linear %a, "down" [%d] bias : !seq
  weir.return %y : !seq
}
