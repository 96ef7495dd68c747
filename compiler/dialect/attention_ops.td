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
    DeclareOpInterfaceMethods<StreamableOpInterface, ["stateSpecs", "buildStep"]>,
    DeclareOpInterfaceMethods<AggregatedOpInterface, ["decomposeOperation"]>,
    DeclareOpInterfaceMethods<AutocastOpInterface, ["autocastOperands", "roundedResults", "roundsItself"]>,
    DeclareOpInterfaceMethods<DifferentiableOpInterface, ["buildVjp"]>,
    DeclareOpInterfaceMethods<CostOpInterface, ["cost"]>]> {
  let summary = "attention over all pairs of tokens of a row";
  let description = [{
    Features of q, k and v are `heads` heads side by side. For each head

        out_t = sum over s of w(t, s) v_s, times gate_t if there is one,

    over the s that the window shows to t and, with segments, that are of the segment of t. With `kernel("softmax")`, w is
    the softmax over s of q_t . k_s / sqrt(p) + bias, where p is the number of features of a head. Any activation's name as
    the kernel gives w = act(q_t . k_s / n + bias) without normalization, n being the length: `relu_squared` is that of
    gated attention units ("Transformer Quality in Linear Time", appendix D, code 6); `length` gives n where it isn't the
    number of queries.

    `bias` is a Toeplitz matrix given by its diagonals: bias(t, s) = b[(t - s) + L - 1] for b of 2 L - 1 numbers; L may be
    no less than the length. The window is `full`, `causal` (s <= t), or `local` (t - window_size < s <= t).

    There may be m more keys and values than queries: tokens before the first query's, in order, for a window that looks
    back. Then `position` (`tensor<i64>`, or `tensor<batch x i64>`) is the position of the first query's token in its
    document: of the m tokens only that many, the last ones, are seen, and by that document only.

    The step form keeps the keys and values of a window in rings (weir.write_ring): its `window_size`, or for `causal`
    the context of the stream. It takes the context for n.

    With `log_sums` a second result is the logarithm of each softmax's denominator, `tensor<batch x heads x n>`: all
    that the gradient (weir.attention_vjp) keeps of the weights.

    ```mlir
    %o = weir.attention %q, %k, %v heads [%h] kernel("softmax") window("causal")
        : (tensor<?x?x?xf32>, tensor<?x?x?xf32>, tensor<?x?x?xf32>) -> tensor<?x?x?xf32>
    %o = weir.attention %q, %k, %v bias(%b) gate(%u) kernel("relu_squared") window("causal") : ...
    ```
  }];
  let arguments = (ins RankedTensorOf<[AnyFloat]>:$q, RankedTensorOf<[AnyFloat]>:$k, RankedTensorOf<[AnyFloat]>:$v,
                       Variadic<Index>:$size_operands, Optional<RankedTensorOf<[AnyFloat]>>:$bias,
                       Optional<RankedTensorOf<[AnyFloat]>>:$gate, Optional<RankedTensorOf<[I32]>>:$segments,
                       Optional<RankedTensorOf<[I64]>>:$position, AffineMapAttr:$sizes,
                       OptionalAttr<I64Attr>:$num_heads, StrAttr:$kernel, StrAttr:$window,
                       OptionalAttr<I64Attr>:$window_size, OptionalAttr<I64Attr>:$length, UnitAttr:$log_sums);
  let results = (outs RankedTensorOf<[AnyFloat]>:$result, Optional<RankedTensorOf<[AnyFloat]>>:$log_sum);
  let assemblyFormat = [{
    $q `,` $k `,` $v custom<KeywordSizes>("\"heads\"", $size_operands, $sizes) (`num_heads` $num_heads^)?
    (`bias` `(` $bias^ `)`)? (`gate` `(` $gate^ `)`)? (`segments` `(` $segments^ `)`)?
    (`position` `(` $position^ `)`)? `kernel` `(` $kernel `)` `window` `(` $window (`,` $window_size^)? `)`
    (`length` $length^)? (`log_sums` $log_sums^)? attr-dict
    `:` functional-type(operands, results)
  }];
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    /// Whether the CPU has a kernel for this op as a whole: static shapes, one type for q, k and v, and enough queries
    /// to share what is read. Other ops run as their decomposition.
    bool hasKernel();
  }];
}

def Weir_AttentionVjpOp : Weir_Op<"attention_vjp", [
    Pure, AttrSizedOperandSegments,
    DeclareOpInterfaceMethods<AggregatedOpInterface, ["decomposeOperation"]>]> {
  let summary = "the gradient of weir.attention, in one pass";
  let description = [{
    The cotangents of q, k, v and the bias of a weir.attention without gate, from that of its result. The weights are computed
    again from the scores, block by block: with a softmax from `log_sum`, as w = exp(x - log_sum), and then

        dx(t, s) = w(t, s) (dout_t . v_s - dout_t . out_t);

    any other kernel needs neither ("FlashAttention-2", section 3.1). It decomposes to the gradient of weir.attention's
    decomposition.
  }];
  let arguments = (ins RankedTensorOf<[AnyFloat]>:$q, RankedTensorOf<[AnyFloat]>:$k, RankedTensorOf<[AnyFloat]>:$v,
                       Optional<RankedTensorOf<[AnyFloat]>>:$bias, Optional<RankedTensorOf<[I32]>>:$segments,
                       Optional<RankedTensorOf<[I64]>>:$position, Optional<RankedTensorOf<[AnyFloat]>>:$out,
                       Optional<RankedTensorOf<[AnyFloat]>>:$log_sum, RankedTensorOf<[AnyFloat]>:$cotangent,
                       I64Attr:$num_heads, StrAttr:$kernel, StrAttr:$window,
                       OptionalAttr<I64Attr>:$window_size, OptionalAttr<I64Attr>:$length);
  let results = (outs RankedTensorOf<[AnyFloat]>:$dq, RankedTensorOf<[AnyFloat]>:$dk, RankedTensorOf<[AnyFloat]>:$dv,
                      Optional<RankedTensorOf<[AnyFloat]>>:$dbias);
  let assemblyFormat = [{
    $q `,` $k `,` $v `heads` $num_heads (`bias` `(` $bias^ `)`)? (`segments` `(` $segments^ `)`)?
    (`position` `(` $position^ `)`)? (`saved` `(` $out^ `,` $log_sum `)`)? `cotangent` `(` $cotangent `)`
    `kernel` `(` $kernel `)` `window` `(` $window (`,` $window_size^)? `)` (`length` $length^)? attr-dict
    `:` functional-type(operands, results)
  }];
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    /// As for weir.attention.
    bool hasKernel();
  }];
}

def Weir_ChunkedAttentionOp : Weir_Op<"chunked_attention", [
    Pure, AttrSizedOperandSegments, InferTypeOpAdaptorWithIsCompatible,
    DeclareOpInterfaceMethods<ParameterizedOpInterface, ["parameterSpecs", "bindParameters", "isBound"]>,
    DeclareOpInterfaceMethods<TimeMixingOpInterface, ["bindSegments", "bindStart", "isCausal"]>,
    DeclareOpInterfaceMethods<StreamableOpInterface, ["stateSpecs", "buildStep"]>,
    DeclareOpInterfaceMethods<AggregatedOpInterface, ["decomposeOperation"]>,
    DeclareOpInterfaceMethods<AutocastOpInterface, ["autocastOperands", "roundedResults"]>,
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
    the same segment only, and chunks are counted in which the segment occurs. (The id -2^31 is not for segments.)

    With `from` there was something before the first chunk, and `causal` is required. `sum` (`tensor<batch x s x e>`) is
    the sum of lin_k^T v over the tokens of `count` (`tensor<batch x i64>`) earlier chunks, those of the document of the
    row's first token; `part` (as `sum`) is that of tokens of the first chunk whose lin_k is given as zero. Two more
    results then are what `sum` grows by before each chunk and after the last, `tensor<batch x G + 1 x s x e>`, and the
    sum of each chunk, `tensor<batch x G x s x e>`: with segments those of the chunk's last document only.

    The step form carries `sum`, and `part` for the chunk that is being read; and `keys` and `values`, rings
    (weir.write_ring) of the last C of quad_k and v. Chunks have their borders at multiples of C of the tokens read, wherever calls begin. What is lost
    in adding to `sum` remains in `part`, so that a stream may be as long as it likes.

    ```mlir
    %o = weir.chunked_attention quad(%q, %k) lin(%ql, %kl) value(%v) gate(%u) bias(%b) chunk [%C] causal
         kernel("relu_squared") : (...) -> tensor<?x?x?xf32>
    ```
  }];
  let arguments = (ins RankedTensorOf<[AnyFloat]>:$quad_q, RankedTensorOf<[AnyFloat]>:$quad_k,
                       RankedTensorOf<[AnyFloat]>:$lin_q, RankedTensorOf<[AnyFloat]>:$lin_k,
                       RankedTensorOf<[AnyFloat]>:$v, Optional<RankedTensorOf<[AnyFloat]>>:$gate,
                       Optional<RankedTensorOf<[AnyFloat]>>:$bias, Variadic<Index>:$size_operands,
                       Optional<RankedTensorOf<[I32]>>:$segments, Optional<RankedTensorOf<[AnyFloat]>>:$sum,
                       Optional<RankedTensorOf<[AnyFloat]>>:$part, Optional<RankedTensorOf<[I64]>>:$count,
                       AffineMapAttr:$sizes, OptionalAttr<I64Attr>:$chunk_size, UnitAttr:$causal, StrAttr:$kernel);
  let results = (outs RankedTensorOf<[AnyFloat]>:$result, Variadic<RankedTensorOf<[AnyFloat]>>:$carried);
  let assemblyFormat = [{
    `quad` `(` $quad_q `,` $quad_k `)` `lin` `(` $lin_q `,` $lin_k `)` `value` `(` $v `)` (`gate` `(` $gate^ `)`)?
    (`bias` `(` $bias^ `)`)? custom<KeywordSizes>("\"chunk\"", $size_operands, $sizes) (`chunk_size` $chunk_size^)?
    (`segments` `(` $segments^ `)`)? (`from` `(` $sum^ `,` $part `,` $count `)`)? (`causal` $causal^)? `kernel` `(` $kernel `)` attr-dict
    `:` functional-type(operands, results)
  }];
  let hasVerifier = 1;
}

def Weir_MixedChunksOp : Weir_Op<"mixed_chunks", [
    Pure,
    DeclareOpInterfaceMethods<DifferentiableOpInterface, ["buildVjp"]>,
    DeclareOpInterfaceMethods<AggregatedOpInterface, ["decomposeOperation"]>]> {
  let summary = "causal mixed chunk attention as one kernel";
  let description = [{
    What weir.chunked_attention with `causal` gives before its gate, without segments and with nothing before the row: one
    kernel that goes through a row chunk by chunk and keeps the sum of lin_k^T v in a core's cache. The result may have
    the type of `value` or of sums. For the gradient it also gives the means that the chunks' tokens read,
    `tensor<batch x G x s x e>`, in the type of `value`.

    ```mlir
    %o = weir.mixed_chunks quad(%q, %k) lin(%ql, %kl) value(%v) bias(%b) chunk(256) kernel("relu_squared")
        : (tensor<8x1024x128xbf16>, ...) -> tensor<8x1024x1024xbf16>
    ```
  }];
  let arguments = (ins RankedTensorOf<[AnyFloat]>:$quad_q, RankedTensorOf<[AnyFloat]>:$quad_k,
                       RankedTensorOf<[AnyFloat]>:$lin_q, RankedTensorOf<[AnyFloat]>:$lin_k,
                       RankedTensorOf<[AnyFloat]>:$v, Optional<RankedTensorOf<[AnyFloat]>>:$bias,
                       I64Attr:$chunk_size, StrAttr:$kernel);
  let results = (outs RankedTensorOf<[AnyFloat]>:$result, Optional<RankedTensorOf<[AnyFloat]>>:$means);
  let assemblyFormat = [{
    `quad` `(` $quad_q `,` $quad_k `)` `lin` `(` $lin_q `,` $lin_k `)` `value` `(` $v `)` (`bias` `(` $bias^ `)`)?
    `chunk` `(` $chunk_size `)` `kernel` `(` $kernel `)` attr-dict `:` functional-type(operands, results)
  }];
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    /// Whether the op can stand for `op`, whose shapes are static.
    static bool canReplace(ChunkedAttentionOp op);
  }];
}

def Weir_MixedChunksVjpOp : Weir_Op<"mixed_chunks_vjp", [
    Pure,
    DeclareOpInterfaceMethods<AggregatedOpInterface, ["decomposeOperation"]>]> {
  let summary = "the gradient of weir.mixed_chunks, in one pass";
  let description = [{
    Walks the chunks of a row from the last to the first and carries the cotangent of the sum of lin_k^T v. The weights
    of a chunk are computed again; the means that it read come from the forward direction, so that no sum is recovered
    by subtraction. The results are the cotangents of the operands of weir.mixed_chunks, in their order.
  }];
  let arguments = (ins RankedTensorOf<[AnyFloat]>:$quad_q, RankedTensorOf<[AnyFloat]>:$quad_k,
                       RankedTensorOf<[AnyFloat]>:$lin_q, RankedTensorOf<[AnyFloat]>:$lin_k,
                       RankedTensorOf<[AnyFloat]>:$v, Optional<RankedTensorOf<[AnyFloat]>>:$bias,
                       RankedTensorOf<[AnyFloat]>:$means, RankedTensorOf<[AnyFloat]>:$cotangent,
                       I64Attr:$chunk_size, StrAttr:$kernel);
  let results = (outs Variadic<RankedTensorOf<[AnyFloat]>>:$results);
  let assemblyFormat = [{
    `quad` `(` $quad_q `,` $quad_k `)` `lin` `(` $lin_q `,` $lin_k `)` `value` `(` $v `)` (`bias` `(` $bias^ `)`)?
    `means` `(` $means `)` `cotangent` `(` $cotangent `)`
    `chunk` `(` $chunk_size `)` `kernel` `(` $kernel `)` attr-dict `:` functional-type(operands, results)
  }];
  let hasVerifier = 1;
}

def Weir_ToeplitzOp : Weir_Op<"toeplitz", [
    Pure, DeclareOpInterfaceMethods<DifferentiableOpInterface, ["buildVjp"]>,
    DeclareOpInterfaceMethods<AggregatedOpInterface, ["decomposeOperation"]>]> {
  let summary = "the matrix with the given diagonals";
  let description = [{
    A matrix of r rows and c columns has r + c - 1 diagonals. It gets those in the middle of the ones given, of which
    there may be 2 x more: result[i, j] = diagonals[(i - j) + c - 1 + x]. For a square matrix, 2 L - 1 diagonals have the
    one of i = j at L - 1.

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
