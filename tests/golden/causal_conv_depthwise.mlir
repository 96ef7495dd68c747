// Golden case causal_conv_depthwise. Written by make_golden.py.
weir.model @main(%x: tensor<?x?x8xf32>) -> tensor<?x?x?xf32> {
  %y = weir.apply "causal_conv"(%x) {kernel = 3, pointwise = false} : (tensor<?x?x8xf32>) -> tensor<?x?x?xf32>
  weir.return %y : tensor<?x?x?xf32>
}
