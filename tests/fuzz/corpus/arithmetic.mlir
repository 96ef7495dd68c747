!seq = tensor<?x?x?xf32>
weir.model @m(%x: tensor<?x?x8xf32>) -> !seq {
  %d = weir.dim %x, feature : tensor<?x?x8xf32>
  %two = arith.constant 2 : index
  %h = arith.divui %d, %two : index
  %c = arith.cmpi sgt, %h, %two : index
  %i = arith.index_cast %h : index to i64
  %f = arith.sitofp %i : i64 to f64
  %q = math.sqrt %f : f64
  %w = weir.param "w" [%h + 3 * %d - 1, %d floordiv 2] init(uniform(%q)) : tensor<?x?xf32>
  %y = tensor.cast %x : tensor<?x?x8xf32> to !seq
  %z = weir.case %c : !seq
    true { %n = arith.negf %y : !seq  weir.yield %n : !seq }
    false { weir.refuse "no"  weir.yield %y : !seq }
  %k, %j = weir.split %z [%h, %h] : !seq -> !seq, !seq
  weir.return %z : !seq
}
