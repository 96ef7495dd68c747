// bf16 mixed precision.

include "mlir/Pass/PassBase.td"

def Autocast : Pass<"weir-autocast", "::mlir::func::FuncOp"> {
  let summary = "products take bf16 operands";
  let description = [{
    Mixed precision, on a specialized f32 function before it is differentiated. Ops with AutocastOpInterface get the
    operands that they name rounded to bf16; they sum in f32. Their results, where they are stored between kernels, are
    rounded as well: a `truncf` and an `extf`, which fusion moves into the bodies of producer and consumers so that bf16 is
    what lies in memory. Logits stay f32, and so does what is added to something else, as the output of a block is to the
    residual stream, and what the function returns. Statistics, states and losses are computed from f32 as before.

    Products in the step of a recurrence are rounded in the same way: a weight outside, once, a state where the product reads
    it. What the step yields stays f32.

    Arguments keep their types: parameters are f32, and so are their gradients, the cotangent of `truncf` being `extf`.

    ```mlir
    %y = weir.linear %x params(%w : tensor<8x4xf32>) : tensor<2x3x4xf32> -> tensor<2x3x8xf32>
    %g = weir.sigmoid %y : tensor<2x3x8xf32>
    ```
    becomes
    ```mlir
    %0 = arith.truncf %x : tensor<2x3x4xf32> to tensor<2x3x4xbf16>
    %1 = arith.truncf %w : tensor<8x4xf32> to tensor<8x4xbf16>
    %y = weir.linear %0 params(%1 : tensor<8x4xbf16>) : tensor<2x3x4xbf16> -> tensor<2x3x8xf32>
    %2 = arith.truncf %y : tensor<2x3x8xf32> to tensor<2x3x8xbf16>
    %3 = arith.extf %2 : tensor<2x3x8xbf16> to tensor<2x3x8xf32>
    %g = weir.sigmoid %3 : tensor<2x3x8xf32>
    ```
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect"];
}
