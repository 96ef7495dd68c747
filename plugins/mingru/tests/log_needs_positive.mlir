// RUN: not weir-opt %s --weir-expand 2>&1 | FileCheck %s

// CHECK: mingru.mlir:{{.*}}: error: 'weir.refuse' op arithmetic = "log" needs candidate = "positive"
// CHECK: log_needs_positive.mlir:{{.*}}: note: called from
weir.model @m(%x: tensor<?x?x8xf32>) -> tensor<?x?x?xf32> {
  %y = weir.apply "mingru"(%x) {arithmetic = "log", candidate = "identity"} : (tensor<?x?x8xf32>) -> tensor<?x?x?xf32>
  weir.return %y : tensor<?x?x?xf32>
}
