// A leaky average with a gate: h_t = a_t h_{t-1} + (1 - a_t) v_t,  y_t = silu(g_t) h_t,  a_t = sigmoid(k_t)
!seq = tensor<?x?x?xf32>
!state = tensor<?x?xf32>
weir.layer @leaky(%x: !seq) -> !seq {
  %d = weir.dim %x, feature : !seq
  %e = weir.config "hidden" default [2 * %d] : index
  %k = weir.linear %x, "decay" [%e] bias : !seq
  %v = weir.linear %x, "value" [%e] bias : !seq
  %g = weir.linear %x, "gate" [%e] bias : !seq
  %a = weir.sigmoid %k : !seq
  %nk = arith.negf %k : !seq
  %i = weir.sigmoid %nk : !seq
  %b = arith.mulf %i, %v : !seq
  %h0 = weir.state "h" [%e] init(zeros) : !state
  %h, %last = weir.scan(%a, %b) from %h0 : (!seq, !seq, !state) -> (!seq, !state)
  %y = weir.gated_unit %g, %h activation("silu") : !seq
  weir.return %y, state("h" = %last : !state) : !seq
}
