// GRU (Cho et al., arXiv:1406.1078), in the form and with the parameters of torch.nn.GRU
//
//   [i_r, i_z, i_n] = W_i x_t + b_i        [g_r, g_z, g_n] = W_h h_{t-1} + b_h
//   r_t = sigmoid(i_r + g_r)
//   z_t = sigmoid(i_z + g_z)
//   n_t = tanh(i_n + r_t g_n)
//   h_t = (1 - z_t) n_t + z_t h_{t-1}
//
// All parameters start uniform within 1 / sqrt(hidden). The gates of a step need the step before, so it runs in order.

!seq = tensor<?x?x?xf32>
!state = tensor<?x?xf32>
!matrix = tensor<?x?xf32>
!vector = tensor<?xf32>

weir.layer @gru(%x: !seq) -> !seq attributes {paper = "arXiv:1406.1078"} {
  %d = weir.dim %x, feature : !seq
  %e = weir.config "hidden" default [%d] : index
  // bound = 1 / sqrt(e)
  %e_int = arith.index_cast %e : index to i64
  %e_float = arith.sitofp %e_int : i64 to f64
  %root = math.sqrt %e_float : f64
  %one = arith.constant 1.0 : f64
  %bound = arith.divf %one, %root : f64
  %w_i = weir.param "input.weight" [3 * %e, %d] init(uniform(%bound)) : !matrix
  %b_i = weir.param "input.bias" [3 * %e] init(uniform(%bound)) : !vector
  %w_h = weir.param "hidden.weight" [3 * %e, %e] init(uniform(%bound)) : !matrix
  %b_h = weir.param "hidden.bias" [3 * %e] init(uniform(%bound)) : !vector
  %i = weir.linear %x params(%w_i, %b_i : !matrix, !vector) bias : !seq
  %h0 = weir.state "h" [%e] init(zeros) : !state
  %y, %last = weir.recurrence (%it = %i : !seq) from (%h = %h0 : !state) using (%w = %w_h : !matrix, %b = %b_h : !vector) {
    %g = weir.linear %h params(%w, %b : !matrix, !vector) bias : !state
    %i_r, %i_z, %i_n = weir.split %it [%e, %e, %e] : !state -> !state, !state, !state
    %g_r, %g_z, %g_n = weir.split %g [%e, %e, %e] : !state -> !state, !state, !state
    %s_r = arith.addf %i_r, %g_r : !state
    %r = weir.sigmoid %s_r : !state
    %s_z = arith.addf %i_z, %g_z : !state
    %z = weir.sigmoid %s_z : !state
    %reset = arith.mulf %r, %g_n : !state
    %s_n = arith.addf %i_n, %reset : !state
    %n = math.tanh %s_n : !state
    %nz = arith.negf %s_z : !state
    %keep = weir.sigmoid %nz : !state  // 1 - z, with all its bits
    %new = arith.mulf %keep, %n : !state
    %old = arith.mulf %z, %h : !state
    %next = arith.addf %new, %old : !state
    weir.yield %next, %next : !state, !state
  } -> !seq, !state
  weir.return %y, state("h" = %last : !state) : !seq
}
