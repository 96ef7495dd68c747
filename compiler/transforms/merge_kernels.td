include "mlir/Pass/PassBase.td"

def MergeKernels : Pass<"weir-merge-kernels", "::mlir::ModuleOp"> {
  let summary = "merge kernels that do the same";
  let description = [{
    Kernels are equal if they differ in nothing but names and locations. Kernels that differ in 64-bit integer constants
    as well (the random streams of equal layers) become one that takes those as arguments. So compile time grows with
    the number of different layers, not with depth.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::func::FuncDialect", "::weir::WeirDialect"];
}
