// Causal convolution along time.

#ifndef WEIR_COMPILER_DIALECT_CONV_OPS_TD_
#define WEIR_COMPILER_DIALECT_CONV_OPS_TD_

include "compiler/dialect/interfaces.td"
include "compiler/dialect/sequence_interfaces.td"
include "compiler/dialect/weir_dialect.td"
include "mlir/Dialect/Linalg/IR/LinalgInterfaces.td"
include "mlir/IR/BuiltinAttributes.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

def Weir_CausalConvOp : Weir_Op<"causal_conv", [
    Pure, AttrSizedOperandSegments, InferTypeOpAdaptorWithIsCompatible,
    DeclareOpInterfaceMethods<ParameterizedOpInterface, ["parameterSpecs", "bindParameters"]>,
    DeclareOpInterfaceMethods<TimeMixingOpInterface, ["bindSegments", "bindStart"]>,
    DeclareOpInterfaceMethods<StreamableOpInterface, ["stateSpecs", "buildStep"]>,
    DeclareOpInterfaceMethods<DifferentiableOpInterface, ["buildVjp"]>,
    DeclareOpInterfaceMethods<AggregatedOpInterface, ["decomposeOperation"]>,
    DeclareOpInterfaceMethods<CostOpInterface, ["cost"]>]> {
  let summary = "a short convolution of each feature with its own past";
  let description = [{
    y[t, d] = bias[d] + sum over j < k of weight[d, j] x[t - (k - 1) + j, d]. Parameters: `<name>.weight`
    (`tensor<d x k>`) and `<name>.bias` (`tensor<d>`), both uniform within 1 / sqrt(k) as `torch.nn.Conv1d` with a group a
    feature. The second result is the state: the last k - 1 inputs, `tensor<batch x (k-1) x d>`; `from` is the state
    before the first token, zeros without it. An input of another segment counts as zero.

    The number of taps k is a number, `kernel(4)`, or in a layer a size, `kernel [%k]`.

    ```mlir
    %y, %last = weir.causal_conv %x, "conv" kernel(4) from %s : tensor<?x?x?xf32>
        : tensor<?x?x?xf32> -> tensor<?x?x?xf32>, tensor<?x?x?xf32>
    ```
  }];
  let arguments = (ins RankedTensorOf<[AnyFloat]>:$x, Variadic<Index>:$size_operands,
                       Variadic<RankedTensorOf<[AnyFloat]>>:$parameters, Optional<RankedTensorOf<[AnyFloat]>>:$initial,
                       Optional<RankedTensorOf<[I32]>>:$segments, OptionalAttr<StrAttr>:$name, AffineMapAttr:$sizes,
                       OptionalAttr<I64Attr>:$kernel);
  let results = (outs RankedTensorOf<[AnyFloat]>:$result, RankedTensorOf<[AnyFloat]>:$last);
  let assemblyFormat = [{
    $x (`,` $name^)? (`params` `(` $parameters^ `:` type($parameters) `)`)?
    `kernel` custom<Kernel>($kernel, $size_operands, $sizes) (`from` $initial^ `:` type($initial))? (`segments` `(` $segments^ `:` type($segments) `)`)?
    attr-dict `:` type($x) `->` type($result) `,` type($last)
  }];
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    /// The number of taps, or 0 while it is only a size.
    int64_t getTaps() { return getKernel().value_or(0); }
  }];
}

#endif  // WEIR_COMPILER_DIALECT_CONV_OPS_TD_
