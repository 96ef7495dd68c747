// Losses.

#ifndef WEIR_COMPILER_DIALECT_LOSS_OPS_TD_
#define WEIR_COMPILER_DIALECT_LOSS_OPS_TD_

include "compiler/dialect/interfaces.td"
include "compiler/dialect/sequence_interfaces.td"
include "compiler/dialect/weir_dialect.td"
include "mlir/Dialect/Linalg/IR/LinalgInterfaces.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

def Weir_CrossEntropyOp : Weir_Op<"cross_entropy", [
    Pure, InferTypeOpAdaptorWithIsCompatible,
    DeclareOpInterfaceMethods<DifferentiableOpInterface, ["buildVjp"]>,
    DeclareOpInterfaceMethods<AggregatedOpInterface, ["decomposeOperation"]>,
    DeclareOpInterfaceMethods<CostOpInterface, ["cost"]>]> {
  let summary = "the cross-entropy of logits against tokens, and how many were right";
  let description = [{
    A target below 0 is masked: it counts nowhere. Results, all `tensor<f32>` (f64 in f64):

    - `mean`: the mean over targets of log(sum exp(logits)) - logit of the target, in nats; 0 if there is none;
    - `sum`: the sum instead;
    - `correct`: the number of targets whose logit is the largest;
    - `count`: the number of targets;
    - `sequences`: the number of rows of the batch that have targets and in which none was missed.

    The probabilities are never stored.

    ```mlir
    %mean, %sum, %correct, %count, %sequences = weir.cross_entropy %logits, %targets
        : tensor<8x128x16xf32>, tensor<8x128xi32> -> tensor<f32>
    ```
  }];
  let arguments = (ins RankedTensorOf<[AnyFloat]>:$logits, RankedTensorOf<[I32]>:$targets);
  let results = (outs RankedTensorOf<[AnyFloat]>:$mean, RankedTensorOf<[AnyFloat]>:$sum,
                      RankedTensorOf<[AnyFloat]>:$correct, RankedTensorOf<[AnyFloat]>:$count,
                      RankedTensorOf<[AnyFloat]>:$sequences);
  let assemblyFormat = [{
    $logits `,` $targets attr-dict `:` type($logits) `,` type($targets) `->`
    custom<FiveOfOne>(type($mean), type($sum), type($correct), type($count), type($sequences))
  }];
  let hasVerifier = 1;
}

#endif  // WEIR_COMPILER_DIALECT_LOSS_OPS_TD_
