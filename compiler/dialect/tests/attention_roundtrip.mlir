// RUN: weir-opt %s | weir-opt | FileCheck %s

!seq = tensor<?x?x?xf32>
!q = tensor<2x3x4xf32>
!k = tensor<2x7x4xf32>
!sum = tensor<2x4x4xf32>

// CHECK-LABEL: func @unbound
func.func @unbound(%x: !seq, %b: tensor<?xf32>, %h: index) -> !seq {
  // CHECK: weir.attention %{{.*}}, %{{.*}}, %{{.*}} heads [%{{.*}}] bias(%{{.*}}) kernel("softmax") window("local", 9) :
  %o = weir.attention %x, %x, %x heads [%h] bias(%b) kernel("softmax") window("local", 9) : (!seq, !seq, !seq, index, tensor<?xf32>) -> !seq
  // CHECK: weir.chunked_attention quad(%{{.*}}, %{{.*}}) lin(%{{.*}}, %{{.*}}) value(%{{.*}}) chunk [%{{.*}}] causal kernel("relu_squared") :
  %c = weir.chunked_attention quad(%o, %x) lin(%x, %x) value(%x) chunk [%h] causal kernel("relu_squared") : (!seq, !seq, !seq, !seq, !seq, index) -> !seq
  return %c : !seq
}

// Three queries, whose tokens are the last three of seven.
// CHECK-LABEL: func @window
func.func @window(%q: !q, %k: !k, %ids: tensor<2x3xi32>, %at: tensor<2xi64>) -> !q {
  // CHECK: weir.attention %{{.*}}, %{{.*}}, %{{.*}} num_heads 2 segments(%{{.*}}) position(%{{.*}}) kernel("relu_squared") window("local", 5) length 64 :
  %o = weir.attention %q, %k, %k num_heads 2 segments(%ids) position(%at) kernel("relu_squared") window("local", 5) length 64 : (!q, !k, !k, tensor<2x3xi32>, tensor<2xi64>) -> !q
  return %o : !q
}

// CHECK-LABEL: func @gradient
func.func @gradient(%q: !q, %k: !k, %at: tensor<2xi64>) -> !k {
  // CHECK: %[[O:.*]], %[[L:.*]] = weir.attention %{{.*}}, %{{.*}}, %{{.*}} num_heads 2 position(%{{.*}}) kernel("softmax") window("local", 5) log_sums :
  %o, %l = weir.attention %q, %k, %k num_heads 2 position(%at) kernel("softmax") window("local", 5) log_sums : (!q, !k, !k, tensor<2xi64>) -> (!q, tensor<2x2x3xf32>)
  // CHECK: weir.attention_vjp %{{.*}}, %{{.*}}, %{{.*}} heads 2 position(%{{.*}}) saved(%[[O]], %[[L]]) cotangent(%[[O]]) kernel("softmax") window("local", 5) :
  %dq, %dk, %dv = weir.attention_vjp %q, %k, %k heads 2 position(%at) saved(%o, %l) cotangent(%o) kernel("softmax") window("local", 5) : (!q, !k, !k, tensor<2xi64>, !q, tensor<2x2x3xf32>, !q) -> (!q, !k, !k)
  return %dk : !k
}

// Two chunks, the second of them short, after others.
// CHECK-LABEL: func @chunks
func.func @chunks(%x: !q, %sum: !sum, %count: tensor<2xi64>) -> (!q, tensor<2x3x4x4xf32>, tensor<2x2x4x4xf32>) {
  // CHECK: %{{.*}}, %{{.*}}:2 = weir.chunked_attention quad(%{{.*}}, %{{.*}}) lin(%{{.*}}, %{{.*}}) value(%{{.*}}) chunk_size 2 from(%{{.*}}, %{{.*}}, %{{.*}}) causal kernel("relu_squared") :
  %o, %growth, %products = weir.chunked_attention quad(%x, %x) lin(%x, %x) value(%x) chunk_size 2 from(%sum, %sum, %count) causal kernel("relu_squared") : (!q, !q, !q, !q, !q, !sum, !sum, tensor<2xi64>) -> (!q, tensor<2x3x4x4xf32>, tensor<2x2x4x4xf32>)
  return %o, %growth, %products : !q, tensor<2x3x4x4xf32>, tensor<2x2x4x4xf32>
}

// CHECK-LABEL: func @mixed
func.func @mixed(%x: !q, %b: tensor<3xf32>) -> (!q, !q) {
  // CHECK: %{{.*}}, %{{.*}} = weir.mixed_chunks quad(%{{.*}}, %{{.*}}) lin(%{{.*}}, %{{.*}}) value(%{{.*}}) bias(%{{.*}}) chunk(2) kernel("relu_squared") :
  %o, %means = weir.mixed_chunks quad(%x, %x) lin(%x, %x) value(%x) bias(%b) chunk(2) kernel("relu_squared") : (!q, !q, !q, !q, !q, tensor<3xf32>) -> (!q, tensor<2x2x4x4xf32>)
  // CHECK: weir.mixed_chunks_vjp quad(%{{.*}}, %{{.*}}) lin(%{{.*}}, %{{.*}}) value(%{{.*}}) means(%{{.*}}) cotangent(%{{.*}}) chunk(2) kernel("silu") :
  %g:5 = weir.mixed_chunks_vjp quad(%x, %x) lin(%x, %x) value(%x) means(%means) cotangent(%o) chunk(2) kernel("silu") : (!q, !q, !q, !q, !q, tensor<2x2x4x4xf32>, !q) -> (!q, !q, !q, !q, !q)
  return %o, %g#4 : !q, !q
}

// CHECK-LABEL: func @toeplitz
func.func @toeplitz(%b: tensor<6xf32>) -> tensor<2x5xf32> {
  // CHECK: weir.toeplitz %{{.*}} : tensor<6xf32> -> tensor<2x5xf32>
  %m = weir.toeplitz %b : tensor<6xf32> -> tensor<2x5xf32>
  return %m : tensor<2x5xf32>
}
