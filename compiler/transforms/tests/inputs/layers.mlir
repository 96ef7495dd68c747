// Layers for the tests of expansion. Equations: y = gain * x; h_t = a_t h_{t-1} + x_t with a_t = sigmoid(x_t).
!seq = tensor<?x?x?xf32>

weir.layer @decay(%x: !seq) -> !seq {
  %d = weir.dim %x, feature : !seq
  %rounds = weir.config "rounds" default 1 : index
  %kind = weir.config "input" default "plain" oneof ["plain", "twice"]
  %b = weir.case %kind : !seq
    "plain" { weir.yield %x : !seq }
    "twice" { %t = arith.addf %x, %x : !seq  weir.yield %t : !seq }
  %a = weir.sigmoid %x : !seq
  %h0 = weir.state "h" [%d] init(zeros) : tensor<?x?xf32>
  %h, %last = weir.scan(%a, %b) from %h0 : (!seq, !seq, tensor<?x?xf32>) -> (!seq, tensor<?x?xf32>)
  %y = weir.repeat %rounds (%r = %h) : !seq {
    %s = weir.sigmoid %r : !seq
    weir.yield %s : !seq
  }
  weir.return %y, state("h" = %last : tensor<?x?xf32>) : !seq
}

weir.layer @with_param(%x: !seq) -> !seq {
  %d = weir.dim %x, feature : !seq
  %two = arith.constant 2 : index
  %half = arith.divui %d, %two : index
  %w = weir.config "width" default [%half + 1] : index
  %scale = weir.config "scale" default 0.5
  %m = weir.param "matrix" [%w, 3 * %d] init(linear) : tensor<?x?xf32>
  %v = weir.param "vector" [%d] init(normal(%scale)) : tensor<?xf32>
  weir.return %x : !seq
}

weir.layer @ping(%x: !seq) -> !seq {
  %y = weir.apply "pong"(%x) : !seq
  weir.return %y : !seq
}

weir.layer @pong(%x: !seq) -> !seq {
  %y = weir.apply "ping"(%x) : !seq
  weir.return %y : !seq
}
