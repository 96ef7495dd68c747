// Golden case rms_norm. Written by make_golden.py.
weir.model @main(%x: tensor<?x?x8xf32>) -> tensor<?x?x?xf32> {
  %y = weir.rms_norm %x, "norm" : tensor<?x?x8xf32> -> tensor<?x?x?xf32>
  weir.return %y : tensor<?x?x?xf32>
}
