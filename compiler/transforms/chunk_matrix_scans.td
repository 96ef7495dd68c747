// Scans with a matrix for a state, by products.

include "mlir/Pass/PassBase.td"

def ChunkMatrixScans : Pass<"weir-chunk-matrix-scans", "::mlir::func::FuncOp"> {
  let summary = "scans of outer products become products over chunks of tokens";
  let description = [{
    A `weir.scan` whose state is a matrix S[k, v], that adds an outer product in each step and is read by a contraction,

        S_t = a_t S_{t-1} + k_t v_t^T,   y_t = sum over k of q_t[k] S_t[k, :],

    is rewritten over chunks of C tokens. With D_ts = a_{s+1} ... a_t inside a chunk (0 for s > t), P_t the product of a from
    the chunk's begin to t, and E_s that from s + 1 to its end,

        Y = ((Q K^T) * D) V + (P * Q) S,   S' = P_C S + (E * K)^T V,

    which are products, and a `weir.scan` over T / C matrices. Nothing is T x T. It is what linear attention with a
    decay, retention, state-space duality and gated linear attention have in common.

    What may differ: k, v and q are any products of what the regions compute from inputs, each factor without the other's
    dimension; a depends on neither, on k alone or on v alone; y may be multiplied by what depends on no k. Any
    number of further parallel dimensions (batch, heads) may be there, and be shared by some of the inputs. With `segments`, a is 0 where a document
    begins. Scans that run in `reverse` or keep chunk states are left alone.

    D, P and E come from small scans (h_t = a_t h_{t-1}, from 1 at s): nothing is divided, there is no logarithm, and a may
    be 0, 1 or anything between; an element of D is wrong by no more than one rounding for each step it spans. Where a depends
    on k (v), D does too, and a scan sums over k (s) instead of the first (second) product: chunks are short
    then.

    Whether it pays, and C, follow from counts of operations (`docs/matrix_scans.md`). A scan overrides them by
    `weir.matrix_chunk = C` (0: leave it), and so does the option `chunk`.

    ```mlir
    %y, %last = weir.scan(%a, %k, %v, %q)
        prologue { ^bb0(%a: f32, %k: f32, %v: f32, %q: f32): %b = arith.mulf %k, %v : f32  weir.yield %a, %b : f32, f32 }
        epilogue { ^bb0(%h: f32, %a: f32, %k: f32, %v: f32, %q: f32): %y = arith.mulf %h, %q : f32  weir.yield %y : f32 }
        {indexing_maps = [#bth, #bthk, #bthv, #bthk, #bthv], iterator_types = [...]} : ...
    ```
    becomes
    ```mlir
    %D, %E = weir.scan(%a, %one) ...           // of a chunk's length
    %P, %A = weir.scan(%a) from %ones ...
    %QK = linalg.generic ... ins(%q, %k)       // products from here on
    %W = linalg.generic ... ins(%QK, %D)
    %inside = linalg.generic ... ins(%W, %v)
    %U = linalg.generic ... ins(%Ek, %v)
    %S, %last = weir.scan(%A, %U) ...          // over chunks
    %outside = linalg.generic ... ins(%Pq, %S)
    %y = linalg.generic ... ins(%inside, %outside)
    ```
  }];
  let options = [
    Option<"chunk", "chunk", "int64_t", "-1", "tokens of a chunk for all scans of the form; 0: none; -1: by cost">,
    Option<"bf16", "bf16", "bool", "false", "products read bf16, as with weir-autocast">,
  ];
  let dependentDialects = [
    "::mlir::arith::ArithDialect", "::mlir::linalg::LinalgDialect", "::mlir::tensor::TensorDialect",
    "::weir::WeirDialect",
  ];
}
