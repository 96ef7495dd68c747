// Golden case minrnn_block_bare. Written by make_golden.py.
weir.model @main(%x: tensor<?x?x8xf32>) -> tensor<?x?x?xf32> {
  %y = weir.apply "minrnn_block"(%x) {hidden = 24, candidate = "identity", conv = false, mlp = false, norm = "rms"} : (tensor<?x?x8xf32>) -> tensor<?x?x?xf32>
  weir.return %y : tensor<?x?x?xf32>
}
