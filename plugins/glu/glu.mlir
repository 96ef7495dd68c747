// A gated linear unit as feed-forward layer (Shazeer, arXiv:2002.05202)
//
//   y = W_down (act(W_gate x + b_gate) * (W_up x + b_up)) + b_down
//
// `act` is gelu (GEGLU), silu (SwiGLU), sigmoid (GLU) or identity (bilinear). The default width, 8/3 of the model's, gives as
// many weights as a plain layer of width 4.

!seq = tensor<?x?x?xf32>

weir.layer @glu(%x: !seq) -> !seq attributes {paper = "arXiv:2002.05202"} {
  %d = weir.dim %x, feature : !seq
  %e = weir.config "hidden" default [(8 * %d) floordiv 3] : index
  %activation = weir.config "activation" default "gelu" oneof ["gelu", "silu", "sigmoid", "identity"]
  %g = weir.linear %x, "gate" [%e] bias : !seq
  %u = weir.linear %x, "up" [%e] bias : !seq
  %h = weir.case %activation : !seq
    "gelu" {
      %v = weir.gated_unit %g, %u activation("gelu") : !seq
      weir.yield %v : !seq
    }
    "silu" {
      %v = weir.gated_unit %g, %u activation("silu") : !seq
      weir.yield %v : !seq
    }
    "sigmoid" {
      %v = weir.gated_unit %g, %u activation("sigmoid") : !seq
      weir.yield %v : !seq
    }
    "identity" {
      %v = weir.gated_unit %g, %u activation("none") : !seq
      weir.yield %v : !seq
    }
  %y = weir.linear %h, "down" [%d] bias : !seq
  weir.return %y : !seq
}
