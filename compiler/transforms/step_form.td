include "mlir/Pass/PassBase.td"

def StepForm : Pass<"weir-step-form", "::mlir::func::FuncOp"> {
  let summary = "derive the step form of a specialized model: a few tokens and a state in, outputs and the new state out";
  let description = [{
    Turns a function of a whole sequence into one of the next n tokens of it, n being the length that it was specialized
    for. What came before is in its states: those that layers declare, and those that the ops ask for
    (`StreamableOpInterface`). The latter become arguments and results named by the scope and the op,
    `layer.0.attention.keys`. Calls with any n, one after another, give what the function of the whole sequence gives.

    The function must have been expanded with `start`, which becomes the state `stream.start`: the number of tokens
    before this call. If it was expanded with `segments` as well, rows hold several documents; `stream.position` (the
    position in its document that the next token would have) and `stream.segment` (the id of the last token) are states
    then, and the states of ops count only where the document goes on.

    `context` bounds what attention looks back on: so many tokens, the last one included. An op that looks ahead has no
    step form and is reported. Where an op knows a limited number of positions, the function gets it as
    `weir.position_limit`.

    ```mlir
    func.func @m(%a: tensor<2x1x8xf32> {weir.input = "a"}, %x: tensor<2x1x8xf32> {weir.input = "x"},
                 %start: tensor<i64> {weir.start}) -> (tensor<2x1x8xf32> {weir.output = "0"}) {
      %h, %last = weir.scan(%a, %x) {weir.scope = "layer"} : ...
      return %h : tensor<2x1x8xf32>
    }
    ```
    becomes
    ```mlir
    func.func @m(%a: tensor<2x1x8xf32> {weir.input = "a"}, %x: tensor<2x1x8xf32> {weir.input = "x"},
                 %start: tensor<i64> {weir.state = "stream.start", weir.init = "zeros"},
                 %h0: tensor<2x8xf32> {weir.state = "layer.scan.h", weir.init = "zeros"})
        -> (tensor<2x1x8xf32> {weir.output = "0"}, tensor<2x8xf32> {weir.state = "layer.scan.h"},
            tensor<i64> {weir.state = "stream.start"}) {
      %h, %last = weir.scan(%a, %x) from %h0 : ...
      %next = linalg.generic ... // %start + 1
      return %h, %last, %next : tensor<2x1x8xf32>, tensor<2x8xf32>, tensor<i64>
    }
    ```
  }];
  let options = [
    Option<"context", "context", "int64_t", "0", "tokens that attention looks back on, itself included">,
    Option<"roundsProducts", "rounds-products", "bool", "false", "products will read bf16, and caches hold it">,
  ];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::linalg::LinalgDialect",
                           "::mlir::tensor::TensorDialect"];
}
