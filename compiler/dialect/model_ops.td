// The model level: layers, models and what is decided when a model is expanded. None of these ops is left after `expand`.

#ifndef WEIR_COMPILER_DIALECT_MODEL_OPS_TD_
#define WEIR_COMPILER_DIALECT_MODEL_OPS_TD_

include "compiler/dialect/attributes.td"
include "compiler/dialect/types.td"
include "mlir/IR/OpAsmInterface.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

def Weir_CompileTime : AnyTypeOf<[Index, I1, F64, Weir_ChoiceType],
                                 "a value known when a model is expanded (index, i1, f64 or !weir.choice)">;

/// What weir.layer and weir.model have in common: a signature, a body that ends in weir.return, and nothing from outside.
class Weir_DefinitionOp<string mnemonic> : Weir_Op<mnemonic, [
    IsolatedFromAbove, Symbol, SingleBlock, DeclareOpInterfaceMethods<OpAsmOpInterface, ["getAsmBlockArgumentNames"]>]> {
  let arguments = (ins
    SymbolNameAttr:$sym_name,
    TypeAttrOf<FunctionType>:$function_type,
    StrArrayAttr:$arg_names
  );
  let regions = (region SizedRegion<1>:$body);
  let hasCustomAssemblyFormat = 1;
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    /// The op that ends the body.
    ReturnOp getReturn();
  }];
}

def Weir_LayerOp : Weir_DefinitionOp<"layer"> {
  let summary = "a layer: a named piece of a model, written once";
  let description = [{
    A layer takes tensors and gives tensors. Shapes are symbolic: `tensor<?x?x?xf32>` is batch, time, feature, and f32 means
    "the type the run computes in". Its options are the `weir.config` ops of its body, its parameters are those of the ops it
    uses, under the names given there, and what it carries along time are its `weir.state` ops.

    `weir.apply` uses a layer by name. `attributes {paper = "..."}` says where a layer was published; `doc = "..."` is a
    sentence for `weir layers`.

    ```mlir
    !seq = tensor<?x?x?xf32>
    weir.layer @gate(%x: !seq) -> !seq attributes {doc = "x * sigmoid(W x)"} {
      %d = weir.dim %x, feature : !seq
      %k = weir.linear %x, "to_z" [%d] bias : !seq
      %z = weir.sigmoid %k : !seq
      %y = arith.mulf %x, %z : !seq
      weir.return %y : !seq
    }
    ```

    Its body ends in `weir.return`, whose types are the layer's result types; `weir.config` names and `weir.state` names are
    unique in it; each state is given its next value by `weir.return`.
  }];
}

def Weir_ModelOp : Weir_DefinitionOp<"model"> {
  let summary = "a whole model";
  let description = [{
    As `weir.layer`, but the root: its arguments are the model's inputs, named as they are written; the parameter paths in a
    checkpoint start here; a `weir.config` in it is an option that `--set name=value` overrides on the command line.

    `attributes {linear}` promises that the cost is linear in the length; a model that breaks the promise doesn't compile.

    ```mlir
    weir.model @lm(%tokens: tensor<?x?xi32>) -> tensor<?x?x?xf32> attributes {linear} {
      %v = weir.config "vocab" default 256 : index
      %d = weir.config "width" default 64 : index
      %e = weir.embedding %tokens, "tok" [%v, %d] : tensor<?x?xi32> -> tensor<?x?x?xf32>
      %h = weir.repeat 3 as "layer" (%r = %e) : tensor<?x?x?xf32> {
        %y = weir.apply "mingru"(%r) {hidden = 128} as "rnn" : tensor<?x?x?xf32>
        weir.yield %y : tensor<?x?x?xf32>
      }
      %l = weir.head %h tied("tok") : tensor<?x?x?xf32>
      weir.return %l : tensor<?x?x?xf32>
    }
    ```
  }];
}

def Weir_ReturnOp : Weir_Op<"return", [Terminator, AttrSizedOperandSegments,
                                       ParentOneOf<["LayerOp", "ModelOp"]>]> {
  let summary = "the results of a layer or model, and the states' next values";
  let description = [{
    First the results, then, in `state(...)`, the next value of each `weir.state` of the body, by its name and with its type.

    ```mlir
    weir.return %h, state("h" = %last : tensor<?x?xf32>) : tensor<?x?x?xf32>
    ```
  }];
  let arguments = (ins
    Variadic<AnyType>:$outputs,
    Variadic<AnyType>:$states,
    StrArrayAttr:$state_names
  );
  let hasCustomAssemblyFormat = 1;
  let hasVerifier = 1;
}

def Weir_ConfigOp : Weir_Op<"config", [ParentOneOf<["LayerOp", "ModelOp"]>]> {
  let summary = "an option of a layer or model";
  let description = [{
    Its value is the one that `weir.apply` (for a layer) or `--set` (for a model) gives, or else the default. The type follows
    from the default:

    | default | type |
    | --- | --- |
    | `[2 * %d]`: arithmetic on sizes | `index` |
    | `128` | `index` |
    | `true`, `false` | `i1` |
    | `0.1` | `f64` |
    | `"positive" oneof ["positive", "identity"]` | `!weir.choice` |

    ```mlir
    %e    = weir.config "hidden" default [2 * %d] : index
    %s    = weir.config "head" default 128 : index
    %p    = weir.config "dropout" default 0.0 : f64
    %c    = weir.config "causal" default true
    %kind = weir.config "candidate" default "positive" oneof ["positive", "identity"]
    ```
  }];
  let arguments = (ins
    StrAttr:$name,
    OptionalAttr<AnyAttr>:$default_value,
    Variadic<Index>:$size_operands,
    OptionalAttr<AffineMapAttr>:$default_size,
    OptionalAttr<StrArrayAttr>:$choices
  );
  let results = (outs Weir_CompileTime:$result);
  let hasCustomAssemblyFormat = 1;
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    /// `name : type = default`, or `name : "a" | "b" = "a"`, as `weir layers` and messages show it.
    std::string describe();
    /// `value` as a value of this option (an i64 number becomes an index, an integer a float where a float is wanted), or
    /// null, with the reason in `error`.
    ::mlir::Attribute convert(::mlir::Attribute value, std::string &error);
  }];
}

def Weir_DimOp : Weir_Op<"dim", [Pure]> {
  let summary = "the size of a tensor along batch, time or feature";
  let description = [{
    `batch` is the first dimension, `feature` the last, `time` the second of a tensor with at least three (or of
    batch x time integers). The feature size is a number once the model is expanded; batch and time stay open until it is
    specialized, so they can't be sizes of parameters.

    ```mlir
    %d = weir.dim %x, feature : tensor<?x?x?xf32>
    ```
  }];
  let arguments = (ins AnyRankedTensor:$input, Weir_Axis:$axis);
  let results = (outs Index:$result);
  let assemblyFormat = "$input `,` $axis attr-dict `:` type($input)";
  let hasVerifier = 1;
  let hasFolder = 1;
  let extraClassDeclaration = [{
    /// The position of the axis in the input's shape.
    int64_t getDimension();
  }];
}

def Weir_CaseOp : Weir_Op<"case", []> {
  let summary = "chooses between regions when a model is expanded";
  let description = [{
    The region whose label is the value of the option takes the op's place. There is a region for each word that the option
    allows, or for `true` and `false`.

    ```mlir
    %c = weir.case %kind : !seq
      "positive" { %g = weir.positive %u : !seq  weir.yield %g : !seq }
      "identity" { weir.yield %u : !seq }
    %y = weir.case %gated : !seq
      true { %g = arith.mulf %a, %b : !seq  weir.yield %g : !seq }
      false { weir.yield %a : !seq }
    ```
  }];
  let arguments = (ins
    AnyTypeOf<[I1, Weir_ChoiceType], "an option: !weir.choice or i1">:$selector,
    ArrayAttr:$labels
  );
  let results = (outs Variadic<AnyType>:$results);
  let regions = (region VariadicRegion<SizedRegion<1>>:$cases);
  let hasCustomAssemblyFormat = 1;
  let hasVerifier = 1;
}

def Weir_RepeatOp : Weir_Op<"repeat", [AttrSizedOperandSegments,
                                       DeclareOpInterfaceMethods<OpAsmOpInterface, ["getAsmBlockArgumentNames"]>]> {
  let summary = "a body again and again, each time with parameters of its own";
  let description = [{
    Carries values through the body as many times as it says: the arguments in parentheses start with the values given there
    and get those of `weir.yield` for the next turn. With `as "layer"`, the parameters of turn i are under `layer.<i>.`;
    without, only a body without parameters can be repeated. `index %i` names the number of the turn, which arithmetic
    and `weir.case` can use.

    ```mlir
    %h = weir.repeat 12 as "layer" (%r = %e) : !seq {
      %y = weir.apply "flash"(%r) {chunk = 256} : !seq
      weir.yield %y : !seq
    }
    %g = weir.repeat [2 * %n] as "layer" index %i (%r = %e) : !seq { ... }
    ```
  }];
  let arguments = (ins
    Variadic<Index>:$count_operands,
    Variadic<AnyType>:$inits,
    AffineMapAttr:$count,
    OptionalAttr<StrAttr>:$instance
  );
  let results = (outs Variadic<AnyType>:$results);
  let regions = (region SizedRegion<1>:$body);
  let hasCustomAssemblyFormat = 1;
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    /// Whether the body's first argument is the number of the turn.
    bool hasIndex() { return getBody().getNumArguments() == getInits().size() + 1; }
    /// The body's arguments without the number of the turn.
    ::mlir::Block::BlockArgListType getCarried();
  }];
}

def Weir_ApplyOp : Weir_Op<"apply", [AttrSizedOperandSegments]> {
  let summary = "a layer, by name";
  let description = [{
    The name is looked up among the layers of the same file, then in the registry: `.mlir` files on the plugin path, and
    shared libraries. The braces hold options: constants, or values (`%e : index`; the type may be left out for an index).
    With `as "rnn"`, the layer's parameters and states are under `rnn.`; without, they are where the op stands.

    An option that the layer doesn't have, or whose value doesn't fit, is an error that names the options it has.

    ```mlir
    %y = weir.apply "flash"(%r) {chunk = 256, causal = true} as "mix" : !seq
    %z = weir.apply "mingru"(%y) {hidden = %e, candidate = %kind : !weir.choice} : !seq
    %a = weir.apply "pool"(%x, %m) : (!seq, tensor<?x?xi32>) -> !seq
    ```

    With one type after the colon, all arguments and the one result have it.
  }];
  let arguments = (ins
    StrAttr:$layer,
    Variadic<AnyType>:$inputs,
    Variadic<Weir_CompileTime>:$option_values,
    StrArrayAttr:$option_names,
    DictionaryAttr:$options,
    OptionalAttr<StrAttr>:$instance
  );
  let results = (outs Variadic<AnyType>:$results);
  let hasCustomAssemblyFormat = 1;
  let hasVerifier = 1;
}

def Weir_RefuseOp : Weir_Op<"refuse", []> {
  let summary = "refuses options that don't go together";
  let description = [{
    Where expansion reaches it, the model is refused with this message. It stands in a region of `weir.case` that no
    model should come to.

    ```mlir
    %c = weir.case %candidate : !seq
      "positive" { %g = weir.log_positive %u : !seq  weir.yield %g : !seq }
      "identity" { weir.refuse "arithmetic = \"log\" needs candidate = \"positive\""  weir.yield %u : !seq }
    ```
  }];
  let arguments = (ins StrAttr:$message);
  let assemblyFormat = "$message attr-dict";
}

def Weir_ParamOp : Weir_Op<"param", [AttrSizedOperandSegments]> {
  let summary = "a parameter";
  let description = [{
    A tensor that is trained, with its path (`layer.3.in.gain` from the `as` around it and its own name), its sizes, and its
    initial values: `zeros`, `ones`, `constant(x)`, `normal(std)`, `uniform(bound)`, or `linear` (uniform, bound
    1 / sqrt(product of all sizes but the first), as torch.nn.Linear does). The number may be an f64 value of the model level.

    ```mlir
    %w = weir.param "weight_hh" [3 * %d, %d] init(uniform(%bound)) : tensor<?x?xf32>
    %g = weir.param "gain" init(ones) : tensor<f32>
    ```
  }];
  let arguments = (ins
    StrAttr:$name,
    Variadic<Index>:$size_operands,
    Optional<F64>:$init_value,
    AffineMapAttr:$sizes,
    StrAttr:$init
  );
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = [{
    $name custom<Sizes>($size_operands, $sizes) custom<InitWithOperand>($init_value, $init) attr-dict
    `:` type($result)
  }];
  let hasVerifier = 1;
}

def Weir_StateOp : Weir_Op<"state", [AttrSizedOperandSegments, ParentOneOf<["LayerOp", "ModelOp"]>]> {
  let summary = "what a layer carries along time, as it is before the first token";
  let description = [{
    The batch comes first and isn't among the sizes. At the start of a sequence the state has its initial value; otherwise it
    is what `weir.return` gave under the same name for the tokens before.

    ```mlir
    %h0 = weir.state "h" [%e] init(zeros) : tensor<?x?xf32>
    ```
  }];
  let arguments = (ins
    StrAttr:$name,
    Variadic<Index>:$size_operands,
    Optional<F64>:$init_value,
    AffineMapAttr:$sizes,
    StrAttr:$init
  );
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = [{
    $name custom<Sizes>($size_operands, $sizes) custom<InitWithOperand>($init_value, $init) attr-dict
    `:` type($result)
  }];
  let hasVerifier = 1;
}

#endif  // WEIR_COMPILER_DIALECT_MODEL_OPS_TD_
