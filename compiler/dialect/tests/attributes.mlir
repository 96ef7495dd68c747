// RUN: weir-opt %s | weir-opt | FileCheck %s
// RUN: not weir-opt --split-input-file %p/inputs/bad_direction.mlir 2>&1 | FileCheck %s --check-prefix=BAD

// CHECK: func.func @direction(%{{.*}}: tensor<?x?x?xf32>)
// CHECK-SAME: weir.direction = #weir.direction<reverse>
// BAD: error: expected ::weir::Direction to be one of: forward, reverse
func.func @direction(%x: tensor<?x?x?xf32>) -> tensor<?x?x?xf32>
    attributes {weir.direction = #weir.direction<reverse>} {
  return %x : tensor<?x?x?xf32>
}
