// Gated linear attention: a matrix for each head that forgets by a gate of the token (Yang et al., "Gated Linear Attention
// Transformers with Hardware-Efficient Training", arXiv:2312.06635, 4.1 and 4.4)
//
//   q, k, v, g = W_q x, W_k x, W_v x, W_g x          of widths `key`, `key`, `value`, `value`, in `heads` heads
//   a_t        = sigmoid(W_a x + b_a)^(1 / 16)       for each feature of k (decay = "key"), or for each head (decay = "head")
//   S_t        = diag(a_t) S_{t-1} + k_t v_t^T
//   y          = W_out (norm(q_t S_t) * silu(g))     the norm is rms_norm of each head
//
// With decay = "head" it is Mamba-2's recurrence and, but for where the decay comes from, retention (arXiv:2307.08621). b_a
// starts at 0. No norm before and no residual: the blocks that use it have them.

!seq = tensor<?x?x?xf32>
!heads = tensor<?x?x?x?xf32>
!state = tensor<?x?x?x?xf32>

#head = affine_map<(b, t, h, k, v) -> (b, t, h)>
#key = affine_map<(b, t, h, k, v) -> (b, t, h, k)>
#value = affine_map<(b, t, h, k, v) -> (b, t, h, v)>

weir.layer @gla(%x: !seq) -> !seq attributes {paper = "arXiv:2312.06635, 4"} {
  %d = weir.dim %x, feature : !seq
  %h = weir.config "heads" default 1 : index
  %key = weir.config "key" default [%d floordiv 2] : index
  %value = weir.config "value" default [%d] : index
  %decay = weir.config "decay" default "head" oneof ["head", "key"]
  %q0 = weir.linear %x, "q" [%key] : !seq
  %k0 = weir.linear %x, "k" [%key] : !seq
  %v0 = weir.linear %x, "v" [%value] : !seq
  %g = weir.linear %x, "g" [%value] : !seq
  %q = weir.split_heads %q0 [%h] : !seq -> !heads
  %k = weir.split_heads %k0 [%h] : !seq -> !heads
  %v = weir.split_heads %v0 [%h] : !seq -> !heads
  %p = weir.dim %k, feature : !heads
  %e = weir.dim %v, feature : !heads
  %s0 = weir.state "s" [%h, %p, %e] init(zeros) : !state
  %o, %last = weir.case %decay : !heads, !state
    "head" {
      %z = weir.linear %x, "a" [%h] bias init(normal(0.02)) : !seq
      %l = weir.log_sigmoid %z : !seq
      %c = weir.constant 0.0625 like %l : !seq
      %m = arith.mulf %l, %c : !seq
      %a = math.exp %m : !seq
      %y, %s = weir.scan(%a, %k, %v, %q) from %s0 prologue {
        ^bb0(%a_t: f32, %k_t: f32, %v_t: f32, %q_t: f32):
          %kv = arith.mulf %k_t, %v_t : f32
          weir.yield %a_t, %kv : f32, f32
      } epilogue {
        ^bb0(%s_t: f32, %a_t: f32, %k_t: f32, %v_t: f32, %q_t: f32):
          %qs = arith.mulf %q_t, %s_t : f32
          weir.yield %qs : f32
      } {indexing_maps = [#head, #key, #value, #key, #value], iterator_types = ["parallel", "time", "parallel", "parallel", "parallel"]}
        : (!seq, !heads, !heads, !heads, !state) -> (!heads, !state)
      weir.yield %y, %s : !heads, !state
    }
    "key" {
      %z = weir.linear %x, "a" [%key] bias init(normal(0.02)) : !seq
      %l = weir.log_sigmoid %z : !seq
      %c = weir.constant 0.0625 like %l : !seq
      %m = arith.mulf %l, %c : !seq
      %a0 = math.exp %m : !seq
      %a = weir.split_heads %a0 [%h] : !seq -> !heads
      %y, %s = weir.scan(%a, %k, %v, %q) from %s0 prologue {
        ^bb0(%a_t: f32, %k_t: f32, %v_t: f32, %q_t: f32):
          %kv = arith.mulf %k_t, %v_t : f32
          weir.yield %a_t, %kv : f32, f32
      } epilogue {
        ^bb0(%s_t: f32, %a_t: f32, %k_t: f32, %v_t: f32, %q_t: f32):
          %qs = arith.mulf %q_t, %s_t : f32
          weir.yield %qs : f32
      } {indexing_maps = [#key, #key, #value, #key, #value], iterator_types = ["parallel", "time", "parallel", "parallel", "parallel"]}
        : (!heads, !heads, !heads, !heads, !state) -> (!heads, !state)
      weir.yield %y, %s : !heads, !state
    }
  %n = weir.rms_norm %o, "norm" : !heads
  %f = weir.merge_heads %n : !heads -> !seq
  %gated = weir.gated_unit %g, %f activation("silu") : !seq
  %y = weir.linear %gated, "out" [%d] : !seq
  weir.return %y, state("s" = %last : !state) : !seq
}
