include "mlir/Pass/PassBase.td"

def FuseElementwise : Pass<"weir-fuse-elementwise", "::mlir::func::FuncOp"> {
  let summary = "fuse elementwise linalg.generic ops into their consumers";
  let description = [{
    Upstream's elementwise fusion with a cost rule of ours: a producer joins its consumer if no point is computed twice,
    or if computing it again is cheaper than a round trip through memory. Products take only widening conversions of
    their operands: what else they read is worth keeping as it is read many times.

    Must not run on a function that holds both a forward and a backward pass: it would undo the recomputation there.

    ```mlir
    %k = linalg.generic {...} ins(%x) { negf }
    %a = linalg.generic {...} ins(%k) { sigmoid }
    ```
    becomes one `linalg.generic` whose body has both.
  }];
  let options = [
    Option<"maxInputs", "max-inputs", "int64_t", "16", "operands a fused op may read">,
    Option<"cheap", "cheap", "int64_t", "2", "arithmetic operations that may be computed more than once per element">,
  ];
  let dependentDialects = [
    "::mlir::arith::ArithDialect", "::mlir::linalg::LinalgDialect", "::mlir::tensor::TensorDialect",
  ];
}
