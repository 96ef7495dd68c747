// Golden case lm_separate. Written by make_golden.py.
// From tokens to logits.
weir.model @main(%tokens: tensor<?x?xi32>) -> tensor<?x?x?xf32> {
  %e = weir.embedding %tokens, "tok" [11, 8] : tensor<?x?xi32> -> tensor<?x?x?xf32>
  %p = weir.scaled_sin %e, "pos" : tensor<?x?x?xf32>
  %h = weir.apply "mingru"(%p) as "layer" : tensor<?x?x?xf32>
  %y = weir.head %h, "out" [11] : tensor<?x?x?xf32>
  weir.return %y : tensor<?x?x?xf32>
}
