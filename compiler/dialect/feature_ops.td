// Ops along features: projections, splits, shapes. They mix nothing along time.

#ifndef WEIR_COMPILER_DIALECT_FEATURE_OPS_TD_
#define WEIR_COMPILER_DIALECT_FEATURE_OPS_TD_

include "compiler/dialect/interfaces.td"
include "compiler/dialect/sequence_interfaces.td"
include "compiler/dialect/weir_dialect.td"
include "mlir/Dialect/Linalg/IR/LinalgInterfaces.td"
include "mlir/IR/BuiltinAttributes.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

def Weir_FloatTensor : RankedTensorOf<[AnyFloat]>;

class Weir_FeatureOp<string mnemonic, list<Trait> traits = []> : Weir_Op<mnemonic, !listconcat(traits, [
    Pure, InferTypeOpAdaptorWithIsCompatible,
    DeclareOpInterfaceMethods<AggregatedOpInterface, ["decomposeOperation"]>,
    DeclareOpInterfaceMethods<CostOpInterface, ["cost"]>])>;

def Weir_LinearOp : Weir_FeatureOp<"linear", [
    AttrSizedOperandSegments, DeclareOpInterfaceMethods<ParameterizedOpInterface, ["parameterSpecs"]>,
    DeclareOpInterfaceMethods<AutocastOpInterface, ["autocastOperands"]>]> {
  let summary = "y = x W^T + b, over the features";
  let description = [{
    In a layer it has a name and the number of output features; its parameters are `<name>.weight`
    (`tensor<out x in>`) and, with `bias`, `<name>.bias` (`tensor<out>`). Without `init` both start as
    `torch.nn.Linear` does: uniform within 1 / sqrt(in). With `init` the weight starts so and the bias at zero.

    ```mlir
    %k = weir.linear %x, "to_z" [%e] bias : tensor<?x?x?xf32>
    %p = weir.linear %n, "in" [2 * %e + %s] bias init(normal(0.02)) : tensor<?x?x?xf32>
    ```

    Bound to its parameters:

    ```mlir
    %k = weir.linear %x params(%w, %b : tensor<128x64xf32>, tensor<128xf32>) : tensor<?x?x64xf32> -> tensor<?x?x128xf32>
    ```

    The sum is in f32 (f64 in f64), and so is the result. Leading dimensions of x are free.
  }];
  let arguments = (ins Weir_FloatTensor:$x, Variadic<Index>:$size_operands, Variadic<Weir_FloatTensor>:$parameters,
                       OptionalAttr<StrAttr>:$name, AffineMapAttr:$sizes, UnitAttr:$bias, OptionalAttr<StrAttr>:$init);
  let results = (outs Weir_FloatTensor:$result);
  let assemblyFormat = [{
    $x (`,` $name^)? custom<Sizes>($size_operands, $sizes) (`params` `(` $parameters^ `:` type($parameters) `)`)?
    (`bias` $bias^)? custom<Init>($init) attr-dict `:` custom<SameOrOther>(type($x), type($result))
  }];
  let hasVerifier = 1;
}

def Weir_HeadOp : Weir_FeatureOp<"head", [
    AttrSizedOperandSegments, DeclareOpInterfaceMethods<ParameterizedOpInterface, ["parameterSpecs"]>,
    DeclareOpInterfaceMethods<AutocastOpInterface, ["autocastOperands", "keepsF32Result"]>]> {
  let summary = "logits = x W^T, with a weight of its own or the embedding's";
  let description = [{
    The output layer of a language model, without bias. Its parameter is `<name>.weight` (`tensor<vocabulary x d>`), or
    the weight of the embedding that `tied` names by its path from the root of the model.

    ```mlir
    %logits = weir.head %n, "head" [%vocab] : tensor<?x?x?xf32>
    %logits = weir.head %n tied("tok") : tensor<?x?x?xf32>
    ```
  }];
  let arguments = (ins Weir_FloatTensor:$x, Variadic<Index>:$size_operands, Variadic<Weir_FloatTensor>:$parameters,
                       OptionalAttr<StrAttr>:$name, AffineMapAttr:$sizes, OptionalAttr<StrAttr>:$tied,
                       OptionalAttr<StrAttr>:$init);
  let results = (outs Weir_FloatTensor:$result);
  let assemblyFormat = [{
    $x (`,` $name^)? custom<Sizes>($size_operands, $sizes) (`params` `(` $parameters^ `:` type($parameters) `)`)?
    (`tied` `(` $tied^ `)`)? custom<Init>($init) attr-dict `:` custom<SameOrOther>(type($x), type($result))
  }];
  let hasVerifier = 1;
}

def Weir_SplitOp : Weir_FeatureOp<"split", [
    DeclareOpInterfaceMethods<ParameterizedOpInterface, ["parameterSpecs", "bindParameters", "isBound"]>]> {
  let summary = "cuts the features into consecutive pieces";
  let description = [{
    ```mlir
    %u, %v, %z = weir.split %t [%e, %e, %s] : tensor<?x?x?xf32> -> tensor<?x?x?xf32>, tensor<?x?x?xf32>, tensor<?x?x?xf32>
    ```

    Once the sizes are known they are kept as `pieces`; they must add up to the features of x.
  }];
  let arguments = (ins Weir_FloatTensor:$x, Variadic<Index>:$size_operands, AffineMapAttr:$sizes,
                       OptionalAttr<DenseI64ArrayAttr>:$pieces);
  let results = (outs Variadic<Weir_FloatTensor>:$results);
  let assemblyFormat = [{
    $x custom<Sizes>($size_operands, $sizes) (`pieces` $pieces^)? attr-dict `:` type($x) `->` type($results)
  }];
  let hasVerifier = 1;
}

def Weir_SplitHeadsOp : Weir_FeatureOp<"split_heads", [
    DeclareOpInterfaceMethods<ParameterizedOpInterface, ["parameterSpecs", "bindParameters", "isBound"]>]> {
  let summary = "features as heads side by side";
  let description = [{
    The last dimension, h * p, as h heads of p features; weir.merge_heads is the way back.

    ```mlir
    %q = weir.split_heads %x [%h] : tensor<?x?x?xf32> -> tensor<?x?x?x?xf32>
    ```

    Once the number of heads is known it is kept as `num_heads`; it must divide the features.
  }];
  let arguments = (ins Weir_FloatTensor:$x, Variadic<Index>:$size_operands, AffineMapAttr:$sizes,
                       OptionalAttr<I64Attr>:$num_heads);
  let results = (outs Weir_FloatTensor:$result);
  let assemblyFormat = [{
    $x custom<Sizes>($size_operands, $sizes) (`num_heads` $num_heads^)? attr-dict `:` type($x) `->` type($result)
  }];
  let hasVerifier = 1;
}

def Weir_MergeHeadsOp : Weir_FeatureOp<"merge_heads"> {
  let summary = "heads as features side by side";
  let description = [{
    The last two dimensions, h heads of p features, as h * p features.

    ```mlir
    %y = weir.merge_heads %o : tensor<?x?x?x?xf32> -> tensor<?x?x?xf32>
    ```
  }];
  let arguments = (ins Weir_FloatTensor:$x);
  let results = (outs Weir_FloatTensor:$result);
  let assemblyFormat = "$x attr-dict `:` type($x) `->` type($result)";
}

def Weir_ScaleOffsetOp : Weir_FeatureOp<"scale_offset", [
    AttrSizedOperandSegments, DeclareOpInterfaceMethods<ParameterizedOpInterface, ["parameterSpecs"]>]> {
  let summary = "several scaled and shifted copies of one tensor";
  let description = [{
    y_i = x * weight_i + bias_i, features wise: the cheap queries and keys of gated attention units ("Transformer Quality
    in Linear Time", section 2). Parameters are `<name>.weight`, which starts as `init` says, and `<name>.bias`, zeros;
    both `tensor<heads x features>`.

    ```mlir
    %q, %k = weir.scale_offset %z, "qk" heads(2) init(normal(0.02)) : tensor<?x?x?xf32> -> tensor<?x?x?xf32>, tensor<?x?x?xf32>
    ```
  }];
  let arguments = (ins Weir_FloatTensor:$x, Variadic<Index>:$size_operands, Variadic<Weir_FloatTensor>:$parameters,
                       OptionalAttr<StrAttr>:$name, AffineMapAttr:$sizes, I64Attr:$heads, OptionalAttr<StrAttr>:$init);
  let results = (outs Variadic<Weir_FloatTensor>:$results);
  let assemblyFormat = [{
    $x (`,` $name^)? custom<Sizes>($size_operands, $sizes) (`params` `(` $parameters^ `:` type($parameters) `)`)?
    `heads` `(` $heads `)` custom<Init>($init) attr-dict `:` type($x) `->` type($results)
  }];
  let hasVerifier = 1;
}

def Weir_GatedUnitOp : Weir_FeatureOp<"gated_unit", [SameOperandsAndResultShape]> {
  let summary = "act(gate) * value";
  let description = [{
    The elementwise part of a gated linear unit. The activation is none, sigmoid, silu, gelu, gelu_tanh, relu,
    relu_squared, tanh or softplus.

    ```mlir
    %h = weir.gated_unit %gate, %up activation("silu") : tensor<?x?x?xf32>
    ```
  }];
  let arguments = (ins Weir_FloatTensor:$gate, Weir_FloatTensor:$value, StrAttr:$activation);
  let results = (outs Weir_FloatTensor:$result);
  let assemblyFormat = [{
    $gate `,` $value `activation` `(` $activation `)` attr-dict `:`
    custom<AllSame>(type($gate), type($value), type($result))
  }];
  let hasVerifier = 1;
}

def Weir_ConstantOp : Weir_FeatureOp<"constant"> {
  let summary = "a number in the shape of another value";
  let description = [{
    ```mlir
    %half = weir.constant 0.5 like %x : tensor<?x?x?xf32>
    ```
  }];
  let arguments = (ins Weir_FloatTensor:$x, F64Attr:$value);
  let results = (outs Weir_FloatTensor:$result);
  let assemblyFormat = "custom<Number>($value) `like` $x attr-dict `:` custom<SameOrOther>(type($x), type($result))";
}

def Weir_BroadcastOp : Weir_FeatureOp<"broadcast"> {
  let summary = "repeats a tensor along the leading dimensions of another";
  let description = [{
    The dimensions of the operand are the last ones of the result.

    ```mlir
    %g = weir.broadcast %gain like %x : tensor<?xf32>, tensor<?x?x?xf32> -> tensor<?x?x?xf32>
    ```
  }];
  let arguments = (ins Weir_FloatTensor:$operand, Weir_FloatTensor:$like);
  let results = (outs Weir_FloatTensor:$result);
  let assemblyFormat = [{
    $operand `like` $like attr-dict `:` type($operand) `,` type($like) `->` type($result)
  }];
  let hasVerifier = 1;
}

#endif  // WEIR_COMPILER_DIALECT_FEATURE_OPS_TD_
