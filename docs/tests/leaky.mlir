// RUN: weir-opt %{root}/docs/tutorial/sharpen.mlir --weir-expand='plugins=%{root}/docs/tutorial/leaky.mlir' | FileCheck %s

// The tutorial's layer in the tutorial's model.
// CHECK: func.func @sharpen(%{{[^:]*}}: tensor<?x?xi32> {weir.input = "tokens"}
// CHECK-SAME: tensor<16x64xf32> {{{.*}}weir.param = "tok.weight"}
// CHECK-SAME: tensor<128x64xf32> {{{.*}}weir.param = "layer.1.leaky.decay.weight"}
// CHECK-SAME: tensor<?x128xf32> {weir.init = "zeros", weir.state = "layer.1.leaky.h"}
// CHECK: weir.scan
// CHECK: weir.gated_unit
