// Caches of streams: the last tokens, each in its place of a ring.

#ifndef WEIR_COMPILER_DIALECT_RING_OPS_TD_
#define WEIR_COMPILER_DIALECT_RING_OPS_TD_

include "compiler/dialect/interfaces.td"
include "compiler/dialect/weir_dialect.td"
include "mlir/Dialect/Linalg/IR/LinalgInterfaces.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

def Weir_WriteRingOp : Weir_Op<"write_ring", [
    Pure, AllTypesMatch<["ring", "result"]>,
    DeclareOpInterfaceMethods<DifferentiableOpInterface, ["buildVjp"]>,
    DeclareOpInterfaceMethods<AggregatedOpInterface, ["decomposeOperation"]>]> {
  let summary = "a ring after some more tokens";
  let description = [{
    A ring of R rows holds token t of a stream in row t mod R. The result is `ring` with the n tokens of `rows`, of which
    the first is token `start` (not negative), in their places: n is at most R.

    Where the old ring is not read any more, the kernel writes to its memory, and what it writes is the n rows.

    ```mlir
    %keys = weir.write_ring %cache, %k at %start : tensor<2x1024x64xf32>, tensor<2x1x64xf32>, tensor<i64>
    ```
  }];
  let arguments = (ins 3DTensorOf<[AnyFloat]>:$ring, 3DTensorOf<[AnyFloat]>:$rows, 0DTensorOf<[I64]>:$start);
  let results = (outs 3DTensorOf<[AnyFloat]>:$result);
  let assemblyFormat = "$ring `,` $rows `at` $start attr-dict `:` type($ring) `,` type($rows) `,` type($start)";
  let hasVerifier = 1;
}

#endif  // WEIR_COMPILER_DIALECT_RING_OPS_TD_
