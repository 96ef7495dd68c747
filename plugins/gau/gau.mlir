// The gated attention unit; a stack of them is FLASH-Quad (Hua et al., "Transformer Quality in Linear Time",
// arXiv:2202.10447, section 2 and appendix D, code 6)
//
//   [u, v, z] = silu(W_in norm(x) + b_in)               of widths e, e, s
//   q, k      = rope(z * gamma_q + beta_q), rope(z * gamma_k + beta_k)
//   A_ij      = relu(q_i . k_j / n + w_{i-j})^2         n is the length of the sequence; j <= i if causal
//   y         = x + W_out (u * (A v)) + b_out
//
// The bias w is a Toeplitz matrix of 2 `length` - 1 trained numbers, the paper's form for lengths below 512; `length` is the
// longest sequence the layer is made for. Weights start as normal(0.02), biases at zero.

!seq = tensor<?x?x?xf32>
!vector = tensor<?xf32>

weir.layer @gau(%x: !seq) -> !seq attributes {paper = "arXiv:2202.10447, 2.2 and code 6"} {
  %d = weir.dim %x, feature : !seq
  %e = weir.config "expanded" default [2 * %d] : index
  %s = weir.config "head" default 128 : index
  %causal = weir.config "causal" default true
  %length = weir.config "length" default 512 : index
  %bias = weir.config "bias" default "toeplitz" oneof ["toeplitz", "none"]
  %norm = weir.config "norm" default "layer" oneof ["layer", "scale"]
  %n = weir.case %norm : !seq
    "layer" {
      %m = weir.layer_norm %x, "norm" eps(1.0e-5) : !seq
      weir.yield %m : !seq
    }
    "scale" {
      %m = weir.scale_norm %x, "norm" eps(1.0e-5) : !seq
      weir.yield %m : !seq
    }
  %p = weir.linear %n, "in" [2 * %e + %s] bias init(normal(0.02)) : !seq
  %t = weir.silu %p : !seq
  %u, %v, %z = weir.split %t [%e, %e, %s] : !seq -> !seq, !seq, !seq
  %qk:2 = weir.scale_offset %z, "qk" heads(2) init(normal(0.02)) : !seq -> !seq, !seq
  %r:2 = weir.rotary %qk#0, %qk#1 : !seq, !seq
  %o = weir.case %bias : !seq
    "toeplitz" {
      %b = weir.param "rel.weight" [2 * %length - 1] init(normal(0.02)) : !vector
      %c = weir.case %causal : !seq
        true {
          %a = weir.attention %r#0, %r#1, %v bias(%b) gate(%u) kernel("relu_squared") window("causal") : (!seq, !seq, !seq, !vector, !seq) -> !seq
          weir.yield %a : !seq
        }
        false {
          %a = weir.attention %r#0, %r#1, %v bias(%b) gate(%u) kernel("relu_squared") window("full") : (!seq, !seq, !seq, !vector, !seq) -> !seq
          weir.yield %a : !seq
        }
      weir.yield %c : !seq
    }
    "none" {
      %c = weir.case %causal : !seq
        true {
          %a = weir.attention %r#0, %r#1, %v gate(%u) kernel("relu_squared") window("causal") : (!seq, !seq, !seq, !seq) -> !seq
          weir.yield %a : !seq
        }
        false {
          %a = weir.attention %r#0, %r#1, %v gate(%u) kernel("relu_squared") window("full") : (!seq, !seq, !seq, !seq) -> !seq
          weir.yield %a : !seq
        }
      weir.yield %c : !seq
    }
  %w = weir.linear %o, "out" [%d] bias init(normal(0.02)) : !seq
  %y = arith.addf %x, %w : !seq
  weir.return %y : !seq
}
