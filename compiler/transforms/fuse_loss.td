// The head and the loss as one op.

include "mlir/Pass/PassBase.td"

def FuseLoss : Pass<"weir-fuse-loss", "::mlir::func::FuncOp"> {
  let summary = "logits that only the loss reads are not stored";
  let description = [{
    Where the result of a `weir.head`, or of a `weir.linear` without bias, is read by one `weir.cross_entropy` and by
    nothing else, and would take `min-bytes` or more, the two become a `weir.logit_statistics` and sums over its results.
    Runs on static shapes, after `weir-autocast` and before gradients, so that those follow.

    Stored logits of N tokens and C classes are N C values that are written once and read at least twice, and their
    cotangents as many again. What is done instead is one more product, of 2 N C d operations for d features. A
    core of today's machines does those in less time than the memory takes; the bound is there for logits that stay in
    the caches. `min-bytes=0` fuses always.

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
    Option<"minBytes", "min-bytes", "int64_t", /*default=*/"64 << 20", "bytes of logits from which on they aren't stored">,
  ];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::linalg::LinalgDialect", "::mlir::math::MathDialect",
                           "::mlir::tensor::TensorDialect"];
}
