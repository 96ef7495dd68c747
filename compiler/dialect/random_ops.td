// Dropout.

#ifndef WEIR_COMPILER_DIALECT_RANDOM_OPS_TD_
#define WEIR_COMPILER_DIALECT_RANDOM_OPS_TD_

include "compiler/dialect/interfaces.td"
include "compiler/dialect/sequence_interfaces.td"
include "compiler/dialect/weir_dialect.td"
include "mlir/Dialect/Linalg/IR/LinalgInterfaces.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

def Weir_DropoutOp : Weir_Op<"dropout", [
    Pure, AttrSizedOperandSegments, InferTypeOpAdaptorWithIsCompatible,
    DeclareOpInterfaceMethods<RandomOpInterface, ["bindRandom", "deterministicResult"]>,
    DeclareOpInterfaceMethods<AggregatedOpInterface, ["decomposeOperation"]>,
    DeclareOpInterfaceMethods<CostOpInterface, ["cost"]>]> {
  let summary = "zeroes elements at random while training, and scales the others up";
  let description = [{
    An element is kept with probability 1 - rate, and then divided by 1 - rate. The choice depends on the seed, the step,
    the stream (the op's place in the model) and the element's index in the whole tensor, on nothing else. In evaluation
    the op is its operand.

    ```mlir
    %p = weir.config "dropout" default 0.1 : f64
    %y = weir.dropout %x rate(%p) : tensor<?x?x?xf32>
    ```
  }];
  let arguments = (ins RankedTensorOf<[AnyFloat]>:$x, F64:$rate, Optional<I64>:$stream,
                       Optional<RankedTensorOf<[I64]>>:$rng);
  let hasVerifier = 1;
  let hasFolder = 1;
  let results = (outs RankedTensorOf<[AnyFloat]>:$result);
  let assemblyFormat = [{
    $x `rate` `(` $rate `)` (`stream` `(` $stream^ `)`)? (`rng` `(` $rng^ `:` type($rng) `)`)? attr-dict `:` custom<SameOrOther>(type($x), type($result))
  }];
}

#endif  // WEIR_COMPILER_DIALECT_RANDOM_OPS_TD_
