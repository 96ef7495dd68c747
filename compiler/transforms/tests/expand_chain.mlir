// An error inside a layer is reported where it is, with the places it is applied from.
// RUN: not weir-opt %s --weir-expand='plugins=%p/inputs/layers.mlir' 2>&1 | FileCheck %s

// CHECK: layers.mlir:{{.*}}: error: 'weir.apply' op applies layer 'ping' inside itself: ping -> pong -> ping
// CHECK: expand_chain.mlir:{{.*}}: note: called from
weir.model @m(%x: tensor<?x?x4xf32>) {
  %y = weir.apply "ping"(%x) : (tensor<?x?x4xf32>) -> tensor<?x?x?xf32>
  weir.return
}
