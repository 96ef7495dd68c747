include "mlir/Pass/PassBase.td"

def Expand : Pass<"weir-expand", "::mlir::ModuleOp"> {
  let summary = "turn a model and its layers into one function";
  let description = [{
    Looks every `weir.apply` up by name, in the same file and then among the plugins, decides options, sizes, cases and
    repetitions, and leaves one `func.func` in which batch and time are open and all else is static. Parameters, states
    and random streams are named by their place in the model.

    ```mlir
    weir.model @m(%x: tensor<?x?x8xf32>) -> tensor<?x?x?xf32> {
      %h = weir.repeat 2 as "layer" (%r = %x) : tensor<?x?x?xf32> {
        %y = weir.apply "scale"(%r) : tensor<?x?x?xf32>
        weir.yield %y : tensor<?x?x?xf32>
      }
      weir.return %h : tensor<?x?x?xf32>
    }
    ```
    becomes
    ```mlir
    func.func @m(%x: tensor<?x?x8xf32> {weir.input = "x"},
                 %g0: tensor<8xf32> {weir.param = "layer.0.gain", weir.init = "ones"},
                 %g1: tensor<8xf32> {weir.param = "layer.1.gain", weir.init = "ones"})
        -> (tensor<?x?x8xf32> {weir.output = "0"}) { ... }
    ```
  }];
  let options = [
    Option<"model", "model", "std::string", "", "the model, where the file has several">,
    Option<"segments", "segments", "bool", "false", "take segment ids">,
    Option<"start", "start", "bool", "false", "take the position of the first token">,
    ListOption<"plugins", "plugins", "std::string", "plugin files and folders, besides those that come with Weir">,
    ListOption<"set", "set", "std::string", "key=value: override an option of the model">,
  ];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::func::FuncDialect", "::weir::WeirDialect"];
}
