// The head and the loss as one op.

include "mlir/Pass/PassBase.td"

def FuseLoss : Pass<"weir-fuse-loss", "::mlir::func::FuncOp"> {
  let summary = "logits that only the loss reads are not stored";
  let description = [{
    Where the result of a `weir.head`, or of a `weir.linear` without bias, is read by one `weir.cross_entropy` and by
    nothing else, the two may become a `weir.logit_statistics` and sums over its results. Runs on static shapes, after
    `weir-autocast` and before gradients, so that those follow.

    That is a question of cost. Where they are stored, a logit is written and read once in the type of sums, its cotangent
    written once and read twice in the type of x. Else the product is computed once more for the gradient: 2 d operations
    for each logit, d being the number of features. The ops are fused where the logits take `min-bytes` or more (fewer stay
    in the caches) and the product costs no more than the bytes do, one of which is worth `operations-per-byte`: as many as
    matrix tiles do in bf16 in the time that a byte of stored logits takes, measured. `min-bytes=0
    operations-per-byte=1e9` fuses always.

    ```mlir
    %l = weir.head %x params(%w : tensor<32768x512xf32>) : tensor<8x1024x512xf32> -> tensor<8x1024x32768xf32>
    %r:5 = weir.cross_entropy %l, %t : tensor<8x1024x32768xf32>, tensor<8x1024xi32> -> tensor<f32>
    ```
    becomes
    ```mlir
    %s:3 = weir.logit_statistics %x, %w, %t
        : tensor<8x1024x512xf32>, tensor<32768x512xf32>, tensor<8x1024xi32> -> tensor<8x1024xf32>
    // The loss of a token is %s#0 - %s#2; it is right if %s#2 is at least %s#1.
    ```
  }];
  let options = [
    Option<"minBytes", "min-bytes", "int64_t", /*default=*/"128 << 20", "bytes of logits below which they are stored">,
    Option<"operationsPerByte", "operations-per-byte", "double", "400", "what moving a byte is worth">,
  ];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::linalg::LinalgDialect", "::mlir::math::MathDialect",
                           "::mlir::tensor::TensorDialect"];
}
