// Attention: all pairs of a row, and FLASH's mixed chunk attention.

#ifndef WEIR_COMPILER_DIALECT_ATTENTION_OPS_TD_
#define WEIR_COMPILER_DIALECT_ATTENTION_OPS_TD_

include "compiler/dialect/interfaces.td"
include "compiler/dialect/sequence_interfaces.td"
include "compiler/dialect/weir_dialect.td"
include "mlir/Dialect/Linalg/IR/LinalgInterfaces.td"
include "mlir/IR/BuiltinAttributes.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

def Weir_AttentionOp : Weir_Op<"attention", [
    Pure, AttrSizedOperandSegments, InferTypeOpAdaptorWithIsCompatible,
    DeclareOpInterfaceMethods<ParameterizedOpInterface, ["parameterSpecs", "bindParameters", "isBound"]>,
    DeclareOpInterfaceMethods<TimeMixingOpInterface, ["bindSegments", "bindStart", "isCausal"]>,
    DeclareOpInterfaceMethods<AggregatedOpInterface, ["decomposeOperation"]>,
    DeclareOpInterfaceMethods<AutocastOpInterface, ["autocastOperands"]>,
    DeclareOpInterfaceMethods<CostOpInterface, ["cost"]>]> {
  let summary = "attention over all pairs of tokens of a row";
  let description = [{
    Features of q, k and v are `heads` heads side by side. For each head

        out_t = sum over s of w(t, s) v_s, times gate_t if there is one,

    over the s that the window shows to t and, with segments, that are of the segment of t. With `kernel("softmax")`, w is
    the softmax over s of q_t . k_s / sqrt(p) + bias, where p is the number of features of a head. Any activation's name as
    the kernel gives w = act(q_t . k_s / n + bias) without normalization, n being the length: `relu_squared` is that of
    gated attention units ("Transformer Quality in Linear Time", appendix D, code 6).

    `bias` is a Toeplitz matrix given by its diagonals: bias(t, s) = b[(t - s) + L - 1] for b of 2 L - 1 numbers; L may be
    no less than the length. The window is `full`, `causal` (s <= t), or `local` (t - window_size < s <= t).

    ```mlir
    %o = weir.attention %q, %k, %v heads [%h] kernel("softmax") window("causal")
        : (tensor<?x?x?xf32>, tensor<?x?x?xf32>, tensor<?x?x?xf32>) -> tensor<?x?x?xf32>
    %o = weir.attention %q, %k, %v bias(%b) gate(%u) kernel("relu_squared") window("causal") : ...
    ```
  }];
  let arguments = (ins RankedTensorOf<[AnyFloat]>:$q, RankedTensorOf<[AnyFloat]>:$k, RankedTensorOf<[AnyFloat]>:$v,
                       Variadic<Index>:$size_operands, Optional<RankedTensorOf<[AnyFloat]>>:$bias,
                       Optional<RankedTensorOf<[AnyFloat]>>:$gate, Optional<RankedTensorOf<[I32]>>:$segments,
                       AffineMapAttr:$sizes, OptionalAttr<I64Attr>:$num_heads, StrAttr:$kernel, StrAttr:$window,
                       OptionalAttr<I64Attr>:$window_size);
  let results = (outs RankedTensorOf<[AnyFloat]>:$result);
  let assemblyFormat = [{
    $q `,` $k `,` $v custom<KeywordSizes>("\"heads\"", $size_operands, $sizes) (`num_heads` $num_heads^)?
    (`bias` `(` $bias^ `)`)? (`gate` `(` $gate^ `)`)? (`segments` `(` $segments^ `)`)?
    `kernel` `(` $kernel `)` `window` `(` $window (`,` $window_size^)? `)` attr-dict
    `:` functional-type(operands, results)
  }];
  let hasVerifier = 1;
}

def Weir_ChunkedAttentionOp : Weir_Op<"chunked_attention", [
    Pure, AttrSizedOperandSegments, InferTypeOpAdaptorWithIsCompatible,
    DeclareOpInterfaceMethods<ParameterizedOpInterface, ["parameterSpecs", "bindParameters", "isBound"]>,
    DeclareOpInterfaceMethods<TimeMixingOpInterface, ["bindSegments", "bindStart", "isCausal"]>,
    DeclareOpInterfaceMethods<AggregatedOpInterface, ["decomposeOperation"]>,
    DeclareOpInterfaceMethods<AutocastOpInterface, ["autocastOperands"]>,
    DeclareOpInterfaceMethods<CostOpInterface, ["cost"]>]> {
  let summary = "exact attention inside a chunk, linear attention across chunks";
  let description = [{
    The mixed chunk attention of "Transformer Quality in Linear Time" (section 3.2; normalized as in appendix D, codes 7
    and 8). Time is cut into chunks of C tokens, the last of which may be short. For token t of chunk g, out_t is gate_t
    times the sum of

    - inside the chunk: sum over s of act(quad_q_t . quad_k_s / C + bias(t, s)) v_s, over s <= t with `causal`;
    - across chunks: lin_q_t times the mean over the chunks before g (over all chunks without `causal`) of
      sum over s of lin_k_s^T v_s / C; zero in the first chunk.

    `bias` has the 2 C - 1 diagonals of a Toeplitz matrix, as in weir.attention. With segments, both parts see tokens of
    the same segment only, and chunks are counted in which the segment occurs.

    ```mlir
    %o = weir.chunked_attention quad(%q, %k) lin(%ql, %kl) value(%v) gate(%u) bias(%b) chunk [%C] causal
         kernel("relu_squared") : (...) -> tensor<?x?x?xf32>
    ```
  }];
  let arguments = (ins RankedTensorOf<[AnyFloat]>:$quad_q, RankedTensorOf<[AnyFloat]>:$quad_k,
                       RankedTensorOf<[AnyFloat]>:$lin_q, RankedTensorOf<[AnyFloat]>:$lin_k,
                       RankedTensorOf<[AnyFloat]>:$v, Optional<RankedTensorOf<[AnyFloat]>>:$gate,
                       Optional<RankedTensorOf<[AnyFloat]>>:$bias, Variadic<Index>:$size_operands,
                       Optional<RankedTensorOf<[I32]>>:$segments, AffineMapAttr:$sizes,
                       OptionalAttr<I64Attr>:$chunk_size, UnitAttr:$causal, StrAttr:$kernel);
  let results = (outs RankedTensorOf<[AnyFloat]>:$result);
  let assemblyFormat = [{
    `quad` `(` $quad_q `,` $quad_k `)` `lin` `(` $lin_q `,` $lin_k `)` `value` `(` $v `)` (`gate` `(` $gate^ `)`)?
    (`bias` `(` $bias^ `)`)? custom<KeywordSizes>("\"chunk\"", $size_operands, $sizes) (`chunk_size` $chunk_size^)?
    (`segments` `(` $segments^ `)`)? (`causal` $causal^)? `kernel` `(` $kernel `)` attr-dict
    `:` functional-type(operands, results)
  }];
  let hasVerifier = 1;
}

def Weir_ToeplitzOp : Weir_Op<"toeplitz", [
    Pure, DeclareOpInterfaceMethods<DifferentiableOpInterface, ["buildVjp"]>,
    DeclareOpInterfaceMethods<AggregatedOpInterface, ["decomposeOperation"]>]> {
  let summary = "the square matrix with the given diagonals";
  let description = [{
    result[i, j] = diagonals[(i - j) + L - 1] for 2 L - 1 diagonals; the result is n x n with n <= L.

    ```mlir
    %m = weir.toeplitz %b : tensor<127xf32> -> tensor<64x64xf32>
    ```
  }];
  let arguments = (ins RankedTensorOf<[AnyFloat]>:$diagonals);
  let results = (outs RankedTensorOf<[AnyFloat]>:$result);
  let assemblyFormat = "$diagonals attr-dict `:` type($diagonals) `->` type($result)";
  let hasVerifier = 1;
}

#endif  // WEIR_COMPILER_DIALECT_ATTENTION_OPS_TD_
