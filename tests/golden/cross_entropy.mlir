// Golden case cross_entropy. Written by make_golden.py.
// Targets of -1 have no loss.
weir.model @main(%x: tensor<?x?x8xf32>, %targets: tensor<?x?xi32>) -> tensor<f32> {
  %loss, %sum, %correct, %count, %sequences = weir.cross_entropy %x, %targets : tensor<?x?x8xf32>, tensor<?x?xi32> -> tensor<f32>
  weir.return %loss : tensor<f32>
}
