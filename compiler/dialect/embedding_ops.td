// Tables of rows, looked up by token.

#ifndef WEIR_COMPILER_DIALECT_EMBEDDING_OPS_TD_
#define WEIR_COMPILER_DIALECT_EMBEDDING_OPS_TD_

include "compiler/dialect/interfaces.td"
include "compiler/dialect/sequence_interfaces.td"
include "compiler/dialect/weir_dialect.td"
include "mlir/Dialect/Linalg/IR/LinalgInterfaces.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

def Weir_EmbeddingOp : Weir_Op<"embedding", [
    Pure, AttrSizedOperandSegments, InferTypeOpAdaptorWithIsCompatible,
    DeclareOpInterfaceMethods<ParameterizedOpInterface, ["parameterSpecs"]>,
    DeclareOpInterfaceMethods<AggregatedOpInterface, ["decomposeOperation"]>,
    DeclareOpInterfaceMethods<CostOpInterface, ["cost"]>]> {
  let summary = "the row of each token in a trainable table";
  let description = [{
    Its parameter is `<name>.weight`, `tensor<vocabulary x features>`, which starts as normal(0.02) unless `init` says
    otherwise. A token outside the vocabulary reads the nearest row.

    ```mlir
    %e = weir.embedding %tokens, "tok" [%vocabulary, %features] : tensor<?x?xi32> -> tensor<?x?x?xf32>
    ```
  }];
  let arguments = (ins RankedTensorOf<[I32]>:$tokens, Variadic<Index>:$size_operands,
                       Variadic<RankedTensorOf<[AnyFloat]>>:$parameters, OptionalAttr<StrAttr>:$name,
                       AffineMapAttr:$sizes, OptionalAttr<StrAttr>:$init);
  let results = (outs RankedTensorOf<[AnyFloat]>:$result);
  let assemblyFormat = [{
    $tokens (`,` $name^)? custom<Sizes>($size_operands, $sizes) (`params` `(` $parameters^ `:` type($parameters) `)`)?
    custom<Init>($init) attr-dict `:` type($tokens) `->` type($result)
  }];
  let hasVerifier = 1;
}

def Weir_GatherRowsOp : Weir_Op<"gather_rows", [
    Pure, InferTypeOpAdaptorWithIsCompatible,
    DeclareOpInterfaceMethods<DifferentiableOpInterface, ["buildVjp"]>]> {
  let summary = "result[i..., :] = table[indices[i...], :]";
  let description = [{
    An index outside the table is clamped to it.

    ```mlir
    %rows = weir.gather_rows %table, %indices : tensor<256x64xf32>, tensor<8x128xi32> -> tensor<8x128x64xf32>
    ```
  }];
  let arguments = (ins RankedTensorOf<[AnyFloat]>:$table, RankedTensorOf<[I32]>:$indices);
  let results = (outs RankedTensorOf<[AnyFloat]>:$result);
  let assemblyFormat = "$table `,` $indices attr-dict `:` type($table) `,` type($indices) `->` type($result)";
  let hasVerifier = 1;
}

def Weir_ScatterRowsOp : Weir_Op<"scatter_rows", [Pure]> {
  let summary = "sums rows into the rows of a table that indices name";
  let description = [{
    result[r, :] is the sum of updates[i..., :] over the i with indices[i...] = r, in the order of i, so that the bits do
    not depend on how the work is split. It is the gradient of weir.gather_rows.

    ```mlir
    %sums = weir.scatter_rows %updates, %indices : tensor<8x128x64xf32>, tensor<8x128xi32> -> tensor<256x64xf32>
    ```
  }];
  let arguments = (ins RankedTensorOf<[AnyFloat]>:$updates, RankedTensorOf<[I32]>:$indices);
  let results = (outs RankedTensorOf<[AnyFloat]>:$result);
  let assemblyFormat = "$updates `,` $indices attr-dict `:` type($updates) `,` type($indices) `->` type($result)";
  let hasVerifier = 1;
}

#endif  // WEIR_COMPILER_DIALECT_EMBEDDING_OPS_TD_
