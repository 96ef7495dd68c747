// RUN: weir-opt %s --split-input-file --verify-diagnostics

!q = tensor<2x3x4xf32>
!k = tensor<2x7x4xf32>

func.func @no_position(%q: !q, %k: !k) {
  // expected-error @+1 {{with more keys than queries needs a window that looks back, and the position of the first query}}
  %o = weir.attention %q, %k, %k kernel("softmax") window("causal") : (!q, !k, !k) -> !q
  return
}

// -----

!q = tensor<2x3x4xf32>
!k = tensor<2x7x4xf32>

func.func @fewer_keys(%q: !q, %k: !k) {
  // expected-error @+1 {{has fewer keys than queries, 3 and 7}}
  %o = weir.attention %k, %q, %q kernel("softmax") window("causal") : (!k, !q, !q) -> !k
  return
}

// -----

!q = tensor<2x3x4xf32>

func.func @bias_for_window(%q: !q, %b: tensor<3xf32>) {
  // expected-error @+1 {{has a bias for 2 positions, fewer than the 3 it is used for}}
  %o = weir.attention %q, %q, %q bias(%b) kernel("softmax") window("local", 3) : (!q, !q, !q, tensor<3xf32>) -> !q
  return
}

// -----

!q = tensor<2x3x4xf32>

func.func @not_causal(%q: !q, %sum: tensor<2x4x4xf32>, %count: tensor<2xi64>) {
  // expected-error @+1 {{goes on from a sum only with `causal`}}
  %o, %sums, %products = weir.chunked_attention quad(%q, %q) lin(%q, %q) value(%q) chunk_size 3 from(%sum, %sum, %count) kernel("relu") : (!q, !q, !q, !q, !q, tensor<2x4x4xf32>, tensor<2x4x4xf32>, tensor<2xi64>) -> (!q, tensor<2x2x4x4xf32>, tensor<2x1x4x4xf32>)
  return
}

// -----

!q = tensor<2x3x4xf32>

func.func @mixed_bias(%q: !q, %b: tensor<3xf32>) {
  // expected-error @+1 {{needs a bias of 2 L - 1 diagonals for an L of at least 3, not 'tensor<3xf32>'}}
  %o = weir.mixed_chunks quad(%q, %q) lin(%q, %q) value(%q) bias(%b) chunk(3) kernel("relu") : (!q, !q, !q, !q, !q, tensor<3xf32>) -> !q
  return
}

// -----

!q = tensor<2x3x4xf32>

func.func @mixed_means(%q: !q, %means: tensor<2x1x4x4xf32>) {
  // expected-error @+1 {{has means 'tensor<2x1x4x4xf32>' instead of 'tensor<2x2x4x4xf32>'}}
  %g:5 = weir.mixed_chunks_vjp quad(%q, %q) lin(%q, %q) value(%q) means(%means) cotangent(%q) chunk(2) kernel("relu") : (!q, !q, !q, !q, !q, tensor<2x1x4x4xf32>, !q) -> (!q, !q, !q, !q, !q)
  return
}

// -----

func.func @diagonals(%b: tensor<7xf32>) {
  // expected-error @+1 {{needs the 6 diagonals of 'tensor<2x5xf32>' and as many on each side as on the other, not 'tensor<7xf32>'}}
  %m = weir.toeplitz %b : tensor<7xf32> -> tensor<2x5xf32>
  return
}

// -----

!q = tensor<2x3x4xf32>

func.func @sums_of_no_softmax(%q: !q) {
  // expected-error @+1 {{gives the logarithms of the sums of a softmax if it is asked for them}}
  %o, %l = weir.attention %q, %q, %q num_heads 2 kernel("relu") window("causal") log_sums : (!q, !q, !q) -> (!q, tensor<2x2x3xf32>)
  return
}

// -----

!q = tensor<2x3x4xf32>

func.func @gradient_without_sums(%q: !q) {
  // expected-error @+1 {{reads the result and the logarithms of the sums of a softmax, and of nothing else}}
  %dq, %dk, %dv = weir.attention_vjp %q, %q, %q heads 2 cotangent(%q) kernel("softmax") window("causal") : (!q, !q, !q, !q) -> (!q, !q, !q)
  return
}
