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

    The probabilities are never stored, and where the vocabulary is large, `weir-fuse-loss` sees to it that the logits
    aren't either.

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

def Weir_LogitStatisticsOp : Weir_Op<"logit_statistics", [
    Pure, InferTypeOpAdaptorWithIsCompatible,
    DeclareOpInterfaceMethods<DifferentiableOpInterface, ["buildVjp"]>,
    DeclareOpInterfaceMethods<AggregatedOpInterface, ["decomposeOperation"]>,
    DeclareOpInterfaceMethods<AutocastOpInterface, ["autocastOperands", "keepsF32Result"]>,
    DeclareOpInterfaceMethods<CostOpInterface, ["cost"]>]> {
  let summary = "what a loss needs of a head's logits, which are never stored";
  let description = [{
    The logits of a token are the products of its features and the rows of the weight, one for each class. Of those the op
    gives, for each token, `tensor<batch x time x f32>` (f64 in f64):

    - `log_sum`: log(sum exp(logits));
    - `peak`: the largest logit;
    - `picked`: the logit of the token's target; 0 where the target is no class, as one below 0 isn't.

    It is one kernel, which goes through the classes block by block with running maxima and sums. With bf16 operands the
    sums of products are f32. For its gradient it keeps `log_sum` and `picked`; the logits are computed again
    (weir.logit_statistics_vjp). `peak` has no gradient. `weir-fuse-loss` puts it in the place of a head whose logits only
    weir.cross_entropy reads.

    ```mlir
    %log_sum, %peak, %picked = weir.logit_statistics %x, %weight, %targets
        : tensor<8x1024x512xbf16>, tensor<32768x512xbf16>, tensor<8x1024xi32> -> tensor<8x1024xf32>
    ```
  }];
  let arguments = (ins RankedTensorOf<[AnyFloat]>:$x, RankedTensorOf<[AnyFloat]>:$weight,
                       RankedTensorOf<[I32]>:$targets);
  let results = (outs RankedTensorOf<[AnyFloat]>:$log_sum, RankedTensorOf<[AnyFloat]>:$peak,
                      RankedTensorOf<[AnyFloat]>:$picked);
  let assemblyFormat = [{
    $x `,` $weight `,` $targets attr-dict `:` type($x) `,` type($weight) `,` type($targets) `->`
    custom<ThreeOfOne>(type($log_sum), type($peak), type($picked))
  }];
  let hasVerifier = 1;
}

def Weir_LogitStatisticsVjpOp : Weir_Op<"logit_statistics_vjp", [
    Pure, DeclareOpInterfaceMethods<AggregatedOpInterface, ["decomposeOperation"]>,
    DeclareOpInterfaceMethods<CostOpInterface, ["cost"]>]> {
  let summary = "the gradient of weir.logit_statistics, without stored logits";
  let description = [{
    With d_log_sum and d_picked, the cotangents of a token's results, that of the logit of class c is

        exp(logit_c - log_sum) d_log_sum + (c is the target) d_picked,

    rounded to the type of x for the two products that read it: `dx` is its product with the weight, `dweight` with x.
    Logits are computed again, a block of classes and tokens at a time; the one of the target is known, `picked`. Both results are of the type of sums, f32 or
    f64; `dx` may be of the type of x instead.

    ```mlir
    %dx, %dw = weir.logit_statistics_vjp %x, %weight, %targets, %log_sum, %picked, %d_log_sum, %d_picked
        : (tensor<8x1024x512xbf16>, tensor<32768x512xbf16>, tensor<8x1024xi32>, tensor<8x1024xf32>,
           tensor<8x1024xf32>, tensor<8x1024xf32>, tensor<8x1024xf32>) -> (tensor<8x1024x512xbf16>, tensor<32768x512xf32>)
    ```
  }];
  let arguments = (ins RankedTensorOf<[AnyFloat]>:$x, RankedTensorOf<[AnyFloat]>:$weight,
                       RankedTensorOf<[I32]>:$targets, RankedTensorOf<[AnyFloat]>:$log_sum,
                       RankedTensorOf<[AnyFloat]>:$picked, RankedTensorOf<[AnyFloat]>:$d_log_sum,
                       RankedTensorOf<[AnyFloat]>:$d_picked);
  let results = (outs RankedTensorOf<[AnyFloat]>:$dx, RankedTensorOf<[AnyFloat]>:$dweight);
  let assemblyFormat = [{
    $x `,` $weight `,` $targets `,` $log_sum `,` $picked `,` $d_log_sum `,` $d_picked attr-dict `:`
    functional-type(operands, results)
  }];
  let hasVerifier = 1;
}

#endif  // WEIR_COMPILER_DIALECT_LOSS_OPS_TD_
