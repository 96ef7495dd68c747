// minGRU (Feng et al., "Were RNNs All We Needed?", arXiv:2410.01201, section 3.1 and appendix B)
//
//   z_t = sigmoid(W_z x_t + b_z)
//   c_t = g(W_h x_t + b_h)          g(u) = u + 1/2 where u >= 0, sigmoid(u) elsewhere   (candidate = "positive")
//                                   g(u) = u                                             (candidate = "identity")
//   h_t = (1 - z_t) h_{t-1} + z_t c_t
//
// `arithmetic` changes how the coefficients are computed, not the function: "linear" multiplies z_t and c_t; "log" adds
// their logarithms, and exponentiates once, inside the scan. It needs a positive candidate.

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
      %y, %l = weir.scan(%log_a, %log_b) from %h0
        prologue {
        ^bb0(%la: f32, %lb: f32):
          %a = math.exp %la : f32
          %b = math.exp %lb : f32
          weir.yield %a, %b : f32, f32
        }
        epilogue {
        ^bb0(%ht: f32, %la: f32, %lb: f32):
          weir.yield %ht : f32
        }
        {indexing_maps = [affine_map<(b, t, e) -> (b, t, e)>, affine_map<(b, t, e) -> (b, t, e)>,
                          affine_map<(b, t, e) -> (b, t, e)>],
         iterator_types = ["parallel", "time", "parallel"]}
        : (!seq, !seq, !state) -> (!seq, !state)
      weir.yield %y, %l : !seq, !state
    }
  weir.return %h, state("h" = %last : !state) : !seq
}
