// Multi-head softmax attention (Vaswani et al., arXiv:1706.03762), with rotary positions on request (arXiv:2104.09864)
//
//   [q, k, v] = W_in x + b_in               each in `heads` heads of p = d / heads features
//   q, k      = rope(q), rope(k)            (rotary = true)
//   y         = W_out softmax(q k^T / sqrt(p)) v + b_out
//
// Weights start as normal(0.02), biases at zero. `dropout` is on the output. No norm and no residual: the blocks that use
// it have them.

!seq = tensor<?x?x?xf32>

weir.layer @attention(%x: !seq) -> !seq attributes {paper = "arXiv:1706.03762"} {
  %d = weir.dim %x, feature : !seq
  %heads = weir.config "heads" default 1 : index
  %rotary = weir.config "rotary" default false
  %causal = weir.config "causal" default true
  %dropout = weir.config "dropout" default 0.0 : f64
  %p = weir.linear %x, "in" [3 * %d] bias init(normal(0.02)) : !seq
  %q0, %k0, %v = weir.split %p [%d, %d, %d] : !seq -> !seq, !seq, !seq
  %q, %k = weir.case %rotary : !seq, !seq
    true {
      %r:2 = weir.rotary %q0, %k0 heads [%heads] : !seq, !seq
      weir.yield %r#0, %r#1 : !seq, !seq
    }
    false {
      weir.yield %q0, %k0 : !seq, !seq
    }
  %o = weir.case %causal : !seq
    true {
      %a = weir.attention %q, %k, %v heads [%heads] kernel("softmax") window("causal") : (!seq, !seq, !seq, index) -> !seq
      weir.yield %a : !seq
    }
    false {
      %a = weir.attention %q, %k, %v heads [%heads] kernel("softmax") window("full") : (!seq, !seq, !seq, index) -> !seq
      weir.yield %a : !seq
    }
  %w = weir.linear %o, "out" [%d] bias init(normal(0.02)) : !seq
  %y = weir.dropout %w rate(%dropout) : !seq
  weir.return %y : !seq
}
