include "mlir/Pass/PassBase.td"

def Specialize : Pass<"weir-specialize", "::mlir::func::FuncOp"> {
  let summary = "give an expanded model its batch, its length, its number format, and train or eval";
  let description = [{
    Every op is made again with types that follow from its operands, so that all shapes are static. With `type=f64`, every
    f32 becomes f64. For evaluation (`train=false`), ops that draw random numbers are replaced by what they stand for
    without, and the random counter is no longer an argument.

    ```mlir
    func.func @m(%x: tensor<?x?x8xf32> {weir.input = "x"}) -> (tensor<?x?x8xf32> {weir.output = "0"}) {
      %y = weir.sigmoid %x : tensor<?x?x8xf32>
      return %y : tensor<?x?x8xf32>
    }
    ```
    with `batch=16 time=80` becomes
    ```mlir
    func.func @m(%x: tensor<16x80x8xf32> {weir.input = "x"}) -> (tensor<16x80x8xf32> {weir.output = "0"}) {
      %y = weir.sigmoid %x : tensor<16x80x8xf32>
      return %y : tensor<16x80x8xf32>
    }
    ```
  }];
  let options = [
    Option<"batch", "batch", "int64_t", "1", "sequences side by side">,
    Option<"time", "time", "int64_t", "1", "tokens of a sequence">,
    Option<"type", "type", "std::string", "\"f32\"", "f32 or f64">,
    Option<"train", "train", "bool", "true", "whether random ops draw">,
  ];
  let dependentDialects = ["::mlir::arith::ArithDialect"];
}
