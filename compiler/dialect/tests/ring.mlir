// RUN: weir-opt %s --split-input-file --verify-diagnostics | weir-opt --split-input-file | FileCheck %s
// RUN: weir-opt %s --split-input-file --verify-diagnostics --weir-decompose=whole=false | FileCheck %s --check-prefix=TAKEN

// CHECK-LABEL: func @write
// TAKEN-LABEL: func @write
func.func @write(%ring: tensor<2x5x3xf32>, %rows: tensor<2x2x3xf32>, %start: tensor<i64>) -> tensor<2x5x3xf32> {
  // CHECK: weir.write_ring %{{.*}}, %{{.*}} at %{{.*}} : tensor<2x5x3xf32>, tensor<2x2x3xf32>, tensor<i64>
  // TAKEN-NOT: weir.write_ring
  // TAKEN: arith.remsi
  // TAKEN: weir.gather_rows %{{.*}} : tensor<4x3xf32>, tensor<2x5xi32> -> tensor<2x5x3xf32>
  // TAKEN: arith.select
  %0 = weir.write_ring %ring, %rows at %start : tensor<2x5x3xf32>, tensor<2x2x3xf32>, tensor<i64>
  return %0 : tensor<2x5x3xf32>
}

// -----

func.func @more_than_the_ring(%ring: tensor<2x5x3xf32>, %rows: tensor<2x6x3xf32>, %start: tensor<i64>) {
  // expected-error @+1 {{'weir.write_ring' op can't write 'tensor<2x6x3xf32>' to 'tensor<2x5x3xf32>'}}
  %0 = weir.write_ring %ring, %rows at %start : tensor<2x5x3xf32>, tensor<2x6x3xf32>, tensor<i64>
  return
}

// -----

func.func @other_type(%ring: tensor<2x5x3xbf16>, %rows: tensor<2x1x3xf32>, %start: tensor<i64>) {
  // expected-error @+1 {{can't write 'tensor<2x1x3xf32>' to 'tensor<2x5x3xbf16>'}}
  %0 = weir.write_ring %ring, %rows at %start : tensor<2x5x3xbf16>, tensor<2x1x3xf32>, tensor<i64>
  return
}
