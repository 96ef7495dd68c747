include "mlir/Pass/PassBase.td"

def Partition : Pass<"weir-partition", "::mlir::ModuleOp"> {
  let summary = "split a joint function into its forward and its backward half";
  let description = [{
    Replaces every function made by `weir-differentiate` by two isolated ones:

    - `@f_forward(arguments) -> (outputs..., residuals...)`
    - `@f_backward(arguments it reads..., residuals..., cotangents...) -> (gradients...)`

    A residual is marked `weir.residual = i` on the result and on the argument. Arguments of the joint function that
    backward reads are passed to it again with their own attributes, not kept.

    What is kept and what is recomputed is one minimum cut. The graph has a node for every forward op and every value:
    an op on the side of backward costs its FLOPs again; an op on the side of forward whose value is on the side of
    backward costs twice the bytes of the value, written once and read once (once where the value is an output of the
    function, or where a kernel of its own, such as a scan, reads it in any case). Where backward would have to write
    what it computes again, since the gradient of a weight or such a kernel reads it from memory, that counts, too. One
    byte counts as 8 FLOPs, what a core can do in f32 while it moves a byte; a division or a root counts as 4 FLOPs, an
    exponential or the like as 16. Elementwise work, broadcasts, casts, fills and sums over one operand can be
    recomputed, views for nothing; products, scans, gathers and everything else can not.

    With `recompute=none` only constants, fills and views are recomputed.
  }];
  let options = [
    Option<"recompute", "recompute", "std::string", "\"cheap\"", "none or cheap">,
  ];
  let dependentDialects = ["::mlir::func::FuncDialect"];
}
