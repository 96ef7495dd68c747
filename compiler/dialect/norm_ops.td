// Norms over the features, and softmax.

#ifndef WEIR_COMPILER_DIALECT_NORM_OPS_TD_
#define WEIR_COMPILER_DIALECT_NORM_OPS_TD_

include "compiler/dialect/interfaces.td"
include "compiler/dialect/sequence_interfaces.td"
include "compiler/dialect/weir_dialect.td"
include "mlir/Dialect/Linalg/IR/LinalgInterfaces.td"
include "mlir/IR/BuiltinAttributes.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

class Weir_NormOp<string mnemonic, string epsilon> : Weir_Op<mnemonic, [
    Pure, AttrSizedOperandSegments, InferTypeOpAdaptorWithIsCompatible,
    DeclareOpInterfaceMethods<ParameterizedOpInterface, ["parameterSpecs"]>,
    DeclareOpInterfaceMethods<AggregatedOpInterface, ["decomposeOperation"]>,
    DeclareOpInterfaceMethods<CostOpInterface, ["cost"]>]> {
  let arguments = (ins RankedTensorOf<[AnyFloat]>:$x, Variadic<Index>:$size_operands,
                       Variadic<RankedTensorOf<[AnyFloat]>>:$parameters, OptionalAttr<StrAttr>:$name,
                       AffineMapAttr:$sizes, DefaultValuedAttr<F64Attr, epsilon>:$eps);
  let results = (outs RankedTensorOf<[AnyFloat]>:$result);
  let assemblyFormat = [{
    $x (`,` $name^)? custom<Sizes>($size_operands, $sizes) (`params` `(` $parameters^ `:` type($parameters) `)`)?
    custom<Epsilon>($eps) attr-dict `:` custom<SameOrOther>(type($x), type($result))
  }];
  let hasVerifier = 1;
}

def Weir_LayerNormOp : Weir_NormOp<"layer_norm", "1e-5"> {
  let summary = "(x - mean) / sqrt(variance + eps) * weight + bias";
  let description = [{
    Mean and (biased) variance are over the features, in f32. Parameters: `<name>.weight`, ones, and `<name>.bias`,
    zeros.

    ```mlir
    %n = weir.layer_norm %x, "norm" eps(1.0e-5) : tensor<?x?x?xf32>
    ```
  }];
}

def Weir_RmsNormOp : Weir_NormOp<"rms_norm", "1e-6"> {
  let summary = "x / sqrt(mean(x^2) + eps) * weight";
  let description = [{
    The mean is over the features, in f32. Parameter: `<name>.weight`, ones, one for each feature.

    ```mlir
    %n = weir.rms_norm %x, "norm" : tensor<?x?x?xf32>
    ```
  }];
}

def Weir_ScaleNormOp : Weir_NormOp<"scale_norm", "1e-5"> {
  let summary = "x / sqrt(mean(x^2) + eps) * weight, with one weight";
  let description = [{
    As weir.rms_norm with a single gain, `<name>.weight` of type `tensor<f32>`, which starts at one ("Transformer Quality
    in Linear Time", appendix D, code 5).

    ```mlir
    %n = weir.scale_norm %x, "norm" : tensor<?x?x?xf32>
    ```
  }];
}

def Weir_SoftmaxOp : Weir_Op<"softmax", [
    Pure, SameOperandsAndResultType,
    DeclareOpInterfaceMethods<DifferentiableOpInterface, ["buildVjp"]>,
    DeclareOpInterfaceMethods<AggregatedOpInterface, ["decomposeOperation"]>]> {
  let summary = "exp(x) over its sum, along the last dimension";
  let description = [{
    The largest element is subtracted first. A row must hold at least one finite element.

    ```mlir
    %p = weir.softmax %scores : tensor<2x4x16x16xf32>
    ```
  }];
  let arguments = (ins RankedTensorOf<[AnyFloat]>:$x);
  let results = (outs RankedTensorOf<[AnyFloat]>:$result);
  let assemblyFormat = "$x attr-dict `:` type($result)";
}

#endif  // WEIR_COMPILER_DIALECT_NORM_OPS_TD_
