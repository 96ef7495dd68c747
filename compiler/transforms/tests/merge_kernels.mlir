// RUN: weir-opt %s --weir-merge-kernels | FileCheck %s

// Equal up to names and a random stream: one kernel, and the stream is an argument.
// CHECK-LABEL: func.func @host
// CHECK-SAME: (%[[X:.*]]: tensor<8xi64>)
// CHECK-DAG: %[[C3:.*]] = arith.constant 3 : i64
// CHECK-DAG: %[[C4:.*]] = arith.constant 4 : i64
// CHECK-DAG: %[[A:.*]] = weir.launch @a(%[[X]], %[[C3]])
// CHECK-DAG: %[[B:.*]] = weir.launch @a(%[[A]], %[[C4]])
// CHECK: weir.launch @c(%[[B]])
func.func @host(%x: tensor<8xi64>) -> tensor<8xi64> {
  %0 = weir.launch @a(%x) : (tensor<8xi64>) -> tensor<8xi64>
  %1 = weir.launch @b(%0) : (tensor<8xi64>) -> tensor<8xi64>
  %2 = weir.launch @c(%1) : (tensor<8xi64>) -> tensor<8xi64>
  return %2 : tensor<8xi64>
}

// CHECK: func.func private @a(%{{.*}}: tensor<8xi64>, %[[STREAM:.*]]: i64)
// CHECK-NOT: arith.constant 3
// CHECK: arith.constant 7 : i64
// CHECK: arith.addi %{{.*}}, %[[STREAM]]
// CHECK-NOT: @b
// CHECK: @c
#id = affine_map<(d0) -> (d0)>
func.func private @a(%x: tensor<8xi64>) -> tensor<8xi64> attributes {weir.kernel, weir.row_rank = 1 : i64} {
  %stream = arith.constant 3 : i64
  %same = arith.constant 7 : i64
  %e = tensor.empty() : tensor<8xi64>
  %y = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel"]}
      ins(%x : tensor<8xi64>) outs(%e : tensor<8xi64>) {
  ^bb0(%in: i64, %out: i64):
    %m = arith.muli %in, %same : i64
    %s = arith.addi %m, %stream : i64
    linalg.yield %s : i64
  } -> tensor<8xi64>
  return %y : tensor<8xi64>
}
func.func private @b(%input: tensor<8xi64>) -> tensor<8xi64> attributes {weir.kernel, weir.row_rank = 1 : i64} {
  %c4 = arith.constant 4 : i64
  %c7 = arith.constant 7 : i64
  %0 = tensor.empty() : tensor<8xi64>
  %1 = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel"]}
      ins(%input : tensor<8xi64>) outs(%0 : tensor<8xi64>) {
  ^bb0(%a: i64, %b: i64):
    %m = arith.muli %a, %c7 : i64
    %s = arith.addi %m, %c4 : i64
    linalg.yield %s : i64
  } -> tensor<8xi64>
  return %1 : tensor<8xi64>
}
func.func private @c(%x: tensor<8xi64>) -> tensor<8xi64> attributes {weir.kernel, weir.row_rank = 1 : i64} {
  %stream = arith.constant 3 : i64
  %same = arith.constant 7 : i64
  %e = tensor.empty() : tensor<8xi64>
  %y = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel"]}
      ins(%x : tensor<8xi64>) outs(%e : tensor<8xi64>) {
  ^bb0(%in: i64, %out: i64):
    %m = arith.addi %in, %same : i64
    %s = arith.addi %m, %stream : i64
    linalg.yield %s : i64
  } -> tensor<8xi64>
  return %y : tensor<8xi64>
}
