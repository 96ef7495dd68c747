// Golden case two_gates. Written by make_golden.py.
// A layer that is no plugin: it is defined where it is used.
// h_t = a_t h_{t-1} + (1 - a_t) tanh(V x_t) silu(W x_t), a_t = exp(-softplus(U x_t)); y_t = sigmoid(G x_t) h_t.
weir.layer @two_gates(%x: tensor<?x?x?xf32>) -> tensor<?x?x?xf32> {
  %d = weir.dim %x, feature : tensor<?x?x?xf32>
  %u = weir.linear %x, "decay" [%d] bias : tensor<?x?x?xf32>
  %v = weir.linear %x, "value" [%d] : tensor<?x?x?xf32>
  %w = weir.linear %x, "gate" [%d] bias : tensor<?x?x?xf32>
  %g = weir.linear %x, "output_gate" [%d] bias : tensor<?x?x?xf32>
  %s = weir.softplus %u : tensor<?x?x?xf32>
  %n = arith.negf %s : tensor<?x?x?xf32>
  %a = math.exp %n : tensor<?x?x?xf32>
  %one = weir.constant 1.0 like %a : tensor<?x?x?xf32>
  %rest = arith.subf %one, %a : tensor<?x?x?xf32>
  %tanh = math.tanh %v : tensor<?x?x?xf32>
  %silu = weir.silu %w : tensor<?x?x?xf32>
  %c = arith.mulf %tanh, %silu : tensor<?x?x?xf32>
  %b = arith.mulf %rest, %c : tensor<?x?x?xf32>
  %h, %last = weir.scan(%a, %b) : (tensor<?x?x?xf32>, tensor<?x?x?xf32>) -> (tensor<?x?x?xf32>, tensor<?x?xf32>)
  %o = weir.sigmoid %g : tensor<?x?x?xf32>
  %y = arith.mulf %o, %h : tensor<?x?x?xf32>
  weir.return %y : tensor<?x?x?xf32>
}

weir.model @main(%x: tensor<?x?x8xf32>) -> tensor<?x?x?xf32> {
  %y = weir.apply "two_gates"(%x) : (tensor<?x?x8xf32>) -> tensor<?x?x?xf32>
  weir.return %y : tensor<?x?x?xf32>
}
