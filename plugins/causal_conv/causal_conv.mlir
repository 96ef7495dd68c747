// Causal convolution along time, per channel, then across channels (the temporal convolution of the minRNN block,
// arXiv:2410.01201, appendix C.2; the code of its authors: a depthwise convolution, then a pointwise one)
//
//   u_t = sum_{j < kernel} w_j x_{t - (kernel - 1) + j} + b      each channel by itself; x before the start is 0
//   y_t = W u_t + c                                              (pointwise = true)
//
// What it carries along time is the last kernel - 1 inputs.

!seq = tensor<?x?x?xf32>

weir.layer @causal_conv(%x: !seq) -> !seq {
  %d = weir.dim %x, feature : !seq
  %kernel = weir.config "kernel" default 4 : index
  %pointwise = weir.config "pointwise" default true
  %x0 = weir.state "x" [%kernel - 1, %d] init(zeros) : !seq
  %u, %last = weir.causal_conv %x, "depthwise" kernel [%kernel] from %x0 : !seq : !seq -> !seq, !seq
  %y = weir.case %pointwise : !seq
    true {
      %p = weir.linear %u, "pointwise" [%d] bias : !seq
      weir.yield %p : !seq
    }
    false {
      weir.yield %u : !seq
    }
  weir.return %y, state("x" = %last : !seq) : !seq
}
