// Golden case gau_longer_bias. Written by make_golden.py.
// The sequence is shorter than the longest one.
weir.model @main(%x: tensor<?x?x8xf32>) -> tensor<?x?x?xf32> {
  %y = weir.apply "gau"(%x) {expanded = 12, head = 6, length = 20} : (tensor<?x?x8xf32>) -> tensor<?x?x?xf32>
  weir.return %y : tensor<?x?x?xf32>
}
