// RUN: weir-opt %s --weir-autocast | FileCheck %s
// RUN: weir-opt %s --weir-autocast --weir-simplify | FileCheck %s --check-prefix=KERNELS

// Operands of the product are bf16, its result is rounded where it is read; the bias is not.
// CHECK-LABEL: @linear
// CHECK-SAME: (%[[X:.*]]: tensor<2x3x4xf32>, %[[W:.*]]: tensor<8x4xf32>, %[[B:.*]]: tensor<8xf32>)
// CHECK-DAG: %[[XB:.*]] = arith.truncf %[[X]] : tensor<2x3x4xf32> to tensor<2x3x4xbf16>
// CHECK-DAG: %[[WB:.*]] = arith.truncf %[[W]] : tensor<8x4xf32> to tensor<8x4xbf16>
// CHECK: %[[Y:.*]] = weir.linear %[[XB]] params(%[[WB]], %[[B]] : tensor<8x4xbf16>, tensor<8xf32>) : tensor<2x3x4xbf16> -> tensor<2x3x8xf32>
// CHECK: %[[YB:.*]] = arith.truncf %[[Y]] : tensor<2x3x8xf32> to tensor<2x3x8xbf16>
// CHECK: %[[YE:.*]] = arith.extf %[[YB]] : tensor<2x3x8xbf16> to tensor<2x3x8xf32>
// CHECK: weir.sigmoid %[[YE]]
// What lies between the kernels is bf16.
// KERNELS-LABEL: @linear
// KERNELS: arith.addf
// KERNELS: arith.truncf
// KERNELS: -> tensor<2x3x8xbf16>
// KERNELS: linalg.generic {{.*}} ins(%{{.*}} : tensor<2x3x8xbf16>)
// KERNELS: arith.extf
// KERNELS: weir.sigmoid
func.func @linear(%x: tensor<2x3x4xf32>, %w: tensor<8x4xf32>, %b: tensor<8xf32>) -> tensor<2x3x8xf32> {
  %y = weir.linear %x params(%w, %b : tensor<8x4xf32>, tensor<8xf32>) : tensor<2x3x4xf32> -> tensor<2x3x8xf32>
  %g = weir.sigmoid %y : tensor<2x3x8xf32>
  return %g : tensor<2x3x8xf32>
}

// What joins the residual stream and what the function gives away is not rounded; a value is rounded once.
// CHECK-LABEL: @residual
// CHECK-COUNT-3: arith.truncf
// CHECK-NOT: arith.truncf
// CHECK-NOT: arith.extf
func.func @residual(%x: tensor<2x3x4xf32>, %w: tensor<4x4xf32>, %v: tensor<4x4xf32>) -> (tensor<2x3x4xf32>, tensor<2x3x4xf32>) {
  %y = weir.linear %x params(%w : tensor<4x4xf32>) : tensor<2x3x4xf32>
  %r = arith.addf %x, %y : tensor<2x3x4xf32>
  %z = weir.linear %x params(%v : tensor<4x4xf32>) : tensor<2x3x4xf32>
  return %r, %z : tensor<2x3x4xf32>, tensor<2x3x4xf32>
}

// Logits stay f32.
// CHECK-LABEL: @head
// CHECK: weir.head {{.*}} : tensor<2x3x4xbf16> -> tensor<2x3x9xf32>
// CHECK-NOT: arith.truncf
// CHECK: return
func.func @head(%x: tensor<2x3x4xf32>, %w: tensor<9x4xf32>) -> tensor<2x3x9xf32> {
  %y = weir.head %x params(%w : tensor<9x4xf32>) : tensor<2x3x4xf32> -> tensor<2x3x9xf32>
  %z = arith.negf %y : tensor<2x3x9xf32>
  return %z : tensor<2x3x9xf32>
}

// Queries, keys and values come from a product in bf16 and go to another as they are: slices of one tensor.
// CHECK-LABEL: @attention
// CHECK: weir.attention {{.*}} (tensor<2x3x4xbf16>, tensor<2x3x4xbf16>, tensor<2x3x4xbf16>) -> tensor<2x3x4xf32>
// KERNELS-LABEL: @attention
// KERNELS: tensor.extract_slice %{{.*}} : tensor<2x3x12xbf16> to tensor<2x3x4xbf16>
// KERNELS-NOT: tensor<2x3x12xf32> to
// KERNELS: return
func.func @attention(%x: tensor<2x3x4xf32>, %w: tensor<12x4xf32>) -> tensor<2x3x4xf32> {
  %t = weir.linear %x params(%w : tensor<12x4xf32>) : tensor<2x3x4xf32> -> tensor<2x3x12xf32>
  %q, %k, %v = weir.split %t pieces [4, 4, 4] : tensor<2x3x12xf32> -> tensor<2x3x4xf32>, tensor<2x3x4xf32>, tensor<2x3x4xf32>
  %o = weir.attention %q, %k, %v kernel("softmax") window("causal")
      : (tensor<2x3x4xf32>, tensor<2x3x4xf32>, tensor<2x3x4xf32>) -> tensor<2x3x4xf32>
  return %o : tensor<2x3x4xf32>
}

// Attention that only a product reads gives bf16.
// CHECK-LABEL: @attention_for_a_product
// CHECK: %[[O:.*]] = weir.attention {{.*}} -> tensor<2x3x4xbf16>
// CHECK-NEXT: weir.linear %[[O]]
// KERNELS-LABEL: @attention_for_a_product
func.func @attention_for_a_product(%x: tensor<2x3x4xf32>, %w: tensor<5x4xf32>) -> tensor<2x3x5xf32> {
  %o = weir.attention %x, %x, %x kernel("softmax") window("causal")
      : (tensor<2x3x4xf32>, tensor<2x3x4xf32>, tensor<2x3x4xf32>) -> tensor<2x3x4xf32>
  %y = weir.linear %o params(%w : tensor<5x4xf32>) : tensor<2x3x4xf32> -> tensor<2x3x5xf32>
  return %y : tensor<2x3x5xf32>
}

// A scan reads its gate in bf16 and computes in f32.
// CHECK-LABEL: @scan
// KERNELS-LABEL: @scan
// KERNELS: weir.scan(%{{.*}}) prologue
// KERNELS: bf16
// KERNELS: arith.extf
// KERNELS: (tensor<2x3x4xbf16>) -> (tensor<2x3x4xf32>, tensor<2x4xf32>)
func.func @scan(%x: tensor<2x3x4xf32>, %w: tensor<4x4xf32>) -> tensor<2x3x4xf32> {
  %y = weir.linear %x params(%w : tensor<4x4xf32>) : tensor<2x3x4xf32>
  %z = weir.sigmoid %y : tensor<2x3x4xf32>
  %h, %last = weir.scan(%z, %y) : (tensor<2x3x4xf32>, tensor<2x3x4xf32>) -> (tensor<2x3x4xf32>, tensor<2x4xf32>)
  return %h : tensor<2x3x4xf32>
}

// f64 is left alone.
// CHECK-LABEL: @exact
// CHECK-NOT: arith.truncf
func.func @exact(%x: tensor<2x3x4xf64>, %w: tensor<4x4xf64>) -> tensor<2x3x4xf64> {
  %y = weir.linear %x params(%w : tensor<4x4xf64>) : tensor<2x3x4xf64>
  return %y : tensor<2x3x4xf64>
}

// In the step of a recurrence products read bf16, too: a weight that only they read is rounded once, before time runs; the
// state where it is read. States and what joins a sum stay f32, and so does a product with what is read otherwise, too.
// CHECK-LABEL: @recurrence
// CHECK-SAME: , %[[U:[^:]*]]: tensor<8x4xf32>, %[[V:.*]]: tensor<4x4xf32>) ->
// CHECK: %[[UB:.*]] = arith.truncf %[[U]] : tensor<8x4xf32> to tensor<8x4xbf16>
// CHECK: weir.recurrence {{.*}} from (%[[H:.*]] = %{{.*}} : tensor<2x4xf32>) using (%[[US:.*]] = %[[UB]] : tensor<8x4xbf16>, %[[VS:.*]] = %[[V]] : tensor<4x4xf32>)
// CHECK: %[[HB:.*]] = arith.truncf %[[H]] : tensor<2x4xf32> to tensor<2x4xbf16>
// CHECK: %[[G:.*]] = weir.linear %[[HB]] params(%[[US]] : tensor<8x4xbf16>) : tensor<2x4xbf16> -> tensor<2x8xf32>
// CHECK: %[[GB:.*]] = arith.truncf %[[G]]
// CHECK: %[[GE:.*]] = arith.extf %[[GB]]
// CHECK: weir.split %[[GE]]
// CHECK: %[[P:.*]] = weir.linear %[[H]] params(%[[VS]] : tensor<4x4xf32>)
// CHECK-NOT: arith.truncf
// CHECK: weir.yield
func.func @recurrence(%x: tensor<2x3x4xf32>, %h0: tensor<2x4xf32>, %u: tensor<8x4xf32>, %v: tensor<4x4xf32>) -> tensor<2x3x4xf32> {
  %y, %last = weir.recurrence (%xt = %x : tensor<2x3x4xf32>) from (%h = %h0 : tensor<2x4xf32>)
      using (%us = %u : tensor<8x4xf32>, %vs = %v : tensor<4x4xf32>) {
    %g = weir.linear %h params(%us : tensor<8x4xf32>) : tensor<2x4xf32> -> tensor<2x8xf32>
    %a, %b = weir.split %g pieces [4, 4] : tensor<2x8xf32> -> tensor<2x4xf32>, tensor<2x4xf32>
    %c = arith.mulf %a, %b : tensor<2x4xf32>
    %p = weir.linear %h params(%vs : tensor<4x4xf32>) : tensor<2x4xf32>
    %s = arith.addf %xt, %p : tensor<2x4xf32>
    %d = arith.mulf %s, %c : tensor<2x4xf32>
    %row = tensor.extract_slice %vs[0, 0] [2, 4] [1, 1] : tensor<4x4xf32> to tensor<2x4xf32>
    %next = arith.addf %d, %row : tensor<2x4xf32>
    weir.yield %next, %next : tensor<2x4xf32>, tensor<2x4xf32>
  } -> tensor<2x3x4xf32>, tensor<2x4xf32>
  return %y : tensor<2x3x4xf32>
}

// An input comes from a product in bf16, lies so in memory, and becomes f32 in the step.
// KERNELS-LABEL: @recurrence_of_a_product
// KERNELS: %[[I:.*]] = linalg.generic {{.*}} outs(%{{.*}} : tensor<2x3x8xbf16>)
// KERNELS: weir.recurrence (%[[XT:.*]] = %[[I]] : tensor<2x3x8xbf16>) from (%{{.*}} : tensor<2x4xf32>) {
// KERNELS-NEXT: %[[WIDE:.*]] = arith.extf %[[XT]] : tensor<2x8xbf16> to tensor<2x8xf32>
// KERNELS-NEXT: weir.split %[[WIDE]]
func.func @recurrence_of_a_product(%x: tensor<2x3x4xf32>, %w: tensor<8x4xf32>, %b: tensor<8xf32>, %h0: tensor<2x4xf32>) -> tensor<2x3x4xf32> {
  %i = weir.linear %x params(%w, %b : tensor<8x4xf32>, tensor<8xf32>) : tensor<2x3x4xf32> -> tensor<2x3x8xf32>
  %y, %last = weir.recurrence (%xt = %i : tensor<2x3x8xf32>) from (%h = %h0 : tensor<2x4xf32>) {
    %p, %q = weir.split %xt pieces [4, 4] : tensor<2x8xf32> -> tensor<2x4xf32>, tensor<2x4xf32>
    %m = arith.mulf %h, %p : tensor<2x4xf32>
    %n = arith.addf %m, %q : tensor<2x4xf32>
    weir.yield %n, %n : tensor<2x4xf32>, tensor<2x4xf32>
  } -> tensor<2x3x4xf32>, tensor<2x4xf32>
  return %y : tensor<2x3x4xf32>
}
