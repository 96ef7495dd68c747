func.func @nameless(%x: tensor<4xf32>) -> (tensor<4xf32> {weir.output = "y"}) attributes {weir.entry} {
  return %x : tensor<4xf32>
}

// -----

func.func @dynamic(%x: tensor<?xf32> {weir.input = "x"}) attributes {weir.entry} {
  return
}

// -----

func.func @loose(%x: tensor<4xf32> {weir.input = "x"}) -> (tensor<4xf32> {weir.output = "y"})
    attributes {weir.entry} {
  %0 = arith.negf %x : tensor<4xf32>
  return %0 : tensor<4xf32>
}

// -----

func.func @plain(%x: tensor<4xf32>) {
  return
}
