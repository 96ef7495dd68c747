// minGRU (Feng et al., "Were RNNs All We Needed?", arXiv:2410.01201, section 3.1 and appendix B)
//
//   z_t = sigmoid(W_z x_t + b_z)
//   c_t = g(W_h x_t + b_h)          g(u) = u + 1/2 where u >= 0, sigmoid(u) elsewhere   (candidate = "positive")
//                                   g(u) = u                                             (candidate = "identity")
//   h_t = (1 - z_t) h_{t-1} + z_t c_t
//
// `arithmetic` changes how h is computed, not the function: "linear" as above, by one scan; "log" adds logarithms,
//
//   log h_t = log(exp(log(1 - z_t) + log h_{t-1}) + exp(log z_t + log c_t)),
//
// in order, and so needs a positive candidate.

!seq = tensor<?x?x?xf32>
!state = tensor<?x?xf32>

weir.layer @mingru(%x: !seq) -> !seq attributes {paper = "arXiv:2410.01201, 3.1"} {
  %d = weir.dim %x, feature : !seq
  %e = weir.config "hidden" default [%d] : index
  %candidate = weir.config "candidate" default "positive" oneof ["positive", "identity"]
  %arithmetic = weir.config "arithmetic" default "linear" oneof ["linear", "log"]
  %k = weir.linear %x, "to_z" [%e] bias : !seq
  %u = weir.linear %x, "to_h" [%e] bias : !seq
  %nk = arith.negf %k : !seq
  %h0 = weir.state "h" [%e] init(zeros) : !state
  %h, %last = weir.case %arithmetic : !seq, !state
    "linear" {
      %a = weir.sigmoid %nk : !seq  // 1 - z, with all its bits
      %z = weir.sigmoid %k : !seq
      %c = weir.case %candidate : !seq
        "positive" {
          %g = weir.positive %u : !seq
          weir.yield %g : !seq
        }
        "identity" {
          weir.yield %u : !seq
        }
      %b = arith.mulf %z, %c : !seq
      %y, %l = weir.scan(%a, %b) from %h0 : (!seq, !seq, !state) -> (!seq, !state)
      weir.yield %y, %l : !seq, !state
    }
    "log" {
      %log_a = weir.log_sigmoid %nk : !seq
      %log_z = weir.log_sigmoid %k : !seq
      %log_c = weir.case %candidate : !seq
        "positive" {
          %g = weir.log_positive %u : !seq
          weir.yield %g : !seq
        }
        "identity" {
          weir.refuse "arithmetic = \"log\" needs candidate = \"positive\""
          weir.yield %u : !seq
        }
      %log_b = arith.addf %log_z, %log_c : !seq
      // h_t = e_t + p_t: e is all that came since the start, and p what is left of h_0. Where a document begins, both are 0;
      // the floor, far below any e_t there can be, stands for a logarithm of 0.
      %e0 = weir.constant 0.0 like %h0 : !state
      %es, %ps, %e_last, %p_last = weir.recurrence (%la = %log_a : !seq, %lb = %log_b : !seq) from (%since = %e0 : !state, %p = %h0 : !state) {
        %floor = weir.constant 1.0e-30 like %since : !state
        %some = arith.maximumf %since, %floor : !state
        %l = math.log %some : !state
        %old = arith.addf %la, %l : !state
        %max = arith.maximumf %old, %lb : !state
        %min = arith.minimumf %old, %lb : !state
        %down = arith.subf %min, %max : !state
        %ratio = math.exp %down : !state
        %more = math.log1p %ratio : !state
        %l_t = arith.addf %max, %more : !state
        %e_t = math.exp %l_t : !state
        %a = math.exp %la : !state
        %p_t = arith.mulf %a, %p : !state
        weir.yield %e_t, %p_t, %e_t, %p_t : !state, !state, !state, !state
      } -> !seq, !seq, !state, !state
      %y = arith.addf %es, %ps : !seq
      %h_last = arith.addf %e_last, %p_last : !state
      weir.yield %y, %h_last : !seq, !state
    }
  weir.return %h, state("h" = %last : !state) : !seq
}
