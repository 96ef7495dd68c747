// Positions: rotary, sinusoidal, learned.

#ifndef WEIR_COMPILER_DIALECT_POSITION_OPS_TD_
#define WEIR_COMPILER_DIALECT_POSITION_OPS_TD_

include "compiler/dialect/interfaces.td"
include "compiler/dialect/sequence_interfaces.td"
include "compiler/dialect/weir_dialect.td"
include "mlir/Dialect/Linalg/IR/LinalgInterfaces.td"
include "mlir/IR/BuiltinAttributes.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

/// An op that needs the position of each token: start + t, counted anew in each segment. `start` is one for all rows
/// (tensor<i64>) or one for each (tensor<batch x i64>).
class Weir_PositionOp<string mnemonic, list<Trait> traits = []> : Weir_Op<mnemonic, !listconcat(traits, [
    Pure, AttrSizedOperandSegments, InferTypeOpAdaptorWithIsCompatible,
    DeclareOpInterfaceMethods<TimeMixingOpInterface, ["bindSegments", "bindStart", "usesStart"]>,
    DeclareOpInterfaceMethods<StreamableOpInterface, ["stateSpecs", "buildStep"]>,
    DeclareOpInterfaceMethods<AggregatedOpInterface, ["decomposeOperation"]>,
    DeclareOpInterfaceMethods<CostOpInterface, ["cost"]>])>;

def Weir_RotaryOp : Weir_PositionOp<"rotary", [
    DeclareOpInterfaceMethods<ParameterizedOpInterface, ["parameterSpecs", "bindParameters", "isBound"]>,
    DeclareOpInterfaceMethods<DifferentiableOpInterface, ["buildVjp"]>]> {
  let summary = "turns pairs of features by an angle that grows with the position";
  let description = [{
    Features are `heads` heads side by side, each of p features; feature j < p / 2 of a head and feature j + p / 2 are
    turned by position * 10000^(-j / (p / 2)): [x1 cos - x2 sin, x2 cos + x1 sin] ("Transformer Quality in Linear Time",
    appendix D, code 3). The position is global: start + t, counted from 0 in each segment. Angles are reduced in f64
    before sine and cosine are taken, so that they hold at positions in the millions.

    ```mlir
    %q1, %k1 = weir.rotary %q, %k : tensor<?x?x?xf32>, tensor<?x?x?xf32>
    %q1, %k1 = weir.rotary %q, %k heads [%h] : tensor<?x?x?xf32>, tensor<?x?x?xf32>
    ```

    With `inverse` it turns the other way, which is its own gradient.
  }];
  let arguments = (ins Variadic<RankedTensorOf<[AnyFloat]>>:$inputs, Variadic<Index>:$size_operands,
                       Optional<RankedTensorOf<[I32]>>:$segments, Optional<RankedTensorOf<[I64]>>:$start,
                       AffineMapAttr:$sizes, OptionalAttr<I64Attr>:$num_heads, UnitAttr:$inverse);
  let results = (outs Variadic<RankedTensorOf<[AnyFloat]>>:$results);
  let assemblyFormat = [{
    $inputs custom<KeywordSizes>("\"heads\"", $size_operands, $sizes) (`num_heads` $num_heads^)?
    (`segments` `(` $segments^ `:` type($segments) `)`)? (`start` `(` $start^ `:` type($start) `)`)?
    (`inverse` $inverse^)? attr-dict `:` custom<EachSame>(type($inputs), type($results))
  }];
  let hasVerifier = 1;
}

def Weir_ScaledSinOp : Weir_PositionOp<"scaled_sin", [
    DeclareOpInterfaceMethods<ParameterizedOpInterface, ["parameterSpecs"]>]> {
  let summary = "adds sinusoids of the position, times one trainable number";
  let description = [{
    y = x + weight [sin(position f_j) | cos(position f_j)] with f_j = 10000^(-j / (d / 2)): the ScaledSin positions of
    "Transformer Quality in Linear Time", appendix D, code 2. The parameter `<name>.weight` of type `tensor<f32>` starts
    at 1 / sqrt(d).

    ```mlir
    %y = weir.scaled_sin %x, "pos" : tensor<?x?x?xf32>
    ```
  }];
  let arguments = (ins RankedTensorOf<[AnyFloat]>:$x, Variadic<Index>:$size_operands,
                       Variadic<RankedTensorOf<[AnyFloat]>>:$parameters, Optional<RankedTensorOf<[I32]>>:$segments,
                       Optional<RankedTensorOf<[I64]>>:$start, OptionalAttr<StrAttr>:$name, AffineMapAttr:$sizes);
  let results = (outs RankedTensorOf<[AnyFloat]>:$result);
  let assemblyFormat = [{
    $x (`,` $name^)? custom<Sizes>($size_operands, $sizes) (`params` `(` $parameters^ `:` type($parameters) `)`)?
    (`segments` `(` $segments^ `:` type($segments) `)`)? (`start` `(` $start^ `:` type($start) `)`)?
    attr-dict `:` custom<SameOrOther>(type($x), type($result))
  }];
  let hasVerifier = 1;
}

def Weir_LearnedPositionsOp : Weir_PositionOp<"learned_positions", [
    DeclareOpInterfaceMethods<ParameterizedOpInterface, ["parameterSpecs"]>]> {
  let summary = "adds a trainable row for each position";
  let description = [{
    y = x + weight[position], where `<name>.weight` is `tensor<length x d>`; a sequence longer than that is refused. A
    stream ends there too: later positions are taken for the last one, unless whoever runs the stream heeds the
    `weir.position_limit` of its step form.

    ```mlir
    %y = weir.learned_positions %x, "pos" [%length] init(normal(0.02)) : tensor<?x?x?xf32>
    ```
  }];
  let arguments = (ins RankedTensorOf<[AnyFloat]>:$x, Variadic<Index>:$size_operands,
                       Variadic<RankedTensorOf<[AnyFloat]>>:$parameters, Optional<RankedTensorOf<[I32]>>:$segments,
                       Optional<RankedTensorOf<[I64]>>:$start, OptionalAttr<StrAttr>:$name, AffineMapAttr:$sizes,
                       OptionalAttr<StrAttr>:$init);
  let results = (outs RankedTensorOf<[AnyFloat]>:$result);
  let assemblyFormat = [{
    $x (`,` $name^)? custom<Sizes>($size_operands, $sizes) (`params` `(` $parameters^ `:` type($parameters) `)`)?
    (`segments` `(` $segments^ `:` type($segments) `)`)? (`start` `(` $start^ `:` type($start) `)`)?
    custom<Init>($init) attr-dict `:` custom<SameOrOther>(type($x), type($result))
  }];
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    /// The rows of the table.
    ::std::optional<int64_t> positionLimit();
  }];
}

#endif  // WEIR_COMPILER_DIALECT_POSITION_OPS_TD_
