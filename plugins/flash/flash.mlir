// FLASH: a gated attention unit with mixed chunk attention, whose cost is linear in the length (Hua et al., "Transformer
// Quality in Linear Time", arXiv:2202.10447, section 3.2 and appendix D, code 8)
//
//   [u, v, z]  = silu(W_in norm(x) + b_in)               of widths e, e, s
//   q, k, q', k' = rope(z * gamma_i + beta_i), i = 1..4  positions in the whole sequence
//   inside a chunk of C tokens:
//     quad_i = sum_j relu(q_i . k_j / C + w_{i-j})^2 v_j    j <= i if causal
//   across chunks, with S_g = K'_g^T V_g / C of chunk g:
//     lin_i  = q'_i mean_{h < g} S_h                        (causal; 0 in the first chunk)
//     lin_i  = q'_i mean_h S_h                              (not causal)
//   y = x + W_out (u * (quad + lin)) + b_out
//
// Weights start as normal(0.02), biases at zero.

!seq = tensor<?x?x?xf32>
!vector = tensor<?xf32>

weir.layer @flash(%x: !seq) -> !seq attributes {paper = "arXiv:2202.10447, 3.2 and code 8"} {
  %d = weir.dim %x, feature : !seq
  %e = weir.config "expanded" default [2 * %d] : index
  %s = weir.config "head" default 128 : index
  %chunk = weir.config "chunk" default 256 : index
  %causal = weir.config "causal" default true
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
  %qk:4 = weir.scale_offset %z, "qk" heads(4) init(normal(0.02)) : !seq -> !seq, !seq, !seq, !seq
  %r:4 = weir.rotary %qk#0, %qk#1, %qk#2, %qk#3 : !seq, !seq, !seq, !seq
  %b = weir.param "rel.weight" [2 * %chunk - 1] init(normal(0.02)) : !vector
  %o = weir.case %causal : !seq
    true {
      %a = weir.chunked_attention quad(%r#0, %r#1) lin(%r#2, %r#3) value(%v) gate(%u) bias(%b) chunk [%chunk] causal
          kernel("relu_squared") : (!seq, !seq, !seq, !seq, !seq, !seq, !vector, index) -> !seq
      weir.yield %a : !seq
    }
    false {
      %a = weir.chunked_attention quad(%r#0, %r#1) lin(%r#2, %r#3) value(%v) gate(%u) bias(%b) chunk [%chunk]
          kernel("relu_squared") : (!seq, !seq, !seq, !seq, !seq, !seq, !vector, index) -> !seq
      weir.yield %a : !seq
    }
  %w = weir.linear %o, "out" [%d] bias init(normal(0.02)) : !seq
  %y = arith.addf %x, %w : !seq
  weir.return %y : !seq
}
