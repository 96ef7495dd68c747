include "mlir/Pass/PassBase.td"

def Dispatch : Pass<"weir-dispatch", "::mlir::ModuleOp"> {
  let summary = "group the ops of every function into kernels and outline them";
  let description = [{
    Ops share a kernel if they have leading dimensions in common that each of them works through alone (see
    dispatch_groups.h), if what stays inside fits a cache, and if no other op has to run in between. Each group becomes
    a private function with the attributes `weir.kernel` and `weir.row_rank`; the host function keeps a `weir.launch`.
    A sum over rows, such as the gradient of a bias, joins the kernel that makes what it sums; it is complete only after
    the last row, so what reads it is in another kernel.
    Elementwise ops on arguments whose results are only returned, and sums over arguments, are one kernel each that
    sweeps over all of their tensors: an optimizer's updates of its parameters (see sweeps.h).
    Views (slices, reshapes, concatenations) between kernels stay in the host function, where the planner turns them
    into addresses.

    ```mlir
    %0 = linalg.generic { product } ins(%x, %w)
    %1 = linalg.generic { silu } ins(%0)
    ```
    becomes
    ```mlir
    %1 = weir.launch @k_product(%x, %w) : (tensor<16x80x64xf32>, tensor<64x64xf32>) -> tensor<16x80x64xf32>
    ```
  }];
  let options = [
    Option<"scratchBytes", "scratch-bytes", "int64_t", "524288", "bytes that a block of rows may keep inside a kernel">,
    Option<"weightBytes", "weight-bytes", "int64_t", "1048576", "bytes of weights of a kernel with several products">,
    Option<"maxOps", "max-ops", "int64_t", "64", "ops of a kernel">,
    Option<"minRows", "min-rows", "int64_t", "16", "rows that large kernels have at least, where their ops do">,
  ];
  let dependentDialects = [
    "::mlir::arith::ArithDialect", "::mlir::func::FuncDialect", "::mlir::linalg::LinalgDialect",
    "::mlir::tensor::TensorDialect", "::weir::WeirDialect",
  ];
}
