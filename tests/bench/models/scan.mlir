// The scan alone: h_t = a_t h_{t-1} + b_t over [batch, time, features]. compare.py puts in the width.

!in = tensor<?x?x@WIDTH@xf32>
!seq = tensor<?x?x?xf32>
!state = tensor<?x?xf32>

weir.model @scan(%a: !in, %b: !in) -> !seq attributes {linear} {
  %d = weir.dim %a, feature : !in
  %h0 = weir.state "h" [%d] init(zeros) : !state
  %h, %last = weir.scan(%a, %b) from %h0 : (!in, !in, !state) -> (!seq, !state)
  weir.return %h, state("h" = %last : !state) : !seq
}
