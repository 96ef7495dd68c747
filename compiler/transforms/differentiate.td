include "mlir/Pass/PassBase.td"

def Differentiate : Pass<"weir-differentiate", "::mlir::func::FuncOp"> {
  let summary = "append the gradients of a function's loss to its results";
  let description = [{
    Turns a function with a scalar float result marked `weir.output = "loss"` (option `result`) into the joint
    function: the original results, then the gradient of every argument marked `weir.param`, and with `inputs` also of
    float arguments marked `weir.input` or `weir.state`. Each gradient has the result attribute
    `weir.gradient = "<name>"`. Functions without such a result are left alone.

    With `seed=cotangents` nothing is a loss: every float result marked `weir.output` or `weir.state` gets an argument
    of its type, marked `weir.cotangent = "<name>"`, and gradients are those of the results weighed by these. With
    `seed=states` only `result` and the last states get one, and gradients are those of parameters and of initial states:
    a window of many, through which cotangents of the states go back. Those of states are named `state.<name>` then.

    Every op answers for itself (DifferentiableOpInterface); ops of linalg are generalized first, and an op without a
    rule is decomposed where it can be. Ops made for the backward direction carry the unit attribute `weir.backward`,
    by which `weir-partition` tells the two apart. An op marked `weir.stop_gradient` is a constant. No folding and no
    CSE may run until the function is partitioned: they would join what is recomputed with what is kept.

    ```mlir
    func.func @f(%w: tensor<4xf32> {weir.param = "w"}) -> (tensor<f32> {weir.output = "loss"})
    // becomes
    func.func @f(%w: tensor<4xf32> {weir.param = "w"})
        -> (tensor<f32> {weir.output = "loss"}, tensor<4xf32> {weir.gradient = "w"})
    ```
  }];
  let options = [
    Option<"result", "result", "std::string", "\"loss\"", "the output whose gradient is taken">,
    Option<"inputs", "inputs", "bool", "false", "also give the gradients of float inputs and initial states">,
    Option<"seed", "seed", "std::string", "\"one\"",
           "one: the cotangent of the result is 1; cotangents: an argument for each float output; states: an "
           "argument for the result and each last state">,
  ];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::linalg::LinalgDialect",
                           "::mlir::tensor::TensorDialect"];
}
