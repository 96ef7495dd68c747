// The parameters, their shapes and initial values, the state, and the ops that `gla` is made of; and what its scan becomes.
// RUN: weir-opt %s --split-input-file --weir-expand | FileCheck %s
// RUN: weir-opt %s --split-input-file --weir-expand --weir-specialize="batch=2 time=8" --weir-chunk-matrix-scans=chunk=4 | FileCheck %s --check-prefix=CHUNKS

// CHECK-LABEL: func.func @head(
// CHECK-SAME: tensor<?x?x8xf32> {weir.input = "x"}
// CHECK-SAME: tensor<4x8xf32> {weir.init = "uniform({{.*}})", weir.param = "q.weight"}
// CHECK-SAME: tensor<4x8xf32> {{{.*}}weir.param = "k.weight"}
// CHECK-SAME: tensor<6x8xf32> {{{.*}}weir.param = "v.weight"}
// CHECK-SAME: tensor<6x8xf32> {{{.*}}weir.param = "g.weight"}
// CHECK-SAME: tensor<2x8xf32> {weir.init = "normal(0.02)", weir.param = "a.weight"}
// CHECK-SAME: tensor<2xf32> {weir.init = "zeros", weir.param = "a.bias"}
// CHECK-SAME: tensor<3xf32> {weir.init = "ones", weir.param = "norm.weight"}
// CHECK-SAME: tensor<8x6xf32> {{{.*}}weir.param = "out.weight"}
// CHECK-SAME: tensor<?x2x2x3xf32> {weir.init = "zeros", weir.state = "s"}
// CHECK: weir.split_heads %{{.*}} num_heads 2 : tensor<?x?x4xf32> -> tensor<?x?x2x2xf32>
// CHECK: weir.scan
// CHECK: weir.merge_heads %{{.*}} : tensor<?x?x2x3xf32> -> tensor<?x?x6xf32>

// CHUNKS-LABEL: func.func @head(
// CHUNKS: linalg.generic {{.*}}"reduction"]} {{.*}} outs(%{{.*}} : tensor<2x2x2x4x4xf32>)
// CHUNKS: ["parallel", "time", "parallel", "parallel", "parallel"]} : (tensor<2x2x2xf32>, tensor<2x2x2x2x3xf32>, tensor<2x2x2x3xf32>)
weir.model @head(%x: tensor<?x?x8xf32>) -> tensor<?x?x?xf32> {
  %y = weir.apply "gla"(%x) {heads = 2, key = 4, value = 6} : (tensor<?x?x8xf32>) -> tensor<?x?x?xf32>
  weir.return %y : tensor<?x?x?xf32>
}

// -----

// CHECK-LABEL: func.func @key(
// CHECK-SAME: tensor<4x8xf32> {weir.init = "normal(0.02)", weir.param = "a.weight"}
// CHECK: weir.split_heads
// CHECK: ["parallel", "time", "parallel", "parallel", "parallel"]} : (tensor<?x?x2x2xf32>, tensor<?x?x2x2xf32>
// CHUNKS-LABEL: func.func @key(
// CHUNKS: ["parallel", "parallel", "parallel", "time", "parallel", "parallel"]} : (tensor<2x2x4x2x2xf32>, tensor<4x4xf32>
weir.model @key(%x: tensor<?x?x8xf32>) -> tensor<?x?x?xf32> {
  %y = weir.apply "gla"(%x) {decay = "key", heads = 2, key = 4, value = 6} : (tensor<?x?x8xf32>) -> tensor<?x?x?xf32>
  weir.return %y : tensor<?x?x?xf32>
}
