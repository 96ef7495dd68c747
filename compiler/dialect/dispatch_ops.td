// The ops of the host program that dispatch leaves: launches of kernels.

#ifndef WEIR_COMPILER_DIALECT_DISPATCH_OPS_TD_
#define WEIR_COMPILER_DIALECT_DISPATCH_OPS_TD_

include "compiler/dialect/weir_dialect.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

def Weir_LaunchOp : Weir_Op<"launch", [
    Pure, DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "runs a kernel";
  let description = [{
    Runs the outlined kernel `kernel`, a function with the attribute `weir.kernel`, on whole tensors and scalars. What
    differs between two launches of one kernel (parameters, stream ids) is an operand.

    ```mlir
    %y = weir.launch @k3(%x, %w) : (tensor<16x80x64xf32>, tensor<64x64xf32>) -> tensor<16x80x64xf32>
    ```

    Constraints:
    - (C1) `kernel` names a function that has the attribute `weir.kernel`.
    - (C2) The types of operands and results are those of the function.

    The planner adds `buffers`, which says in words where each operand and then each result lives:
    `"input 0"`, `"variable 2 + 64"`, `"arena + 4096"`.
  }];
  let arguments = (ins
    FlatSymbolRefAttr:$kernel,
    Variadic<AnyType>:$operands,
    OptionalAttr<StrArrayAttr>:$buffers);
  let results = (outs Variadic<AnyType>:$outputs);
  let assemblyFormat = "$kernel `(` $operands `)` attr-dict `:` functional-type($operands, $outputs)";
}

#endif  // WEIR_COMPILER_DIALECT_DISPATCH_OPS_TD_
