// A model with several kinds of state: a scan's, a convolution's window, positions.

!seq = tensor<?x?x?xf32>

weir.model @main(%tokens: tensor<?x?xi32>) -> !seq {
  %e = weir.embedding %tokens, "tok" [23, 24] : tensor<?x?xi32> -> !seq
  %p = weir.scaled_sin %e, "pos" : !seq
  %h = weir.apply "minrnn_block"(%p) as "recurrent" : !seq
  %g = weir.apply "mingru"(%h) as "gated" : !seq
  %y = weir.head %g, "out" [23] : !seq
  weir.return %y : !seq
}
