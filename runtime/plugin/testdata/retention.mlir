// Retention with a fixed decay: h_t = 0.9 h_{t-1} + (W x_t + b).
// A string with a quote and a backslash: "\\".
!seq = tensor<?x?x?xf32>
weir.layer @retention(%x: !seq) -> !seq attributes {note = "not \"much\" of a paper\n"} {
  %d = weir.dim %x, feature : !seq
  %u = weir.linear %x, "in" [%d] bias : !seq
  %a = weir.constant 0.9 like %u : !seq
  %h, %last = weir.scan %a, %u : !seq
  weir.return %h : !seq
}
