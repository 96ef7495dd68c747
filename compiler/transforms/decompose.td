include "mlir/Pass/PassBase.td"

def Decompose : Pass<"weir-decompose", "::mlir::func::FuncOp"> {
  let summary = "replace every op by simpler ones until only structured ops, views and kernel roots are left";
  let description = [{
    Applies `decomposeOperation` of `AggregatedOpInterface` until no op offers it, except for ops that are kernels of
    their own (scans, recurrences, gathers, attention). Then elementwise arithmetic on tensors becomes `linalg.generic`, named
    linalg ops are generalized, and constants that are the same everywhere move into bodies as scalars.

    ```mlir
    %c = arith.constant dense<2.0> : tensor<4x8xf32>
    %y = arith.mulf %x, %c : tensor<4x8xf32>
    ```
    becomes
    ```mlir
    %c = arith.constant 2.0 : f32
    %y = linalg.generic {...} ins(%x) outs(%empty) {
    ^bb0(%in: f32, %out: f32):
      %0 = arith.mulf %in, %c : f32
      linalg.yield %0 : f32
    }
    ```
  }];
  let options = [
    Option<"keepDifferentiable", "keep-differentiable", "bool", "false",
           "leave ops of this dialect that have a gradient of their own">,
    Option<"whole", "whole", "bool", "true",
           "leave what is a kernel of its own but has a decomposition, too: attention">,
    ListOption<"keep", "keep", "std::string", "further ops to leave, by name">,
  ];
  let dependentDialects = [
    "::mlir::arith::ArithDialect", "::mlir::linalg::LinalgDialect", "::mlir::math::MathDialect",
    "::mlir::tensor::TensorDialect",
  ];
}
