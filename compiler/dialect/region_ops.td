// The terminator of the dialect's regions.

#ifndef WEIR_COMPILER_DIALECT_REGION_OPS_TD_
#define WEIR_COMPILER_DIALECT_REGION_OPS_TD_

include "compiler/dialect/weir_dialect.td"
include "mlir/Interfaces/ControlFlowInterfaces.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

def Weir_YieldOp : Weir_Op<"yield", [Terminator, Pure, ReturnLike]> {
  let summary = "ends a region and hands its values to the op around it";
  let description = [{
    ```mlir
    weir.yield %g : tensor<?x?x?xf32>
    weir.yield
    ```
  }];
  let arguments = (ins Variadic<AnyType>:$values);
  let assemblyFormat = "($values^ `:` type($values))? attr-dict";
  let builders = [OpBuilder<(ins), [{ /* no values */ }]>];
}

#endif  // WEIR_COMPILER_DIALECT_REGION_OPS_TD_
