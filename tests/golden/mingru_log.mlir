// Golden case mingru_log. Written by make_golden.py.
weir.model @main(%x: tensor<?x?x8xf32>) -> tensor<?x?x?xf32> {
  %y = weir.apply "mingru"(%x) {hidden = 12, candidate = "positive", arithmetic = "log"} : (tensor<?x?x8xf32>) -> tensor<?x?x?xf32>
  weir.return %y : tensor<?x?x?xf32>
}
