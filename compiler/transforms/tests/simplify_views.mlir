// RUN: weir-opt %s --weir-decompose --weir-simplify-views | FileCheck %s

// The gradients of two slices are joined, and what lies between stays zero.
// CHECK-LABEL: @parts
// CHECK-SAME: (%[[X:.*]]: tensor<4x8xf32>, %[[Y:.*]]: tensor<4x8xf32>)
// CHECK-NOT: arith.addf
// CHECK: %[[GAP:.*]] = linalg.fill {{.*}} -> tensor<4x4xf32>
// CHECK: %[[R:.*]] = tensor.concat dim(1) %[[X]], %[[GAP]], %[[Y]]
// CHECK: return %[[R]]
func.func @parts(%x: tensor<4x8xf32>, %y: tensor<4x8xf32>) -> tensor<4x20xf32> {
  %zeros = arith.constant dense<0.0> : tensor<4x20xf32>
  %a = tensor.insert_slice %x into %zeros[0, 0] [4, 8] [1, 1] : tensor<4x8xf32> into tensor<4x20xf32>
  %b = tensor.insert_slice %y into %zeros[0, 12] [4, 8] [1, 1] : tensor<4x8xf32> into tensor<4x20xf32>
  %s = arith.addf %a, %b : tensor<4x20xf32>
  return %s : tensor<4x20xf32>
}

// Parts that overlap are added.
// CHECK-LABEL: @overlap
// CHECK: arith.addf
func.func @overlap(%x: tensor<4x8xf32>, %y: tensor<4x8xf32>) -> tensor<4x12xf32> {
  %zeros = arith.constant dense<0.0> : tensor<4x12xf32>
  %a = tensor.insert_slice %x into %zeros[0, 0] [4, 8] [1, 1] : tensor<4x8xf32> into tensor<4x12xf32>
  %b = tensor.insert_slice %y into %zeros[0, 4] [4, 8] [1, 1] : tensor<4x8xf32> into tensor<4x12xf32>
  %s = arith.addf %a, %b : tensor<4x12xf32>
  return %s : tensor<4x12xf32>
}

// CHECK-LABEL: @slice_first
// CHECK: tensor.extract_slice %{{.*}}[2, 0] [2, 8] [1, 1]
// CHECK: linalg.generic {{.*}} outs(%{{.*}} : tensor<2x8xf32>)
// CHECK: math.exp
// CHECK-NOT: tensor.extract_slice
// CHECK: return
func.func @slice_first(%x: tensor<4x8xf32>) -> tensor<2x8xf32> {
  %0 = math.exp %x : tensor<4x8xf32>
  %1 = tensor.extract_slice %0[2, 0] [2, 8] [1, 1] : tensor<4x8xf32> to tensor<2x8xf32>
  return %1 : tensor<2x8xf32>
}

// CHECK-LABEL: @slice_of_concat
// CHECK-SAME: (%[[X:.*]]: tensor<4x8xf32>, %[[Y:.*]]: tensor<4x2xf32>)
// CHECK-NEXT: return %[[Y]]
func.func @slice_of_concat(%x: tensor<4x8xf32>, %y: tensor<4x2xf32>) -> tensor<4x2xf32> {
  %0 = tensor.concat dim(1) %x, %y : (tensor<4x8xf32>, tensor<4x2xf32>) -> tensor<4x10xf32>
  %1 = tensor.extract_slice %0[0, 8] [4, 2] [1, 1] : tensor<4x10xf32> to tensor<4x2xf32>
  return %1 : tensor<4x2xf32>
}

// Parts of a result that don't overlap are computed one by one.
// CHECK-LABEL: @parts_of_result
// CHECK-DAG: linalg.generic {{.*}} outs(%{{.*}} : tensor<4x6xf32>)
// CHECK-DAG: linalg.generic {{.*}} outs(%{{.*}} : tensor<4x2xf32>)
// CHECK-NOT: tensor<4x8xf32>)
// CHECK: return
func.func @parts_of_result(%x: tensor<4x8xf32>) -> (tensor<4x6xf32>, tensor<4x2xf32>) {
  %0 = math.exp %x : tensor<4x8xf32>
  %1 = tensor.extract_slice %0[0, 0] [4, 6] [1, 1] : tensor<4x8xf32> to tensor<4x6xf32>
  %2 = tensor.extract_slice %0[0, 6] [4, 2] [1, 1] : tensor<4x8xf32> to tensor<4x2xf32>
  return %1, %2 : tensor<4x6xf32>, tensor<4x2xf32>
}

// What two slices share is computed once.
// CHECK-LABEL: @overlapping_parts
// CHECK: math.exp
// CHECK-NOT: math.exp
// CHECK: return
func.func @overlapping_parts(%x: tensor<4x8xf32>) -> (tensor<4x6xf32>, tensor<4x4xf32>) {
  %0 = math.exp %x : tensor<4x8xf32>
  %1 = tensor.extract_slice %0[0, 0] [4, 6] [1, 1] : tensor<4x8xf32> to tensor<4x6xf32>
  %2 = tensor.extract_slice %0[0, 4] [4, 4] [1, 1] : tensor<4x8xf32> to tensor<4x4xf32>
  return %1, %2 : tensor<4x6xf32>, tensor<4x4xf32>
}

// CHECK-LABEL: @compute_before_concat
// CHECK-SAME: (%[[X:.*]]: tensor<4x6xf32>, %[[Y:.*]]: tensor<4x2xf32>, %[[W:.*]]: tensor<4x8xf32>)
// CHECK-DAG: tensor.extract_slice %[[W]][0, 0] [4, 6] [1, 1]
// CHECK-DAG: tensor.extract_slice %[[W]][0, 6] [4, 2] [1, 1]
// CHECK: tensor.concat dim(1) {{.*}} : (tensor<4x6xbf16>, tensor<4x2xbf16>) -> tensor<4x8xbf16>
// CHECK-NEXT: return
func.func @compute_before_concat(%x: tensor<4x6xf32>, %y: tensor<4x2xf32>, %w: tensor<4x8xf32>) -> tensor<4x8xbf16> {
  %0 = tensor.concat dim(1) %x, %y : (tensor<4x6xf32>, tensor<4x2xf32>) -> tensor<4x8xf32>
  %1 = arith.mulf %0, %w : tensor<4x8xf32>
  %2 = arith.truncf %1 : tensor<4x8xf32> to tensor<4x8xbf16>
  return %2 : tensor<4x8xbf16>
}
