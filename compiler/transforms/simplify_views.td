include "mlir/Pass/PassBase.td"

def SimplifyViews : Pass<"weir-simplify-views", "::mlir::func::FuncOp"> {
  let summary = "rewrite sums of padded parts to concatenations, and slice before computing";
  let description = [{
    The gradient of a slice is its cotangent among zeros, and the gradients of several slices of one tensor are added up.
    Written as concatenations these need no zeros, no sums and, as producers write their parts in place, no copies.

    ```mlir
    %a = tensor.insert_slice %x into %zeros[0, 0] [4, 8] [1, 1]
    %b = tensor.insert_slice %y into %zeros[0, 8] [4, 8] [1, 1]
    %s = linalg.generic { addf } ins(%a, %b)
    ```
    becomes
    ```mlir
    %s = tensor.concat dim(1) %x, %y
    ```

    A slice of an elementwise result is the result on slices of its operands, if no element is in two slices; and elementwise
    work on a concatenation that nothing else reads is done on its parts, which so meet in their final form.
  }];
  let dependentDialects = [
    "::mlir::arith::ArithDialect", "::mlir::linalg::LinalgDialect",
    "::mlir::tensor::TensorDialect",
  ];
}
