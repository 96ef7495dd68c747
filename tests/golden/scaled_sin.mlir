// Golden case scaled_sin. Written by make_golden.py.
weir.model @main(%x: tensor<?x?x8xf32>) -> tensor<?x?x?xf32> {
  %y = weir.scaled_sin %x, "pos" : tensor<?x?x8xf32> -> tensor<?x?x?xf32>
  weir.return %y : tensor<?x?x?xf32>
}
